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

from graphgdl.groups import FieldType
from graphgdl.models.blueprint import Blueprint
from graphgdl.models.fit import ROWS, Flow
from graphgdl.models.state import State
from graphgdl.models.types import is_trivial


class Skip(nn.Module):
    """A part of a blueprint with a way round it; the layers lead back to the domain they started from.

    Args:
        layers: what lies on the long way, checked as a `Blueprint` is.
        combine: 'cat' joins the channels of both ways, 'add' adds them.

    Raises:
        ValueError: an unknown `combine`; layers that do not fit or do not lead back to the domain; channels that cannot be
            joined or added.

    Example:
        >>> from graphgdl.domains import Chain
        >>> from graphgdl.nn import HeavyEdgePool, Unpool
        >>> coarse = Blueprint([Skip([HeavyEdgePool(), Unpool()])])
        >>> coarse(torch.tensor([[1.0], [3.0]]), Chain(2)).tolist()
        [[1.0, 2.0], [3.0, 2.0]]
    """

    def __init__(self, layers: Sequence[nn.Module], combine: str = "cat") -> None:
        super().__init__()
        if combine not in ("cat", "add"):
            raise ValueError(f"`combine` must be 'cat' or 'add', got {combine!r}")
        self.inner, self.combine = Blueprint(layers), combine
        self.in_type = self.inner.in_type
        self.out_type: FieldType | None = None
        if self.in_type is not None:
            self.out_type = self.fit(Flow(self.in_type), "`Skip`").fields

    def fit(self, flow: Flow, name: str) -> Flow:
        """Return what is known after both ways have met; see `graphgdl.models.fit`."""
        after = self.inner.fit(replace(flow, finer=()), name)
        title = name if name == "`Skip`" else f"{name}, `Skip`,"
        if after.finer or after.domain == ROWS:
            raise ValueError(
                f"{title} must lead back to the nodes it starts from, but {after.domain_from} "
                f"leaves {after.domain}; undo each pooling by an `Unpool`"
            )
        fields = self._fields(flow.fields, after.fields, title)
        domain = (flow.domain, flow.domain_from) if flow.domain else (after.domain, after.domain_from)
        return Flow(fields, title, *domain, finer=flow.finer)

    def run(self, state: State) -> State:
        """Return the state after both ways have met."""
        after = self.inner.run(state)
        if after.x.size(0) != state.x.size(0):
            raise ValueError(
                f"`x` has {state.x.size(0)} nodes on the short way and {after.x.size(0)} on the long one; along each axis "
                f"of a grid the strides must divide its size"
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
