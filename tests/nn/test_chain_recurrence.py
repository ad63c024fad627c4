"""Recurrence along chains: against torch's modules chain by chain, against the equations node by node, and its laws."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from chain_cases import LAYERS, C, H, chain_of, draw, pair
from layer_cases import close
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.typing import SparseTensor

from graphgdl.domains import Chain
from graphgdl.nn import ChainLSTM, ChainRNN
from graphgdl.nn.chain_rows import chain_rows
from graphgdl.testing import assert_contract

LENGTHS = {
    "equal": (4, 4, 4),
    "unequal": (3, 1, 5, 0, 3),
    "no chain empty": (2, 4, 3),
    "one": (6,),
    "single nodes": (1, 1),
}
OPTIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "bidirectional": {"bidirectional": True},
    "stacked": {"num_layers": 3},
    "both": {"num_layers": 2, "bidirectional": True},
}


def chain_by_chain(theirs, x, lengths, states):
    """What torch's module gives for each chain alone: outputs, and final states (or the initial ones of no chain)."""
    outs, finals = [], []
    for i, part in enumerate(x.split(lengths)):
        alone = None if states is None else [s[:, i] for s in states]
        if len(part):
            given = None if alone is None else tuple(alone) if len(alone) > 1 else alone[0]
            out, final = theirs(part, given)
            outs.append(out)
            finals.append(final if isinstance(final, tuple) else (final,))
        else:
            width = theirs.num_layers * (1 + theirs.bidirectional), H
            finals.append(alone or [x.new_zeros(width)] * (1 + isinstance(theirs, nn.LSTM)))
    return [torch.cat(outs), *(torch.stack(parts, dim=1) for parts in zip(*finals))]


def flat(result):
    out, state = result
    return [out, *(state if isinstance(state, tuple) else [state])]


def derivatives(results, leaves):
    """Gradients, and gradients of a weighted sum of the gradients."""
    total = sum((r.sin() * torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view_as(r)).sum() for r in results)
    first = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    product = sum(
        (g * torch.linspace(2, -1, g.numel(), dtype=g.dtype).view_as(g)).sum() for g in first if g is not None
    )
    second = torch.autograd.grad(product, leaves, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip((*first, *second), (*leaves, *leaves))]


@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("lowering", ["rnn", "message"])
def test_equals_torch(lowering, kind, lengths, options, with_state):
    ours, theirs = pair(kind, **OPTIONS[options])
    ours.lowering, lengths = lowering, LENGTHS[lengths]
    x, states = draw(ours, lengths, with_state)
    hx = None if states is None else tuple(states) if kind == "LSTM" else states[0]
    found = flat(ours(x, chain_of(lengths), hx, return_state=True))
    expected = chain_by_chain(theirs, x, lengths, states)
    leaves = [x, *(states or [])]
    for actual, wanted in zip(found, expected, strict=True):
        close(actual, wanted)
    mine, its = (
        derivatives(found, [*leaves, *ours.parameters()]),
        derivatives(expected, [*leaves, *theirs.parameters()]),
    )
    for actual, wanted in zip(mine, its, strict=True):
        close(actual, wanted)
    out = ours(x, chain_of(lengths), hx)  # the state not asked for: blocks may be padded
    close(out, expected[0])
    if lowering == "rnn" and kind == "LSTM":
        expected = chain_by_chain(theirs, x, lengths, states)[:1]
        its = derivatives(expected, [*leaves, *theirs.parameters()])
        for actual, wanted in zip(derivatives([out], [*leaves, *ours.parameters()]), its, strict=True):
            close(actual, wanted)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("kind", LAYERS)
def test_single_precision_kernels(kind, lengths):
    """float32 runs other kernels (oneDNN's for the LSTM): they give the same numbers, second derivatives included."""
    found = []
    for dtype in (torch.float32, torch.float64):
        ours, _ = pair(kind, dtype, num_layers=2, bidirectional=True)
        x, states = draw(ours, LENGTHS[lengths], True, torch.float64)
        x, *states = [t.detach().to(dtype).requires_grad_() for t in (x, *states)]
        ours.load_state_dict(pair(kind, torch.float32, num_layers=2, bidirectional=True)[1].state_dict())
        results = flat(ours(x, chain_of(LENGTHS[lengths]), tuple(states) if kind == "LSTM" else states[0], True))
        padded = [ours(x, chain_of(LENGTHS[lengths]), tuple(states) if kind == "LSTM" else states[0])]
        leaves = [x, *states, *ours.parameters()]
        found.append([*results, *padded, *derivatives(results, leaves), *derivatives(padded, leaves)])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-3)


