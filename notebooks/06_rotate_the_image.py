# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rotate the image, rotate the features
#
# A convolution hands shifts through, but not turns: a filter for upright strokes misses lying ones. So turn the **filter**
# to all four sides and keep all four answers. Then **a turned image gives turned answers**, exactly, and a network of such
# layers gives the same class for all four turns without having seen one of them.

# %%
import torch

torch.manual_seed(0)
n = 9
x = torch.zeros(1, n, n, dtype=torch.float64)
x[0, 1:8, 2] = x[0, 1, 2:7] = x[0, 4, 2:5] = 1
print(x[0].int())

# %% [markdown]
# ## A convolution alone does not
# $g$ is the quarter turn, and $W$ one filter:
#
# $$y(p) = \sum_{u \in K} W(u) \, x(p + u)$$

# %%
from torch.nn.functional import conv2d

W = torch.randn(3, 3, dtype=torch.float64)


def g(x):
    return x.rot90(1, (-2, -1))


def convolve(x, W):
    return conv2d(x[None], W.expand(1, len(x), 3, 3), padding=1)[0]


# %%
print(f"turned before against turned after: {(convolve(g(x), W) - g(convolve(x, W))).abs().max():.2f}")
assert (convolve(g(x), W) - g(convolve(x, W))).abs().max() > 1

# %% [markdown]
# ## Lifting: the filter in all its turns
# Write $R$ for the quarter turn of places, and $r = 0, 1, 2, 3$ for how often:
#
# $$y(p, r) = \sum_{u \in K} W(R^{-r} u) \, x(p + u)$$
#
# What has come in is one image; what goes out are four, one for each $r$: a signal on the grid **times** the group.


# %%
def lift(x, W):
    return torch.cat([convolve(x, W.rot90(r)) for r in range(4)])


y = lift(x, W)
print(y.shape)

# %% [markdown]
# The turned image answers turn $r$ as the image answered turn $r - 1$, at the turned place. The four answers turn in place,
# and change places with one another: this is called the regular representation.
#
# $$(g \cdot y)(p, r) = y(R^{-1} p, \, r - 1), \qquad \text{lift}(g \cdot x) = g \cdot \text{lift}(x)$$


# %%
def g_lifted(y):
    return g(y).roll(1, 0)


print(f"{(lift(g(x), W) - g_lifted(y)).abs().max():.1e}")
assert (lift(g(x), W) - g_lifted(y)).abs().max() < 1e-12

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 5, figsize=(10, 4.2), layout="constrained", subplot_kw={"xticks": [], "yticks": []})
for row, image, name in zip(axes, (x, g(x)), ("x", "g.x")):
    row[0].imshow(image[0].numpy(), cmap="Greys")
    row[0].set_title(name)
    for r, answer in enumerate(lift(image, W)):
        row[r + 1].imshow(answer.numpy(), cmap="RdBu", vmin=-5, vmax=5)
        row[r + 1].set_title(f"lift({name}), r = {r}")
plt.show()

# %% [markdown]
# Each picture of the upper row is found in the lower one: a quarter further turned, and one place to the right.
#
# ## The next layer: convolution on the group
# Now a message goes from $(p + u, s)$ to $(p, r)$, and its weight may depend on how the one lies as seen from the other:
# the place $u$ and the turn $s$, both turned back by $r$.
#
# $$z(p, r) = \sum_{s} \sum_{u \in K} V_{s - r}(R^{-r} u) \, y(p + u, s)$$

# %%
V = torch.randn(4, 3, 3, dtype=torch.float64)


def group_convolve(y, V):
    return torch.cat([convolve(y, V.roll(r, 0).rot90(r, (1, 2))) for r in range(4)])


# %%
z = group_convolve(y, V)
print(f"{(group_convolve(g_lifted(y), V) - g_lifted(z)).abs().max():.1e}")
assert (group_convolve(g_lifted(y), V) - g_lifted(z)).abs().max() < 1e-12

# %% [markdown]
# ## As layers
# `GroupLiftingConv` and `GroupConv` are these two, as message passing on a `Grid`, run by torch's convolution. Their
# channels are typed: so many copies of the regular representation.

# %%
import graphgdl
from graphgdl.domains import Grid
from graphgdl.groups import Cyclic
from graphgdl.nn import GroupConv, GroupLiftingConv, GroupPool

