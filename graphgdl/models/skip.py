r"""Skip: what comes in goes round some layers and meets what they give.

.. math:: x' = [x, f(x)] \quad \text{or} \quad x' = x + f(x)

Law: that of f.
Source: Ronneberger, Fischer and Brox (2015), U-Net (joined); He et al. (2016), Deep Residual Learning for Image Recognition,
eq. 1 (added).
Differs: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from graphgdl.domains.structure import Grid
from graphgdl.groups import FieldType
from graphgdl.models.blueprint import Blueprint
from graphgdl.models.fit import ROWS, Flow
from graphgdl.models.state import State
from graphgdl.models.types import is_trivial


class Skip(Blueprint):
    """A blueprint with a way round it; the layers lead back to the domain they start from.

    Args:
        layers: what lies on the long way.
        combine: 'cat' joins the channels of both ways, 'add' adds them.

    Raises:
        ValueError: an unknown `combine`; layers that do not fit or do not lead back to the domain; channels that cannot be
            joined or added; see also `Blueprint`.

    Example:
        >>> from graphgdl.domains import Chain
        >>> from graphgdl.nn import HeavyEdgePool, Unpool
        >>> Skip([HeavyEdgePool(), Unpool()])(torch.tensor([[1.0], [3.0]]), Chain(2)).tolist()
        [[1.0, 2.0], [3.0, 2.0]]
    """

    def __init__(self, layers: Sequence[nn.Module], combine: str = "cat") -> None:
        if combine not in ("cat", "add"):
            raise ValueError(f"`combine` must be 'cat' or 'add', got {combine!r}")
        self.combine = combine
        super().__init__(layers)

    def fit(self, flow: Flow, name: str) -> Flow:
        """Return what is known after both ways have met; see `graphgdl.models.fit`."""
        after = super().fit(replace(flow, finer=()), name)
        title = "`Skip`" if name == "layer" else f"{name}, `Skip`,"
        if after.finer or after.domain == ROWS:
            raise ValueError(
                f"{title} must lead back to the nodes it starts from, but {after.domain_from} leaves {after.domain}; undo "
                f"each pooling by an `Unpool`"
            )
        fields = self._fields(flow.fields, after.fields, title)
        domain = (flow.domain, flow.domain_from) if flow.domain else (after.domain, after.domain_from)
        return Flow(fields, title, *domain, finer=flow.finer)

    def run(self, state: State) -> State:
        """Return the state after both ways have met."""
        after = super().run(state)
        if after.x.size(0) != state.x.size(0):
            raise ValueError(
                f"`x` has {state.x.size(0)} nodes on the short way and {after.x.size(0)} on the long one; along each axis "
                f"of a grid the strides must divide its size"
            )
        if isinstance(after.domain, Grid) and after.domain.shapes != state.domain.shapes:
            raise ValueError(
                f"`x` lies on {state.domain} on the short way and on {after.domain} on the long one; undo each stride along "
                f"its own axis"
            )
        x = state.x + after.x if self.combine == "add" else torch.cat([state.x, after.x], dim=1)
        return replace(state, x=x, loss=after.loss)

    def _fields(self, short: FieldType | None, long: FieldType | None, title: str) -> FieldType | None:
        if short is None or long is None:
            return None
        same = short.representation == long.representation or (is_trivial(short) and is_trivial(long))
        if not same or (self.combine == "add" and short.multiplicity != long.multiplicity):
            verb = "adds" if self.combine == "add" else "joins"
            raise ValueError(f"{title} {verb} {short} and {long}; make both of one type")
        return short if self.combine == "add" else replace(short, multiplicity=short.multiplicity + long.multiplicity)
