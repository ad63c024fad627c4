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
# # A CNN is message passing on a torus
#
# An image whose borders are joined, left to right and top to bottom, is a torus. Its pixels are the nodes of a graph, and
# a convolution is **a message along each edge, weighted by where the edge points**. We write it so, get the numbers of
# `torch.nn.Conv2d`, and read off what follows: shifts pass through, and waves are eigenvectors.

# %%
import torch

torch.manual_seed(0)
n, c_in, c_out = 8, 3, 4
x = torch.randn(n * n, c_in, dtype=torch.float64)
print(x.shape, "one row for each pixel")

# %% [markdown]
# ## The graph
# The window $K$ has nine places $u$. Node $i$ receives from $i + u$, for each $u$; on a torus places are counted modulo $n$.

# %%
from itertools import product

K = list(product((-1, 0, 1), repeat=2))
i = torch.cartesian_prod(torch.arange(n), torch.arange(n))
print(K, i[:3].tolist(), sep="\n")


# %%
def node(place):
    return place % n @ torch.tensor([n, 1])


edge_index = torch.cat([torch.stack([node(i + torch.tensor(u)), node(i)]) for u in K], dim=1)
print(edge_index.shape, "sources of node 0:", edge_index[0][edge_index[1] == 0].tolist())

# %% [markdown]
# ## The message
# Each edge multiplies what it carries by the matrix $W_u$ of the place it comes from:
#
# $$x_i' = b + \sum_{u \in K} W_u \, x_{i + u}$$

# %%
from torch_geometric.nn import MessagePassing


class Convolution(MessagePassing):
    def forward(self, x, edge_index, W, b):
        return b + self.propagate(edge_index, x=x, W=W)

    def message(self, x_j, W):
        return (W @ x_j.unsqueeze(-1)).squeeze(-1)


# %%
conv2d = torch.nn.Conv2d(c_in, c_out, 3, padding=1, padding_mode="circular").double().requires_grad_(False)
W, b = conv2d.weight.flatten(2).permute(2, 0, 1), conv2d.bias
print(W.shape, "one matrix for each u")

# %%
W_of_edge = W.repeat_interleave(n * n, dim=0)
ours = Convolution()(x, edge_index, W_of_edge, b)
theirs = conv2d(x.T.view(1, c_in, n, n)).view(c_out, n * n).T
print(f"largest difference {(ours - theirs).abs().max():.1e}")
assert (ours - theirs).abs().max() < 1e-12

# %% [markdown]
# So a convolution is message passing with tied weights: $n^2 \cdot 9$ edges, nine matrices.
#
# ## As specification, and as fast code
# `GridConv` is this message. Told that the graph is a `Grid`, it runs torch's convolution and builds no edge.

# %%
import graphgdl
from graphgdl.domains import Grid
from graphgdl.nn import GridConv

grid, conv = Grid((n, n), periodic=True), GridConv.from_torch(conv2d)
print(graphgdl.explain_lowering(conv, x, grid))
assert torch.allclose(conv(x, grid), ours, rtol=0, atol=1e-12)

# %%
conv.lowering = "message"
print(graphgdl.explain_lowering(conv, x, grid))
assert torch.allclose(conv(x, grid), ours, rtol=0, atol=1e-12)

# %%
from timeit import timeit

photo, wide = Grid((64, 64), periodic=True), GridConv(32, 32, 3, dim=2, padding=1)
pixels, t = torch.randn(photo.num_nodes, 32), {}
for wide.lowering in ("message", "conv"):
    t[wide.lowering] = min(timeit(lambda: wide(pixels, photo), number=3) / 3 for _ in range(5))

# %%
print({name: f"{1e3 * seconds:.1f} ms" for name, seconds in t.items()})
assert t["conv"] < t["message"]

# %% [markdown]
# ## The whole network
# A CNN is a stack of these, with a function at each pixel between them and a mean over the pixels behind them.
# `from_torch` makes of it a network on grids, with the same parameters.

# %%
from torch.nn import AdaptiveAvgPool2d, Conv2d, Flatten, ReLU, Sequential

ring = {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}
convolutions = [Conv2d(3, 8, **ring), ReLU(), Conv2d(8, 8, **ring), ReLU(), Conv2d(8, 5, **ring)]
cnn = Sequential(*convolutions, AdaptiveAvgPool2d(1), Flatten()).double().requires_grad_(False)

# %%
from graphgdl.nn import from_torch

gnn = from_torch(cnn)
images = torch.randn(2, 3, n, n, dtype=torch.float64)
pixels, grids = images.permute(0, 2, 3, 1).reshape(-1, 3), Grid.concat([grid, grid])
print(cnn(images), gnn(pixels, grids), sep="\n")
assert torch.allclose(gnn(pixels, grids), cnn(images), rtol=0, atol=1e-12)

