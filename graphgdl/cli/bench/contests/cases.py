"""The contests: convolution on grids, recurrence along chains, attention on sets, beside torch's layers and PyG's."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from graphgdl.cli.bench.contests.contest import Contest, Side

if TYPE_CHECKING:
    from torch import Tensor

NO_SLOWER, FASTER = 1.05, 1.0


def convolution(ring: bool = False, batch: int = 16, size: int = 32, channels: int = 32) -> Contest:
    """GridConv beside Conv2d in both memory formats."""
    import torch
    from torch import nn

    from graphgdl.nn import GridConv

    conv = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular" if ring else "zeros")
    ours, last = GridConv.from_torch(deepcopy(conv)), deepcopy(conv).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    grid, x = _grid(ring, batch, size), torch.randn(batch * size * size, channels)
    image = x.view(batch, size, size, channels).permute(0, 3, 1, 2)

    def rows(t: Tensor) -> Tensor:
        return t.permute(0, 2, 3, 1).flatten(0, 2)

    sides = {
        "GridConv": Side(ours, lambda v: ours(v, grid), _leaf(x)),
        "Conv2d, channels_last": Side(last, last, _leaf(image), rows),
        "Conv2d": Side(conv, conv, _leaf(image.contiguous()), rows),
    }
    ends = "periodic" if ring else "zeros outside"
    return Contest(f"convolution, {size}x{size}, {channels} channels, batch {batch}, {ends}", sides, NO_SLOWER)


def convolution_by_messages(batch: int = 16, size: int = 32, channels: int = 32) -> Contest:
    """The message path of GridConv beside PyG's RGCNConv, with one relation for each relative position."""
    import torch
    from torch_geometric.nn import RGCNConv

    from graphgdl.nn import GridConv
    from graphgdl.nn.grid_inputs import window_of

    ours = GridConv(channels, channels, (3, 3), padding=1)
    ours.lowering = "message"
    grid, x = _grid(False, batch, size), torch.randn(batch * size * size, channels)
    taps = window_of(grid, ours.kernel_size, ours.stride, ours.dilation, ours.ends, None).taps(grid)
    relation = torch.repeat_interleave(torch.arange(9), torch.tensor(taps.counts))
    theirs = RGCNConv(channels, channels, 9, aggr="add", root_weight=False)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.flatten(2).permute(2, 1, 0))
        theirs.bias.copy_(ours.bias)

    def same(gradients: list[Tensor]) -> list[Tensor]:
        weight, bias = gradients
        return [weight.flatten(2).permute(2, 1, 0), bias]

    sides = {
        "GridConv, messages": Side(ours, lambda v: ours(v, grid), _leaf(x), same=same),
        "RGCNConv": Side(theirs, lambda v: theirs(v, taps.edge_index, relation), _leaf(x)),
    }
    return Contest(f"convolution by messages, {size}x{size}, {channels} channels, batch {batch}", sides, FASTER)


def recurrence(kind: str = "LSTM", batch: int = 16, length: int = 256, channels: int = 128) -> Contest:
    """A recurrent layer on chains of equal lengths beside torch's in both layouts."""
    import torch
    from torch import nn

    from graphgdl import nn as ours_nn
    from graphgdl.domains import Chain

    theirs = getattr(nn, kind)(channels, channels, batch_first=True)
    other = getattr(nn, kind)(channels, channels)
    ours = getattr(ours_nn, f"Chain{kind}")(channels, channels)
    for layer in (other, ours):
        layer.load_state_dict(theirs.state_dict())
    chain, x = Chain(length * torch.arange(batch + 1)), torch.randn(batch, length, channels)
    sides = {
        f"Chain{kind}": Side(ours, lambda v: ours(v, chain), _leaf(x.flatten(0, 1))),
        "time first": Side(
            other,
            lambda v: other(v)[0],
            _leaf(x.transpose(0, 1).contiguous()),
            lambda t: t.transpose(0, 1).flatten(0, 1),
        ),
        "batch first": Side(theirs, lambda v: theirs(v)[0], _leaf(x), lambda t: t.flatten(0, 1)),
    }
    return Contest(f"{kind}, length {length}, {channels} channels, batch {batch}", sides, NO_SLOWER)