def equations(kind, x, p, nonlinearity=torch.tanh):
    """The equations as the papers write them, one chain, node by node, unit by unit."""

    def gate(k, a, b):  # row k of W x + b_ih and of U h + b_hh
        return p["weight_ih_l0"][k] @ a + p["bias_ih_l0"][k], p["weight_hh_l0"][k] @ b + p["bias_hh_l0"][k]

    h, c, outs = x.new_zeros(H), x.new_zeros(H), []
    for row in x:
        h_new, c_new = [], []
        for u in range(H):
            if kind == "RNN":
                h_new.append(nonlinearity(sum(gate(u, row, h))))
            elif kind == "GRU":
                r, z = torch.sigmoid(sum(gate(u, row, h))), torch.sigmoid(sum(gate(H + u, row, h)))
                n_x, n_h = gate(2 * H + u, row, h)
                h_new.append((1 - z) * torch.tanh(n_x + r * n_h) + z * h[u])
            else:
                i, f, g, o = (sum(gate(k * H + u, row, h)) for k in range(4))
                c_new.append(torch.sigmoid(f) * c[u] + torch.sigmoid(i) * torch.tanh(g))
                h_new.append(torch.sigmoid(o) * torch.tanh(c_new[-1]))
        h = torch.stack(h_new)
        c = torch.stack(c_new) if c_new else c
        outs.append(h)
    return torch.stack(outs)


@pytest.mark.parametrize("lowering", ["rnn", "compiled", "message"])
@pytest.mark.parametrize("kind", LAYERS)
def test_equals_the_equations(kind, lowering):
    ours, _ = pair(kind)
    ours.lowering = lowering
    x, _ = draw(ours, (4, 2), False)
    parameters = dict(ours.named_parameters())
    expected = torch.cat([equations(kind, part, parameters) for part in x.split((4, 2))])
    close(ours(x, chain_of((4, 2))), expected)


@pytest.mark.parametrize("lowering", ["rnn", "message"])
def test_relu(lowering):
    theirs = nn.RNN(C, H, nonlinearity="relu").double()
    ours = ChainRNN(C, H, nonlinearity="relu").double()
    ours.load_state_dict(theirs.state_dict())
    ours.lowering = lowering
    x, _ = draw(ours, (4, 2), False)
    close(ours(x, chain_of((4, 2))), torch.cat([theirs(part)[0] for part in x.split((4, 2))]))


@pytest.mark.parametrize("kind", LAYERS)
def test_parameters_are_torchs(kind):
    """Same names, order and, from the same seed, the same initial values; the twin of another seed differs."""
    made = []
    for build, seed in ((LAYERS[kind], 0), (getattr(nn, kind), 0), (LAYERS[kind], 1)):
        torch.manual_seed(seed)
        made.append(build(C, H, num_layers=2, bidirectional=True).state_dict())
    ours, theirs, other = made
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not torch.equal(ours["weight_hh_l0"], other["weight_hh_l0"])


