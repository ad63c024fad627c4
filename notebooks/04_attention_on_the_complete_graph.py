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
# # Attention is message passing on the complete graph
#
# A transformer takes a set. Join every element to every element, itself included: that is the complete graph, and
# self-attention is **a softmax-weighted message along each of its edges**. We write it so, get the numbers of torch, prove
# that the order of the elements does not count, and see what has to be added when it should.

# %%
import torch

torch.manual_seed(0)
n, c = 5, 8
x = torch.randn(n, c, dtype=torch.float64)
W_q, W_k, W_v = torch.randn(3, c, c, dtype=torch.float64) / c**0.5
q, k, v = x @ W_q, x @ W_k, x @ W_v
print(q.shape, k.shape, v.shape)

# %% [markdown]
# ## The graph and the message
#
# $$s_{ij} = \frac{q_i \cdot k_j}{\sqrt c}, \qquad a_{ij} = \frac{\exp s_{ij}}{\sum_{j'} \exp s_{ij'}}, \qquad
# x_i' = \sum_j a_{ij} v_j$$

# %%
from graphgdl.domains import Complete

edge_index = Complete(n).edge_index
print(edge_index)

# %%
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax


class Attention(MessagePassing):
    def forward(self, q, k, v, edge_index):
        return self.propagate(edge_index, q=q, k=k, v=v)

    def message(self, q_i, k_j, v_j, index):
        s = (q_i * k_j).sum(-1, keepdim=True) / c**0.5
        return softmax(s, index) * v_j


# %%
from torch.nn.functional import scaled_dot_product_attention

ours, theirs = Attention()(q, k, v, edge_index), scaled_dot_product_attention(q, k, v)
print(f"largest difference {(ours - theirs).abs().max():.1e}")
assert (ours - theirs).abs().max() < 1e-12

# %% [markdown]
# ## The whole layer
# A transformer's encoder layer has several such heads and then a small network at each element. Ours has torch's
# parameters, by name. Sets of unequal size lie side by side as rows; torch pads them to the longest and masks the padding.

# %%
from graphgdl.nn import TransformerEncoderLayer

ours = TransformerEncoderLayer(c, nhead=2, dim_feedforward=16).double().eval().requires_grad_(False)
theirs = torch.nn.TransformerEncoderLayer(c, nhead=2, dim_feedforward=16, batch_first=True).double().eval()
print(theirs.load_state_dict(ours.state_dict()))

# %%
sets = Complete([0, 3, 8, 10])
rows = torch.randn(10, c, dtype=torch.float64)
padded = torch.nn.utils.rnn.pad_sequence(rows.split(sets.sizes), batch_first=True)
padding = torch.arange(5) >= torch.tensor(sets.sizes).unsqueeze(1)
print(padding.int())

# %%
difference = ours(rows, sets) - theirs(padded, src_key_padding_mask=padding)[~padding]
print(f"largest difference {difference.abs().max():.1e}")
assert difference.abs().max() < 1e-12

# %% [markdown]
# Told that the graph is `Complete`, the layer runs torch's attention and builds no edge. Forced to, it runs the message.

# %%
import graphgdl

print(graphgdl.explain_lowering(ours, rows, sets))
by_sdpa, ours.attention.lowering = ours(rows, sets), "message"
print(graphgdl.explain_lowering(ours, rows, sets))
assert torch.allclose(ours(rows, sets), by_sdpa, rtol=0, atol=1e-12)

# %% [markdown]
# ## The law
# The complete graph looks the same however its nodes are numbered, so no message can tell in which order the elements came:
#
# $$f(P x) = P f(x) \quad \text{for each permutation } P$$
#
# Five elements have 120 orders. We try them all.

# %%
from itertools import permutations

from graphgdl.groups import Permutation

group, orders = Permutation(n), torch.tensor(list(permutations(range(n))))


def f(x):
    return ours(x, Complete(n))


def error(f, x):
    return max(float((f(group.act(g, x)) - group.act(g, f(x))).abs().max()) for g in orders)


# %%
print(f"over {len(orders)} orders: {error(f, x):.1e}")
assert error(f, x) < 1e-12

# %% [markdown]
# ## A sum over pairs, over a sum over pairs
# Janossy pooling sums any function of $k$ elements over all $k$-tuples of a set. Mark the first of two: attention is
# the ratio of two such sums.
#
# $$x_i' = \frac{\sum_j w(x_i, x_j) \, v_j}{\sum_j w(x_i, x_j)}, \qquad w(x_i, x_j) = \exp \frac{q_i \cdot k_j}{\sqrt c}$$

# %%
from graphgdl.nn import JanossyPooling


def w(pairs):
    return (((pairs[:, 0] @ W_q) * (pairs[:, 1] @ W_k)).sum(1, keepdim=True) / c**0.5).exp()