# %% [markdown]
# ## The law
# No message knows *where* it is sent, so a shift $g$ of the image shifts the features, and the mean does not see it:
#
# $$f(g \cdot x) = g \cdot f(x), \qquad \text{mean}(g \cdot x) = \text{mean}(x)$$
#
# There are $n^2$ shifts. We try them all.

# %%
from graphgdl.groups import Translations

group = Translations((n, n), periodic=True)


def error(f, x):
    return max(float((f(group.act(g, x)) - group.act(g, f(x))).abs().max()) for g in group.elements())


# %%
print(f"convolution, over {group.order} shifts: {error(lambda x: conv(x, grid), x):.1e}")
assert error(lambda x: conv(x, grid), x) < 1e-12

# %%
y = gnn(x, grid)
spread = max(float((gnn(group.act(g, x), grid) - y).abs().max()) for g in group.elements())
print(f"network: the output moves by {spread:.1e}")
assert spread < 1e-12

# %% [markdown]
# ## What commutes with shifts is diagonal in waves
# The waves $w_k(p) = e^{2 \pi \mathrm{i}\, k \cdot p / n}$ are what shifts only multiply by a number. A convolution
# commutes with all shifts, so it does the same, and the message says with which number (one channel, $b = 0$):
#
# $$\sum_{u \in K} W_u \, w_k(p + u) = \hat W(k) \, w_k(p), \qquad
# \hat W(k) = \sum_{u \in K} W_u \, e^{2 \pi \mathrm{i}\, k \cdot u / n}$$
#
# We write the convolution as a matrix $C$, column by column, and the waves as the columns of a unitary $F$.

# %%
W = torch.randn(9, 1, 1, dtype=torch.float64)


def matrix(W_of_edge):
    columns = torch.eye(n * n, dtype=torch.float64).unsqueeze(-1)
    return torch.cat([Convolution()(x, edge_index, W_of_edge, 0) for x in columns], dim=1)


C = matrix(W.repeat_interleave(n * n, dim=0))
print(C.shape, "entries in each row:", sorted(set((C != 0).sum(1).tolist())))

# %%
k = p = i.double()
F = torch.exp(2j * torch.pi / n * (p @ k.T)) / n
D = F.mH @ C.to(F) @ F
print(f"largest entry of F* C F off the diagonal: {(D - D.diagonal().diag()).abs().max():.1e}")
assert (D - D.diagonal().diag()).abs().max() < 1e-12

# %%
W_hat = torch.exp(2j * torch.pi / n * (k @ torch.tensor(K).double().T)) @ W.flatten().to(F)
print(f"the diagonal against the formula: {(D.diagonal() - W_hat).abs().max():.1e}")
assert (D.diagonal() - W_hat).abs().max() < 1e-12

# %% [markdown]
# A convolution on a torus is nothing but a number for each wave. This is why an FFT can run it, and it is the way in
# which convolution is carried over to domains that have no shifts but do have waves: graphs (eigenvectors of the
# Laplacian), spheres (spherical harmonics).

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
axes[0].imshow(C.abs().numpy(), cmap="Greys")
axes[1].imshow(D.abs().numpy(), cmap="Greys")
axes[2].imshow(
    torch.fft.fftshift(W_hat.view(n, n).abs()).numpy(),
    cmap="Greys",
    origin="lower",
    extent=[-n / 2 - 0.5, n / 2 - 0.5] * 2,
)
for axis, title in zip(axes, ("C, over pixels", "F* C F, over waves", "its diagonal, by wave number k")):
    axis.set_title(title)
plt.show()

# %% [markdown]
# ## Break it on purpose
# Let one tap depend on the place: of the $9 n^2$ edges, one weighs what it carries twice.

# %%
W_broken = W.repeat_interleave(n * n, dim=0)
W_broken[0] *= 2
C_broken = matrix(W_broken)
print("entries of C that changed:", int((C_broken != C).sum()))

# %%
try:
    assert error(lambda x: C_broken @ x, x) < 1e-12
except AssertionError:
    print(f"shifts no longer pass through: {error(lambda x: C_broken @ x, x):.2f}. The law is broken.")

# %%
D_broken = F.mH @ C_broken.to(F) @ F
filled, filled_broken = (int((M.abs() > 1e-12).sum()) for M in (D, D_broken))
print(f"entries of F* C F above rounding: {filled} before, {filled_broken} now")
assert error(lambda x: C_broken @ x, x) > 0.1
assert (filled, filled_broken) == (n**2, n**4)

# %% [markdown]
# One edge that knows where it is, and every wave is scattered into every other.
#
# ## Exercise
# 1. Use `Grid((n, n))` and zero padding in the place of the torus. Which shifts still pass through, for which images?
# 2. With `GridConv(..., stride=2)` on the torus: which of the 64 shifts obey the law, and how does the output move?
# 3. Two convolutions in a row are one with a 5 x 5 window. What is its $\hat W$? Why does a ReLU between them spoil this?
