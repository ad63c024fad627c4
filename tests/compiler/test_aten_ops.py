"""Each ATen op that the compiler translates, in a user's message: value, gradient and second derivative as torch has them.

The ops of a family stand side by side in one message. Features lie between 0.1 and 0.9, where all of them are smooth but
for steps.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from random_graphs import graph
from torch import Tensor
from user_layers import UserLayer

NAMES = "exp log log1p expm1 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh sigmoid erf abs sign floor neg"
NAMES += " reciprocal square log2 log10 exp2 asinh atanh logit frac"
PLAIN = [getattr(torch, name) for name in NAMES.split()]
FAMILIES: dict[str, list[Callable[[Tensor], Tensor]]] = {
    **{" ".join(f.__name__ for f in PLAIN[k : k + 6]): PLAIN[k : k + 6] for k in range(0, len(PLAIN), 6)},
    "two arguments": [
        lambda v: torch.atan2(v, v[:, :1] + 2),
        lambda v: v.abs() ** 1.7 + v ** v[:, :1] + v**-2,
        lambda v: torch.hypot(v, v[:, :1]),
        lambda v: torch.logaddexp(v, v[:, :1] * v),
        lambda v: torch.xlogy(v, v + 1) + torch.xlogy(2.0, v) + torch.xlogy(v, 3.0),
        lambda v: torch.rsub(v, v * v, alpha=2) + torch.add(v, v, alpha=0.3) - (1 - v),
    ],
    "three arguments": [
        lambda v: torch.addcmul(v, v, v.flip(-1), value=0.5),
        lambda v: torch.addcdiv(v, v, v + 1, value=2.0),
        lambda v: torch.lerp(v, v * v, 0.3) + torch.lerp(v, v * v, 0.8),
        lambda v: torch.lerp(v, v * v, v[:, :1]),
        lambda v: torch.where(v > 0.5, 2.0, 3.0) * v + torch.where(v > 0.5, v, 3.0) + torch.where(v > 0.4, 1, v),
        lambda v: v.clamp(v[:, :1], v[:, 1:2] + 3).clamp_min(0.2) * v,
    ],
    "activations": [
        lambda v: F.mish(v) + F.silu(4 * v - 2),
        lambda v: F.celu(v - 0.5, 1.3),
        lambda v: F.selu(v - 0.5),
        lambda v: F.hardswish(v * 9 - 4),
        lambda v: F.gelu(v - 0.5, approximate="tanh"),
        lambda v: F.glu(torch.cat([v, v * v], -1)),
        lambda v: F.glu(v.view(-1, 2, 2), 1).flatten(1),
    ],
    "shrinking activations": [
        lambda v: F.hardshrink(v - 0.5, 0.2) * v,
        lambda v: F.softshrink(v - 0.5, 0.2) * v,
        lambda v: F.threshold(v, 0.4, 7.0) * v,
        lambda v: F.relu6(9 * v) * v,
        lambda v: torch.logit(v, 0.2),
        lambda v: torch.acosh(v + 1) + F.softsign(v) + F.tanhshrink(v),
        lambda v: (torch.ceil(3 * v) + torch.trunc(3 * v - 1)) * v,
    ],
    "sums of exponentials": [
        lambda v: v.logsumexp(-1, keepdim=True) * v,
        lambda v: v.view(-1, 2, 2).logsumexp((1, 2)).view(-1, 1) * v,
        lambda v: v.log_softmax(-1),
        lambda v: torch.cat([v, v - torch.inf], -1).logsumexp(-1, keepdim=True) * v,
    ],
    "variances": [
        lambda v: v.var(-1, keepdim=True) * v,
        lambda v: v.var(-1, unbiased=False, keepdim=True) + v,
        lambda v: v.std(-1).unsqueeze(-1) * v,
        lambda v: sum(torch.var_mean(v, -1, keepdim=True)) * v,
        lambda v: sum(torch.std_mean(v, -1, correction=0, keepdim=True)) * v,
    ],
    "extremes": [
        lambda v: v.amax(-1, keepdim=True) * v,
        lambda v: v.amin(-1, keepdim=True) * v,
        lambda v: v.max(-1).values.unsqueeze(-1) * v,
        lambda v: v.min(-1, keepdim=True).values * v,
        lambda v: v.view(-1, 2, 2).max(1).values * v[:, :2],
        lambda v: torch.maximum(v, v[:, :1]).view(-1, 2, 2).max(2).values,  # equal features: the first one wins
    ],
    "positions": [
        lambda v: (v.max(-1, keepdim=True).indices == 2) * v,
        lambda v: v.argmax(-1, keepdim=True).to(v.dtype) * v,
        lambda v: v.argmin(-1, keepdim=True) * v,
        lambda v: v.gather(1, v.max(-1, keepdim=True).indices) * v,
        lambda v: torch.maximum(v, v[:, 1:2]).argmax(-1, keepdim=True) * v,
        lambda v: (v > 0.5).any(-1, keepdim=True) * v + (v > 0.2).all(-1, keepdim=True) * v * v,
    ],
    "running": [
        lambda v: v.prod(-1, keepdim=True) * v,
        lambda v: (v.view(-1, 2, 2).prod(1) - 0.2) * v[:, :2],
        lambda v: v.cumsum(-1) * v,
        lambda v: v.view(-1, 2, 2).cumsum(1).flatten(1) * v,
        lambda v: v.cumprod(-1) + v,
    ],
    "rearranged": [
        lambda v: F.pad(v, (1, 2), value=3.0)[:, 1:6] * v[:, :1],
        lambda v: F.pad(v, (-1, 1)) * v,
        lambda v: F.pad(v.view(-1, 2, 2), (0, 1, 1, 0)).flatten(1) ** 2,
        lambda v: v.roll(1, 1) * v,
        lambda v: v.view(-1, 2, 2).roll((1, -1), (1, 2)).flatten(1) * v,
    ],
    "whole numbers": [
        lambda v: v * torch.arange(4),
        lambda v: v * torch.tensor(3) + torch.tensor([1, -2, 3, 0]),
        lambda v: (v > 0.5).sum(-1, keepdim=True) * v,
        lambda v: (v > 0.5).long() * v + (2 * (v > 0.3).sum(-1, keepdim=True) - 1).to(v.dtype) * v,
        lambda v: v.gather(1, (v > 0.5).sum(-1, keepdim=True).clamp(max=3)) * v,
        lambda v: v.sign().any(-1, keepdim=True) * v + (v - 0.2).floor().all(-1, keepdim=True) * v * v,
    ],
    "decomposed by torch": [
        lambda v: F.layer_norm(v, (4,), eps=0.1) * v,
        lambda v: F.rms_norm(v, (4,), eps=0.1) * v,
        lambda v: v.softmax(-1) * v + v.view(-1, 2, 2).softmax(1).flatten(1),
        lambda v: torch.addmm(v, v, torch.eye(4, dtype=v.dtype) * 2, beta=0.5, alpha=3.0),
    ],
    "products": [
        lambda v: torch.baddbmm(v.view(-1, 2, 2), v.view(-1, 2, 2), v.view(-1, 2, 2)).flatten(1),
        lambda v: (v.view(-1, 2, 1, 2) @ v.view(-1, 2, 2, 1)).flatten(1) * v[:, :2],  # edges folded with heads
        lambda v: (v.view(-1, 2, 2, 1).softmax(2).transpose(2, 3) @ v.view(-1, 2, 2, 1)).flatten(1) * v[:, :2],
        lambda v: torch.linalg.cross(v[:, :3], v[:, 1:]),
        lambda v: (v.view(-1, 1, 4) @ v.view(-1, 4, 1)).view(-1, 1) * v,
        lambda v: v / v.norm(p=1, dim=-1, keepdim=True),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_second_derivative_of_each_op(family):
    class Ops(UserLayer):
        def message(self, x_j):
            return torch.cat([function(x_j) for function in FAMILIES[family]], -1)

    layer, g = Ops(), graph("unsorted", 7, 7, 20, 1)
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(7, 4, dtype=torch.float64, generator=generator) * 0.8 + 0.1).requires_grad_()
    found = {}
    for lowering in ("message", "compiled"):
        layer.lowering = lowering
        out = layer(x, g.edge_index)
        weight = torch.arange(1.0, out.size(1) + 1, dtype=out.dtype).cos()
        (first,) = torch.autograd.grad((out.sin() * weight).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((first.square() * weight[:4]).sum(), x)
        found[lowering] = [out.detach(), first.detach(), second]
    for name, a, b in zip(("value", "gradient", "second derivative"), found["compiled"], found["message"]):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


def test_the_first_derivative_of_hardsigmoid():
    """Torch has no second one."""

    class Gate(UserLayer):
        def message(self, x_j):
            return F.hardsigmoid(x_j * 9 - 4)

    layer, g = Gate(), graph("unsorted", 7, 7, 20, 1)
    x = torch.rand(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = {}
    for layer.lowering in ("message", "compiled"):
        out = layer(x, g.edge_index)
        found[layer.lowering] = [out, *torch.autograd.grad(out.sin().sum(), x)]
    torch.testing.assert_close(found["compiled"], found["message"], rtol=1e-10, atol=1e-10)
