"""Laws as assertions, for our layers and for anybody's. Needs neither pytest nor hypothesis."""

from graphgdl.testing.contract import assert_contract, assert_disjoint_union, assert_not_vacuous, assert_twin_fails
from graphgdl.testing.equivariance import assert_equivariant, call_module
from graphgdl.testing.verify import Verdict, laws_of, verify

__all__ = [
    "Verdict",
    "assert_contract",
    "assert_disjoint_union",
    "assert_equivariant",
    "assert_not_vacuous",
    "assert_twin_fails",
    "call_module",
    "laws_of",
    "verify",
]