grid, turns = Grid((n, n)), Cyclic(4)
lifting = GroupLiftingConv(1, 1, 3, turns, padding=1, bias=False).double().requires_grad_(False)
conv = GroupConv(1, 1, 3, turns, padding=1, bias=False).double().requires_grad_(False)
print(lifting.in_type, "->", lifting.out_type, "->", conv.out_type)

# %%
lifting.weight.copy_(W)
conv.weight.copy_(V)
pixels = x.view(1, n * n).T
difference = conv(lifting(pixels, grid), grid) - z.view(4, n * n).T
print(graphgdl.explain_lowering(conv, lifting(pixels, grid), grid))
print(f"largest difference {difference.abs().max():.1e}")
assert difference.abs().max() < 1e-12

# %% [markdown]
# ## The whole network
# Lift, convolve on the group, take the largest of the four turns at each place, and the mean over the places. In the
# middle we keep every second place: of nine, these are the same seen from all four sides.

# %%
from torch.nn import Linear, ReLU

from graphgdl.models import Blueprint
from graphgdl.nn import Readout

lifting, conv = GroupLiftingConv(1, 8, 3, turns, padding=1), GroupConv(8, 8, 3, turns, stride=2, padding=1)
layers = [lifting, ReLU(), conv, ReLU(), GroupPool(conv.out_type), Readout("mean"), Linear(8, 10)]
net = Blueprint(layers).double().requires_grad_(False)

# %%
images = torch.stack([x.rot90(r, (1, 2)) for r in range(4)])
logits = net(images.view(4 * n * n, 1), Grid.concat([grid] * 4))
print(logits[:, :5])
assert (logits - logits[0]).abs().max() < 1e-12

# %% [markdown]
# Four turns, one answer. Nothing was learned, nothing was averaged over copies of the image: the law is in the weights.
#
# ## Any angle
# Between the quarter turns a lattice does not map to itself, but points in the plane have no lattice. Let a channel be an
# arrow, which a turn $R$ of the plane turns as well. The kernel $k$ makes arrows out of numbers, and commutes with turns if
#
# $$k(R u) = R \, k(u), \qquad v_i = \sum_{j \in N(i)} k(p_j - p_i) \, x_j$$
#
# All such kernels are a radial and a tangential arrow times any function of the distance: these functions are learned.

# %%
from graphgdl.groups import SO, FieldType, scalars, standard
from graphgdl.nn import SteerablePointConv

p = x[0].nonzero().flip(1) * torch.tensor([1.0, -1.0], dtype=torch.float64)
p = p - p.mean(0)
edge_index = (torch.cdist(p, p) < 3).nonzero().T
steer = SteerablePointConv(scalars(1), FieldType(standard(SO(2))), radius=3).double().requires_grad_(False)
v = steer(torch.ones(len(p), 1).double(), p, edge_index)
print(v[:3])

# %%
angle = torch.tensor(37.0).deg2rad().double()
R = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
v_turned = steer(torch.ones(len(p), 1).double(), p @ R.T, edge_index)
print(f"{(v_turned - v @ R.T).abs().max():.1e}")
assert (v_turned - v @ R.T).abs().max() < 1e-12

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for axis, places, arrows in zip(axes, (p, p @ R.T), (v, v_turned)):
    axis.scatter(*places.T.numpy(), color="lightgrey", s=80)
    axis.quiver(*places.T.numpy(), *arrows.T.numpy(), angles="xy", scale=4)
    axis.set(xlim=(-6, 6), ylim=(-6, 6), aspect="equal")
plt.show()

# %% [markdown]
# ## Break it on purpose
# Leave one of the four filters as it was.


# %%
def lift_broken(x, W):
    return torch.cat([convolve(x, W.rot90(r if r < 3 else 0)) for r in range(4)])


# %%
gap = (lift_broken(g(x), W) - g_lifted(lift_broken(x, W))).abs().amax((1, 2))
try:
    assert gap.max() < 1e-12
except AssertionError:
    print("by answer r:", [f"{error:.1e}" for error in gap.tolist()], "The law is broken.")

# %%
assert [bool(error < 1e-12) for error in gap] == [False, True, True, False]

# %% [markdown]
# Two answers are wrong: the one that was not turned, and the one that expects to receive it.
#
# ## Exercise
# 1. Let the image have ten rows and columns. Which step of the network loses the law, and why?
# 2. Move the image by one place. Do the logits stay? Which grid and which stride would make them?
# 3. Replace `ReLU` by `y - y.mean()` over each copy of the representation. Is the law kept? And by adding 1 to answer 0?