def uneven_recurrence(batch: int = 16, longest: int = 256, channels: int = 128) -> Contest:
    """ChainLSTM on chains of random lengths beside torch's LSTM on packed sequences."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from graphgdl.domains import Chain
    from graphgdl.nn import ChainLSTM

    lengths = torch.randint(1, longest + 1, (batch,), generator=torch.Generator().manual_seed(0))
    theirs, ours = nn.LSTM(channels, channels, batch_first=True), ChainLSTM(channels, channels)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, int(lengths.max()), channels)
    real = torch.arange(x.size(1)) < lengths[:, None]
    chain = Chain(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))

    def packed(v: Tensor) -> Tensor:
        out, _ = theirs(pack_padded_sequence(v, lengths, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(out, batch_first=True)[0]

    sides = {
        "ChainLSTM": Side(ours, lambda v: ours(v, chain), _leaf(x[real])),
        "LSTM, packed": Side(theirs, packed, _leaf(x), lambda t: t[real]),
    }
    return Contest(f"LSTM, lengths 1 to {longest}, {channels} channels, batch {batch}", sides, 0.2)


def encoder(batch: int = 32, size: int = 64, channels: int = 128) -> Contest:
    """TransformerEncoderLayer on sets beside torch's in both layouts; in evaluation torch takes its own fast path."""
    import torch
    from torch import nn

    from graphgdl.nn import TransformerEncoderLayer

    options: dict[str, Any] = {"nhead": 8, "dim_feedforward": 4 * channels, "dropout": 0.0}
    ours = TransformerEncoderLayer(channels, **options)
    theirs = nn.TransformerEncoderLayer(channels, batch_first=True, **options)
    other = nn.TransformerEncoderLayer(channels, **options)
    for layer in (theirs, other):
        layer.load_state_dict(ours.state_dict())
    sets, x = _sets(batch, size), torch.randn(batch, size, channels)
    sides = {
        "TransformerEncoderLayer": Side(ours, lambda v: ours(v, sets), _leaf(x.flatten(0, 1))),
        "torch, sets second": Side(
            other, other, _leaf(x.transpose(0, 1).contiguous()), lambda t: t.transpose(0, 1).flatten(0, 1)
        ),
        "torch, sets first": Side(theirs, theirs, _leaf(x), lambda t: t.flatten(0, 1)),
    }
    return Contest(f"transformer encoder layer, {batch} sets of {size}, {channels} channels", sides, NO_SLOWER)


def attention_on_edges(lowering: str = "compiled", batch: int = 32, size: int = 64, channels: int = 128) -> Contest:
    """Attention along the edges of the complete graph, by one lowering, beside PyG's TransformerConv on the same edges."""
    import torch
    from torch import nn
    from torch_geometric.nn import TransformerConv

    from graphgdl.nn import DotProductAttention

    heads = 8
    theirs = TransformerConv(channels, channels // heads, heads, root_weight=False)
    attend = DotProductAttention()
    attend.lowering = lowering
    ours = nn.ModuleDict({name: nn.Linear(channels, channels) for name in ("lin_key", "lin_query", "lin_value")})
    theirs.lin_skip = None
    ours.load_state_dict(theirs.state_dict())
    edges, x = _sets(batch, size).edge_index, torch.randn(batch * size, channels)

    def run(v: Tensor) -> Tensor:
        key, query, value = (map_(v).unflatten(1, (heads, -1)) for map_ in ours.values())
        return attend(query, key, value, edges).flatten(1)

    sides = {
        f"DotProductAttention, {lowering}": Side(ours, run, _leaf(x)),
        "TransformerConv": Side(theirs, lambda v: theirs(v, edges), _leaf(x)),
    }
    return Contest(f"attention on edges, {lowering}, {batch} sets of {size}, {channels} channels", sides, FASTER)


CASES: dict[str, Callable[[], Contest]] = {
    "convolution": convolution,
    "convolution-periodic": lambda: convolution(ring=True),
    "convolution-messages": convolution_by_messages,
    "lstm": recurrence,
    "gru": lambda: recurrence("GRU"),
    "lstm-uneven": uneven_recurrence,
    "encoder": encoder,
    "attention-compiled": attention_on_edges,
    "attention-messages": lambda: attention_on_edges("message"),
}


def _grid(ring: bool, batch: int, size: int) -> Any:
    import torch

    from graphgdl.domains import Grid

    return Grid((size, size), ring, ptr=size * size * torch.arange(batch + 1))


def _sets(batch: int, size: int) -> Any:
    import torch

    from graphgdl.domains import Complete

    return Complete(size * torch.arange(batch + 1))


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()