class LouderFirstNode(nn.Module):
    """The layer with one thing broken: the node that happens to be number 0 speaks a little louder."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, edge_index):
        return self.layer(torch.cat([1.05 * x[:1], x[1:]]), edge_index)


@pytest.mark.parametrize("options", ["plain", "both"])
@pytest.mark.parametrize("kind", LAYERS)
def test_contract(kind, options):
    """Nodes permuted together with their chain edges, unions, nothing vacuous, a twin that fails."""
    ours, _ = pair(kind, **OPTIONS[options])
    x, _ = draw(ours, (4, 2, 3), False)
    data = Data(x=x.detach(), edge_index=chain_of((4, 2, 3)).edge_index)
    errors = assert_contract(ours, data, twin=LouderFirstNode(ours))
    assert max(errors["law"], errors["union"]) < 1e-10 < errors["twin"]


@pytest.mark.parametrize("kind", LAYERS)
def test_disjoint_union_of_chains(kind):
    ours, _ = pair(kind, bidirectional=True)
    ours.lowering = "rnn"
    chains, x = [chain_of((4, 2)), chain_of((0, 3))], draw(ours, (6, 3), False)[0]
    alone = torch.cat([ours(part, chain) for part, chain in zip(x.split((6, 3)), chains)])
    close(ours(x, Chain.concat(chains)), alone)
    assert (ours(x, Chain(9)) - alone).abs().max() > 1e-3  # the twin: one chain is not their union


@pytest.mark.parametrize("lowering", ["rnn", "message"])
@pytest.mark.parametrize("kind", LAYERS)
def test_causality(kind, lowering):
    """A change at a node reaches itself and later nodes of its chain, no other; in both directions, its whole chain."""
    for bidirectional in (False, True):
        ours, _ = pair(kind, bidirectional=bidirectional)
        ours.lowering = lowering
        x, _ = draw(ours, (5, 3), False)
        moved = x.detach().clone()
        moved[2] += 1
        changed = (ours(moved, chain_of((5, 3))) - ours(x, chain_of((5, 3)))).abs().amax(dim=1) > 1e-12
        assert changed.tolist() == [bidirectional, bidirectional, True, True, True, False, False, False]


@pytest.mark.parametrize("kind", LAYERS)
def test_time_shift_from_the_fixed_point(kind):
    """A chain that waits in a state which its cell maps to itself gives the same outputs later; from zero it does not."""
    ours, _ = pair(kind)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(0.5)  # a contraction: it has a fixed point
    x, _ = draw(ours, (6,), False)
    rest = x.detach()[:1]
    _, fixed = ours(rest.expand(500, -1), Chain(500), return_state=True)
    late = torch.cat([rest.expand(7, -1), x])
    close(ours(late, Chain(13), fixed)[7:], ours(x, Chain(6), fixed))
    assert (ours(late, Chain(13))[7:] - ours(x, Chain(6))).abs().max() > 1e-3


@pytest.mark.parametrize("kind", LAYERS)
def test_state_goes_on(kind):
    """A chain read in two pieces, the state handed over, is the chain read at once."""
    ours, _ = pair(kind, num_layers=2)
    x, _ = draw(ours, (7,), False)
    whole = flat(ours(x, Chain(7), return_state=True))
    first, state = ours(x[:3], Chain(3), return_state=True)
    second, state = ours(x[3:], Chain(4), state, return_state=True)
    for actual, expected in zip(flat((torch.cat([first, second]), state)), whole, strict=True):
        close(actual, expected)


@pytest.mark.parametrize("steps", [50])
def test_time_warping(steps):
    r"""A gate that follows the warp undoes it (Tallec and Ollivier 2018, Can recurrent neural networks warp time?).

    h' = tanh(W x + U h) - h, warped by t = c(s), is the leaky recurrence with gate g = c'(s) ds. ChainGRU is this unit
    when its reset gate is open and 1 - z = g: it reads the logit of the gate from the last feature. Over three
    resolutions the difference between the warped and the plain run falls at first order; with a constant gate it stays.
    """

    def leaky(layer, signal, gate):
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                parameter[:H] = 40.0 if name == "bias_ih_l0" else 0  # r = 1
                parameter[H : 2 * H] = 0
            layer.weight_ih_l0[H : 2 * H, -1] = -1  # z = sigmoid(-logit g) = 1 - g
            layer.weight_ih_l0[2 * H :, -1] = 0
            return layer(torch.cat([signal, torch.logit(gate)[:, None]], dim=1), Chain(len(signal)))

    def warp(s):
        return (s + 0.5 * s**2) / 1.5

    def signal(t):
        return torch.stack([(3 * t).sin(), (7 * t).cos()], dim=1)

    layer, errors, unwarped = pair("GRU")[0], [], []
    for n in (steps, 2 * steps, 4 * steps):
        s = torch.arange(1, n + 1, dtype=torch.float64) / n
        plain = leaky(layer, signal(s), torch.full((n,), 1 / n, dtype=torch.float64))
        gates = warp(s) - warp(s - 1 / n)
        warped = leaky(layer, signal(warp(s)), gates)
        constant = leaky(layer, signal(warp(s)), torch.full((n,), 1 / n, dtype=torch.float64))
        h, rows = torch.zeros(H, dtype=torch.float64), []  # the leaky recurrence itself
        w, u = layer.weight_ih_l0[2 * H :, :2], layer.weight_hh_l0[2 * H :]
        for value, g in zip(signal(warp(s)), gates):
            target = torch.tanh(w @ value + u @ h + layer.bias_ih_l0[2 * H :] + layer.bias_hh_l0[2 * H :])
            h = (1 - g) * h + g * target
            rows.append(h.detach())
        close(warped, torch.stack(rows))
        at = (warp(s) * n).clamp(1, n) - 1  # where the plain run passes c(s), between its nodes
        low = at.floor().long().clamp(max=n - 2)
        along = plain[low] + (at - low)[:, None] * (plain[low + 1] - plain[low])
        errors.append(float((warped - along).abs().max()))
        unwarped.append(float((constant - along).abs().max()))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(0.8 < order < 1.3 for order in orders), (errors, orders)
    assert min(unwarped) > 5 * errors[-1]
    assert unwarped[-1] > 0.9 * unwarped[0]


def test_every_form_of_edges():
    """Plain edges in any order of nodes, and PyG's other forms of them, give what the `Chain` gives."""
    ours, _ = pair("LSTM", bidirectional=True)
    chain = chain_of((3, 1, 4))
    x, edges = draw(ours, (3, 1, 4), False)[0], chain.edge_index
    expected = ours(x, chain)
    sparse = torch.sparse_coo_tensor(edges.flip(0), torch.ones(5), (8, 8), check_invariants=True).coalesce()
    forms = [edges, edges.int(), edges[:, torch.tensor([3, 0, 4, 1, 2])], EdgeIndex(edges, sparse_size=(8, 8))]
    for form in (*forms, SparseTensor.from_edge_index(edges, sparse_sizes=(8, 8)).t(), sparse):
        close(ours(x, form), expected)
    turned = ours(x, edges.flip(0))
    assert (turned - expected).abs().max() > 1e-3  # the twin: edges turned round


