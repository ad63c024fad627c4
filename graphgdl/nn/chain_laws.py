r"""The laws of a layer that runs along chains: the past does not hear from the future, and rest may last.

Both are equivariance, :math:`f(g.x) = g.f(x)`, under maps that have no inverse: cutting chains short, and letting them wait.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphgdl.domains.structure import Chain
from graphgdl.domains.structured_data import StructuredData
from graphgdl.groups import Law


class ChainMap:
    """A map that takes chains to chains of other lengths; an element is a number of nodes, int64 ().

    Args:
        chain: the chains that it moves.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a number of nodes, from 1 to the length of the longest chain."""
        return torch.randint(1, max(self.chain.sizes) + 1, (), generator=generator)

    def act(self, g: Tensor, x: Tensor | Data) -> Tensor | Data:
        """Move a tensor (n, ...) of node values, or a `StructuredData` on the chains, all of whose values move."""
        if isinstance(x, Tensor):
            return torch.cat([self._move(int(g), part) for part in x.split(self.chain.sizes)])
        values = {
            key: self.act(g, v) for key, v in x.to_dict().items() if isinstance(v, Tensor) and x.is_node_attr(key)
        }
        sizes = [self._move(int(g), torch.empty(size, 0)).size(0) for size in self.chain.sizes]
        chain = Chain([0, *torch.tensor(sizes).cumsum(0).tolist()])
        return StructuredData(structure=chain, num_nodes=chain.num_nodes, **values)

    @abstractmethod
    def _move(self, g: int, values: Tensor) -> Tensor:
        """Move the values (k, ...) of one chain."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.chain})"


class Prefixes(ChainMap):
    """Each chain is cut after its first g nodes."""

    def _move(self, g: int, values: Tensor) -> Tensor:
        return values[:g]


class Rests(ChainMap):
    """Each chain waits: g nodes of zeros come before its first."""

    def _move(self, g: int, values: Tensor) -> Tensor:
        return torch.cat([values.new_zeros(g, *values.shape[1:]), values])


def chain_laws(data: Data, causal: bool, rests: bool) -> tuple[Law, ...]:
    """Return the laws on chains; on any other graph there are none.

    Args:
        data: an input.
        causal: whether no node hears from a later one.
        rests: whether zeros keep the initial state, so that they may go on for any time.
    """
    chain = data.get("structure")
    if not isinstance(chain, Chain):
        return ()
    cut = (Law(Prefixes(chain), "causality: cutting off the future"),)
    wait = (Law(Rests(chain), "time shift: waiting at rest"),)
    return cut * causal + wait * rests