# %%
pair_sum = {"k": 2, "marked": True, "distinct": False}
numerator = JanossyPooling(function=lambda pairs: w(pairs) * (pairs[:, 1] @ W_v), **pair_sum)
denominator = JanossyPooling(function=w, **pair_sum)
ratio = numerator(x, Complete(n)) / denominator(x, Complete(n))
print(f"against attention: {(ratio - scaled_dot_product_attention(q, k, v)).abs().max():.1e}")
assert torch.allclose(ratio, scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-10)

# %% [markdown]
# ## Where order comes from
# *Dog bites man* and *man bites dog* are one set. To a transformer they differ only because something is added to the
# words that knows their places: waves along a line. The line is a graph too, the path, with the Laplacian
# $(L p)_t = \sum_{t' \in N(t)} (p_t - p_{t'})$, and **its eigenvectors are waves**:
#
# $$p_t = \cos\big(\omega (t + \tfrac12)\big), \qquad L p = (2 - 2 \cos \omega) \, p, \qquad
# \omega = \frac{\pi m}{N}, \quad m = 0, \dots, N - 1$$

# %%
from graphgdl.domains import Chain

N = 40
A = torch.zeros(N, N, dtype=torch.float64)
A[tuple(Chain(N, bidirectional=True).edge_index)] = 1
L = A.sum(0).diag() - A
print(L[:4, :5])

# %%
t = torch.arange(N, dtype=torch.float64)
omega = torch.pi / N * t
P = torch.cos((t + 0.5).unsqueeze(1) * omega)
print(f"L P against P times the eigenvalues: {(L @ P - P * (2 - 2 * omega.cos())).abs().max():.1e}")
assert (L @ P - P * (2 - 2 * omega.cos())).abs().max() < 1e-10

# %% [markdown]
# The transformer's encoding takes sines and cosines at frequencies of its own, from 1 down to nearly 0. On a path without
# ends these are eigenfunctions all the same; on ours, everywhere but at its two ends, which have one neighbour less.

# %%
from graphgdl.nn import sinusoidal_encoding

p = sinusoidal_encoding(t, 32)
omega = 10000.0 ** (-torch.arange(0, 32, 2, dtype=torch.float64) / 32).repeat_interleave(2)
gap = (L @ p - (2 - 2 * omega.cos()) * p).abs().amax(dim=1)
print(f"inside {gap[1:-1].max():.1e}, at the ends {gap[0]:.2f} and {gap[-1]:.2f}")
assert gap[1:-1].max() < 1e-10 < gap[[0, -1]].min()

# %% [markdown]
# A shift along the path turns each pair (sine, cosine) by an angle, so the product of two encodings sees how far apart
# they are, and nothing else:
#
# $$p_t \cdot p_{t'} = \sum_\omega \cos\big(\omega (t - t')\big)$$

# %%
product = p @ p.T
diagonals = [product.diagonal(d) for d in range(N)]
print(f"along the diagonals it varies by {max(float(d.max() - d.min()) for d in diagonals):.1e}")
assert all(torch.allclose(d, d[:1], rtol=0, atol=1e-10) for d in diagonals)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
axes[0].imshow((q @ k.T / c**0.5).softmax(1).numpy(), cmap="Greys")
axes[1].plot(P[:, 1:5].numpy())
axes[2].imshow(product.numpy(), cmap="Greys")
for axis, title in zip(axes, ("a, weights on the complete graph", "eigenvectors of the path", "products of encodings")):
    axis.set_title(title)
plt.show()

# %% [markdown]
# Added to the elements, the encoding is felt: reorder the elements and leave the places, and the result is another one.
# Move each place with its element, and the law is back.

# %%
p = sinusoidal_encoding(torch.arange(n).double(), c)
g = torch.tensor([2, 1, 0, 3, 4])
print("elements alone:", f"{(f(group.act(g, x) + p) - group.act(g, f(x + p))).abs().max():.1e}")
print("with their places:", f"{(f(group.act(g, x + p)) - group.act(g, f(x + p))).abs().max():.1e}")

# %%
assert (f(group.act(g, x) + p) - group.act(g, f(x + p))).abs().max() > 1e-2
assert error(f, x + p) < 1e-12

# %% [markdown]
# ## Break it on purpose
# Take one edge out of the 25: node 0 no longer hears node 1.

# %%
torn = edge_index[:, (edge_index != torch.tensor([[1], [0]])).any(0)]
print(torn.shape)


def f_torn(x):
    return ours(x, torn)


# %%
try:
    assert error(f_torn, x) < 1e-12
except AssertionError:
    print(f"the order counts now: {error(f_torn, x):.2f}. The law is broken.")

# %%
assert error(f_torn, x) > 1e-2

# %% [markdown]
# The graph is no longer complete, and a set no longer a set. What is left of the law are the orders that keep the edges.
#
# ## Exercise
# 1. How many of the 120 orders still obey the law on `torn`? Count by thought, then by running over `orders`.
# 2. A decoder hears only what came before. Which edges does its graph have, and which orders keep them?
# 3. Replace the softmax by the mean over $j$. Which well-known layer on sets is this?