@pytest.mark.parametrize("overhead", [0, 1, 3, 10, 1000])
@pytest.mark.parametrize("reverse", [False, True])
def test_blocks(reverse, overhead):
    """Each node has its row, a chain's rows follow its nodes, and no other cut of the positions is cheaper."""
    lengths = (3, 1, 7, 0, 3, 8, 1)
    chain = chain_of(lengths)
    rows = chain_rows(chain, reverse, overhead)
    assert torch.equal(rows.nodes[rows.rows], torch.arange(23))
    assert len(rows.nodes) == sum(positions * width for positions, width in rows.blocks)
    order = [
        [rows.nodes.tolist()[r] for r in sorted(rows.rows[a:b].tolist())] for a, b in itertools.pairwise(chain.ptr)
    ]
    ranges = [list(range(a, b))[:: -1 if reverse else 1] for a, b in itertools.pairwise(chain.ptr.tolist())]
    assert order == ranges
    costs = []
    for cuts in itertools.product((False, True), repeat=7):
        ends = [0, *(t + 1 for t in range(7) if cuts[t]), 8]
        costs.append(sum(overhead + (b - a) * sum(n > a for n in lengths) for a, b in itertools.pairwise(ends)))
    assert min(costs) == len(rows.nodes) + overhead * len(rows.blocks)
    assert (len(rows.nodes) == 23) == (overhead == 0)


@pytest.mark.parametrize("kind", LAYERS)
def test_no_nodes(kind):
    ours, _ = pair(kind, bidirectional=True)
    for lowering in ("rnn", "message"):
        ours.lowering = lowering
        out, state = ours(torch.empty(0, C, dtype=torch.float64), Chain([0, 0, 0]), return_state=True)
        assert out.shape == (0, 2 * H)
        assert flat((out, state))[1].shape == (2, 2, H)
        assert not flat((out, state))[1].any()


def test_dropout_between_layers():
    """In training it drops, the same numbers on either path; in eval mode it does nothing."""
    ours = ChainLSTM(C, H, num_layers=2, dropout=0.5).double()
    x, _ = draw(ours, (4, 2), False)
    outs = {}
    for lowering in ("rnn", "message"):
        ours.lowering = lowering
        torch.manual_seed(0)
        outs[lowering] = ours(x, chain_of((4, 2)))
    close(outs["rnn"], outs["message"])
    theirs = nn.LSTM(C, H, num_layers=2).double()
    theirs.load_state_dict(ours.state_dict())
    expected = torch.cat([theirs(part)[0] for part in x.split((4, 2))])
    close(ours.eval()(x, chain_of((4, 2))), expected)
    assert (outs["rnn"] - expected).abs().max() > 1e-3
