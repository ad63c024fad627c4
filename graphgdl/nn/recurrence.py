r"""Recurrence: what RNN, GRU and LSTM along chains have in common.

.. math:: s_i = \operatorname{cell}\Big(x_i, \sum_{j \to i} s_j\Big)

A node hears from its predecessor; the first node of a chain hears the initial state. The message path says so literally:
at step t, messages go from the nodes at position t - 1 to those at position t, through `propagate`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn.conv import MessagePassing

from graphgdl.domains.structure import Chain
from graphgdl.groups import Law
from graphgdl.nn.chain_kernel import Kernel, TorchKernel, run_kernel
from graphgdl.nn.chain_laws import chain_laws
from graphgdl.nn.chain_paths import Step, paths_of
from graphgdl.nn.inputs import edges_of
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.lowering import Lowered, Lowering

States = tuple[Tensor, ...]


class Recurrence(Lowered, MessagePassing):
    """A stack of recurrent layers; parameters are named, ordered and initialised as those of `torch.nn.LSTM` and its kin.

    Subclasses say what a cell computes (`cell`), and which of torch's kernels computes it along a whole chain (`kernel`).
    See `graphgdl.nn.ChainLSTM` for arguments and shapes.
    """

    lowerings: ClassVar[dict[str, Lowering]] = {"rnn": TorchKernel(), **Lowered.lowerings}
    gates: ClassVar[int]
    state_names: ClassVar[tuple[str, ...]] = ("h_0",)
    overhead: ClassVar[int] = 0  # nodes that one call of the kernel costs
    _stepwise: str | None = None

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(aggr="add")
        sizes = {"in_channels": in_channels, "hidden_channels": hidden_channels, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"`{name}` must be at least 1, got {size}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"`dropout` must be a probability between 0 and 1, got {dropout}")
        if dropout > 0 and num_layers == 1:
            raise ValueError(f"`dropout` acts between layers, got {dropout} with num_layers=1; use `nn.Dropout` after")
        self.in_channels, self.hidden_channels, self.num_layers = in_channels, hidden_channels, num_layers
        self.bias, self.dropout, self.bidirectional = bias, dropout, bidirectional
        for layer in range(num_layers):
            width = in_channels if layer == 0 else hidden_channels * (1 + bidirectional)
            for suffix in self._suffixes(layer):
                for name in self._names:
                    columns = {"weight_ih": [width], "weight_hh": [hidden_channels]}.get(name, [])
                    values = torch.empty(self.gates * hidden_channels, *columns)
                    self.register_parameter(f"{name}_{suffix}", nn.Parameter(values))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from [-1/sqrt(h), 1/sqrt(h)]."""
        bound = 1 / math.sqrt(self.hidden_channels)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def message(self, state_j: Tensor) -> Tensor:
        """The state of the predecessor."""
        return state_j

    def cell(self, x: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        """Return the new states (k, s h) of k nodes from their values (k, c) and the states that they received."""
        raise NotImplementedError

    def kernel(self) -> Kernel:
        """Return torch's kernel."""
        raise NotImplementedError

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return permutations, and on chains causality one way; without biases zeros keep the initial state."""
        one_way = not self.bidirectional
        return permutation_laws(self, data) + chain_laws(data, causal=one_way, rests=one_way and not self.bias)

    def forward(self, x: Tensor, edge_index: Any, hx: Any = None, return_state: bool = False) -> Any:
        """Return the outputs of the nodes, and with `return_state` also the final states of the chains."""
        chain = edge_index if isinstance(edge_index, Chain) else None
        if chain is not None and chain.bidirectional:
            raise ValueError(
                "`edge_index` must be a Chain that runs one way, got bidirectional=True: a recurrence along it never ends; "
                "use `Chain(ptr)` and give the layer bidirectional=True"
            )
        if x.dim() != 2 or x.size(1) != self.in_channels:
            raise ValueError(f"`x` must have shape (n, {self.in_channels}), got {tuple(x.shape)}")
        if chain is None and (hx is not None or return_state):
            name = "hx" if hx is not None else "return_state"
            raise ValueError(f"`{name}` needs chains in an order, got plain edges; pass a `Chain` as `edge_index`")
        if chain is not None and x.size(0) != chain.num_nodes:
            edges_of(chain, x)  # which says so
        state = None if chain is None else self._initial(hx, x, chain)
        whole, overhead = self._choose(x, chain), 0 if return_state else self.overhead
        steps = [] if whole else paths_of(edge_index, x, self.bidirectional)
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outs = []
            for reverse, suffix in enumerate(self._suffixes(layer)):
                weights = [getattr(self, f"{name}_{suffix}") for name in self._names]
                initial = () if state is None else tuple(s[len(finals)] for s in state)
                if whole:
                    out, final = run_kernel(self.kernel(), x, chain, bool(reverse), weights, initial, overhead)
                else:
                    out, final = self._steps(x, steps[reverse], chain, bool(reverse), weights, initial)
                outs.append(out)
                finals.append(final)
            x = torch.cat(outs, dim=1) if self.bidirectional else outs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        if not return_state:
            return x
        h, *more = (torch.stack(parts) for parts in zip(*finals))
        return x, (h, *more) if more else h

    def _steps(
        self, x: Tensor, path: list[Step], chain: Chain | None, reverse: bool, weights: list[Tensor], initial: States
    ) -> tuple[Tensor, States]:
        """Run one layer in one direction by messages from position to position; as `run_kernel`."""
        states: list[Tensor] = []
        for nodes, edges in path:
            if states:
                size = (states[-1].size(0), nodes.size(0))
                received = self.propagate(edges, state=(states[-1], None), size=size)
            elif chain is None:
                received = x.new_zeros(nodes.size(0), len(self.state_names) * self.hidden_channels)
            else:
                received = torch.cat(initial, dim=1)[chain.ptr.diff() > 0]
            states.append(self.cell(x[nodes], received, weights))
        if not states:
            return x.new_zeros(0, self.hidden_channels), initial
        state = torch.cat(states)[torch.argsort(torch.cat([nodes for nodes, _ in path]))]
        parts = state.split(self.hidden_channels, dim=1)
        if chain is None:
            return parts[0], ()
        last = (chain.ptr[:-1] if reverse else chain.ptr[1:] - 1).clamp(0, x.size(0) - 1)
        empty = (chain.ptr.diff() == 0)[:, None]
        return parts[0], tuple(torch.where(empty, s, part[last]) for s, part in zip(initial, parts))

    def _choose(self, x: Tensor, chain: Chain | None) -> bool:
        """Return whether torch's kernels run the recurrence."""
        self._stepwise = self._why_stepwise(x, chain)
        if self._lowering == "rnn" and self._stepwise is not None:
            raise ValueError(f"`lowering` 'rnn' of {type(self).__name__} does not apply: {self._stepwise}; use 'auto'")
        whole = self._lowering in ("auto", "rnn") and self._stepwise is None
        if whole:
            self._note("recurrence", "rnn", {})
        return whole

    def _why_stepwise(self, x: Tensor, chain: Chain | None) -> str | None:
        """Return why torch's kernels do not apply, or None."""
        if chain is None:
            return "plain edges may be any graph, a `Chain` is known to be chains"
        for name in ("message", "aggregate", "update", "propagate"):
            if name in self.__dict__ or getattr(type(self), name) is not getattr(Recurrence, name):
                return f"`{name}` is overridden"
        if "cell" in self.__dict__ or any(("cell" in vars(c)) != ("kernel" in vars(c)) for c in type(self).__mro__):
            return "`cell` is overridden, and `kernel` is not"
        if torch._C._are_functorch_transforms_active():
            return "a torch.func transform is active"
        if torch.autograd.forward_ad._current_level >= 0:
            return "forward-mode differentiation is active"
        if x.device.type != "cpu":
            return f"`x` lies on {x.device.type.upper()}, where torch's kernel has no second derivative"
        if torch.is_autocast_enabled("cpu"):
            return "autocast is active on the CPU"
        return self._customised()

    def _initial(self, hx: Any, x: Tensor, chain: Chain) -> States:
        """Return the initial states (layers x directions, g, h), checked."""
        shape = (self.num_layers * (1 + self.bidirectional), chain.num_graphs, self.hidden_channels)
        if hx is None:
            return tuple(x.new_zeros(shape) for _ in self.state_names)
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if [tuple(s.shape) for s in given] != [shape] * len(self.state_names):
            raise ValueError(
                f"`hx` must be {' and '.join(self.state_names)} of shape {shape} (layers x directions, chains, channels), "
                f"got {', '.join(str(tuple(s.shape)) for s in given)}"
            )
        return given

    @property
    def _names(self) -> list[str]:
        return ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if self.bias else [])

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.hidden_channels}, num_layers={self.num_layers})"
