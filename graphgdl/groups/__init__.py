"""Groups, their representations, and how they act: `sample`, `compose`, `inverse`, `act`."""

from graphgdl.groups.combine import direct_sum, inflation, tensor_product
from graphgdl.groups.cosets import quotient, regular
from graphgdl.groups.euclidean import SE, E
from graphgdl.groups.field_action import FieldAction, Signal
from graphgdl.groups.field_type import FieldType, scalars
from graphgdl.groups.finite import Cyclic, Dihedral
from graphgdl.groups.group import FiniteGroup, Group
from graphgdl.groups.invariants import invariants
from graphgdl.groups.irreps import irrep
from graphgdl.groups.isometries import Isometries
from graphgdl.groups.lattice_stabilizer import LatticeStabilizer
from graphgdl.groups.law import Law
from graphgdl.groups.motions import Motions
from graphgdl.groups.multiples import Multiples
from graphgdl.groups.orthogonal import SO, O
from graphgdl.groups.permutation import Permutation
from graphgdl.groups.polynomial_signal import PolynomialSignal, monomials
from graphgdl.groups.product import DirectProduct
from graphgdl.groups.pullback import Pullback
from graphgdl.groups.representation import Representation, frequency, sign, standard, trivial
from graphgdl.groups.semidirect import Semidirect, p4, p4m
from graphgdl.groups.translations import Translations
from graphgdl.groups.turns import Turns
from graphgdl.groups.young import YoungSubgroup

__all__ = [
    "SE",
    "SO",
    "Cyclic",
    "Dihedral",
    "DirectProduct",
    "E",
    "FieldAction",
    "FieldType",
    "FiniteGroup",
    "Group",
    "Isometries",
    "LatticeStabilizer",
    "Law",
    "Motions",
    "Multiples",
    "O",
    "Permutation",
    "PolynomialSignal",
    "Pullback",
    "Representation",
    "Semidirect",
    "Signal",
    "Translations",
    "Turns",
    "YoungSubgroup",
    "direct_sum",
    "frequency",
    "inflation",
    "invariants",
    "irrep",
    "monomials",
    "p4",
    "p4m",
    "quotient",
    "regular",
    "scalars",
    "sign",
    "standard",
    "tensor_product",
    "trivial",
]
