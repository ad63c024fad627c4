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
# # Where the time goes in a graph layer: into moving bytes
#
# A graph layer computes little on what it reads. How fast it runs is a question of **how many bytes it moves**, and the
# usual way of running a message moves many times more than the equation needs. We count the bytes, time both ways, and
# put them under the roofline of this machine.

# %%
import torch

torch.manual_seed(0)
n, e, h, c = 20_000, 200_000, 4, 16
edge_index = torch.randint(n, (2, e))
q, k, v = (torch.randn(n, h, c, requires_grad=True) for _ in range(3))

# %% [markdown]
# ## A layer of our own
# Dot-product attention over the neighbours, with $h$ heads of $c$ channels:
#
# $$s_{ji} = \frac{q_i \cdot k_j}{\sqrt c}, \qquad a_{ji} = \frac{\exp s_{ji}}{\sum_{j' \in N(i)} \exp s_{j'i}}, \qquad
# x_i' = \sum_{j \in N(i)} a_{ji} v_j$$
#
# The sum over the neighbours is PyTorch Geometric's; the rest is our message.

# %%
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax


class Attention(MessagePassing):
    def __init__(self):
        super().__init__(aggr="sum", node_dim=0)

    def forward(self, q, k, v, edge_index):
        return self.propagate(edge_index, q=q, k=k, v=v)

    def message(self, q_i, k_j, v_j, index, size_i):
        s = (q_i * k_j).sum(-1) / c**0.5
        a = softmax(s, index, num_nodes=size_i)
        return a.unsqueeze(-1) * v_j


# %% [markdown]
# ## What the message path moves
# PyG gathers the rows of both ends to the edges, computes on tensors with one row per edge, and scatters them back. Every
# step reads its inputs from memory and writes its result to memory. PyTorch tells us which steps these are. A gather
# reads one row for each edge, zeros are only written, a view moves nothing.

# %%
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def size(t):
    return min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) if isinstance(t, torch.Tensor) else 0


class Traffic(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.steps = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out, name = func(*args, **(kwargs or {})), func.name()
        gathers = name in ("aten::index_select", "aten::gather")
        read = (out, args[2]) if gathers else () if "zeros" in name else args
        if not func.is_view:
            self.steps.append((name, out, sum(map(size, tree_leaves((read, out))))))
        return out


# %%
message = Attention()
with Traffic() as traffic, torch.no_grad():
    message(q, k, v, edge_index)
for name, out, bytes_moved in traffic.steps:
    print(f"{name:32} {str(tuple(out.shape)) if isinstance(out, torch.Tensor) else '':18} {bytes_moved / 1e6:7.1f} MB")

# %%
message_forward = sum(bytes_moved for _, _, bytes_moved in traffic.steps)
wide = sum(isinstance(out, torch.Tensor) and out.shape == (e, h, c) for _, out, _ in traffic.steps)
print(f"{message_forward / 1e6:.0f} MB in all, through {wide} tensors of e x h x c")

# %% [markdown]
# ## The floor
# Nothing in the equation asks for a tensor of $e \times h \times c$. Read each neighbour's $k_j$ and $v_j$ once, each
# node's $q_i$ once, write each $x_i'$ once:

# %%
floor = 4 * (2 * e * h * c + 2 * n * h * c)
print(f"{floor / 1e6:.0f} MB, {message_forward / floor:.1f} times less")

# %% [markdown]
# ## The same message, compiled
# `accelerate` keeps the layer, and lets loops run that are derived from its `message()`. `explain_lowering` says what
# ran, and why nothing faster did.

# %%
import graphgdl

compiled = graphgdl.accelerate(Attention())
print(graphgdl.explain_lowering(compiled, q, k, v, edge_index))

# %%
y, y_compiled = message(q, k, v, edge_index), compiled(q, k, v, edge_index)
difference = float((y - y_compiled).detach().abs().max())
print(f"largest difference {difference:.1e}")
assert difference < 1e-4

# %% [markdown]
# Here are the loops. A kernel walks the rows of one end of the edges; a row's edges are swept several times, and what a
# sweep has summed up (`reduce`) or maximised (`rmax`) is at hand in the next. `E` is one row per edge, `N` one per node.

# %%
from graphgdl.compiler import compiled as variant

program = variant(compiled, "propagate", edge_index, n, n, {"q": q, "k": k, "v": v}).compiled
loops = {"forward": program.forward, "backward": program.backward.plain}


def kernels(loop):
    return [kernel for step in loop.steps for kernel in getattr(step, "steps", [])]


# %%
for name, loop in loops.items():
    for kernel in kernels(loop):
        print(f"{name}: for each row of {kernel.end}")
        for number, sweep in enumerate(kernel.sweeps, 1):
            print(f"  sweep {number}:", *sweep, sep="\n    ")

# %% [markdown]
# In memory there are only values of $e \times h$ (the scores and what the softmax makes of them), never of
# $e \times h \times c$. Count what the loops read and write, as if there were no cache, as we did above:


# %%
def moved(loop):
    total, known, rows = 0, set(loop.inputs), {"E": e, "N": n}
    for kernel in kernels(loop):
        at_hand = set()
        for sweep in kernel.sweeps:
            total += 8 * e  # for each edge, its other end and its number
            total += sum(4 * x.numel * rows[x.space] for x in sweep)  # what is written
            stack, seen = list(sweep), set()
            while stack:
                x = stack.pop()
                if x in seen or x in at_hand:
                    continue
                seen.add(x)
                if x in known:
                    total += 4 * x.numel * rows[x.space]
                elif x.op == "gather" and x.attr != kernel.end:
                    total += 4 * x.numel * e  # the row of a neighbour
                else:
                    stack += x.args
            known |= {x for x in sweep if x.space == "E"}
            at_hand |= {x for x in sweep if x.space == "N"}
        total += sum(4 * x.numel * n for x in kernel.rows)
        known |= at_hand | set(kernel.rows)
    return total


# %%
g = torch.randn_like(y)
with Traffic() as traffic:
    torch.autograd.grad(y, (q, k, v), g, retain_graph=True)
B = {
    ("message", "forward"): message_forward,
    ("message", "backward"): sum(bytes_moved for _, _, bytes_moved in traffic.steps),
    ("compiled", "forward"): moved(loops["forward"]),
    ("compiled", "backward"): moved(loops["backward"]),
}
for (path, direction), bytes_moved in B.items():
    print(f"{path:9} {direction:9} {bytes_moved / 1e6:6.0f} MB")

# %%
for direction in loops:
    assert B["message", direction] > 3 * B["compiled", direction]

# %% [markdown]
# ## The roofline
# A computation of $F$ operations on $B$ bytes has the **intensity** $F / B$. A machine that makes at most $P$
# operations and moves at most $\beta$ bytes in a second reaches at most
#
# $$\min(P,\; \beta F / B)$$
#
# operations in a second. We measure $P$ with a product of matrices, $\beta$ with a copy, and both ways of the layer in
# turns with them. The equation itself says $F$: forward two products of $c$ channels per edge and head, backward four,
# and a handful for the softmax.

# %%
F = {"forward": e * h * (2 * 2 * c + 5), "backward": e * h * (4 * 2 * c + 5)}
m = 1024
a, b, source, target = torch.randn(m, m), torch.randn(m, m), torch.ones(2**25), torch.empty(2**25)

# %%
from graphgdl.cli.bench.hot_path.clock import alternate

runs = {("product", ""): lambda: a @ b, ("copy", ""): lambda: target.copy_(source)}
for path, layer, result in (("message", message, y), ("compiled", compiled, y_compiled)):
    runs[path, "forward"] = lambda layer=layer: layer(q, k, v, edge_index)
    runs[path, "backward"] = lambda y=result: torch.autograd.grad(y, (q, k, v), g, retain_graph=True)
t = {name: times.median / 1e3 for name, times in alternate(runs, rounds=7, budget=8).items()}

# %%
P, beta = 2 * m**3 / t["product", ""], 2 * 4 * 2**25 / t["copy", ""]
print(f"P = {P / 1e9:.0f} Gflop/s, beta = {beta / 1e9:.1f} GB/s: the roof bends at {P / beta:.1f} operations per byte")
for path, direction in B:
    intensity, s = F[direction] / B[path, direction], t[path, direction]
    print(f"{path:9} {direction:9} F/B = {intensity:.3f}  {s * 1e3:6.1f} ms  {F[direction] / s / 1e9:6.2f} Gflop/s")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 4.5))
intensity = torch.logspace(-2, 2, 200)
axes.loglog(
    intensity, (beta * intensity).clamp(max=P) / 1e9, color="black", label="the roof: a product of matrices, a copy"
)
for (path, direction), mark in zip(B, "osos"):
    point = F[direction] / B[path, direction], F[direction] / t[path, direction] / 1e9
    axes.plot(*point, mark, color={"message": "tab:red", "compiled": "tab:blue"}[path], label=f"{path} {direction}")
axes.set(
    xlabel="intensity F / B, operations per byte", ylabel="Gflop/s", title="One attention layer under the roofline"
)
axes.legend()
figure.tight_layout()

# %% [markdown]
# All points lie under the slope, far to the left of the bend: the time goes into bytes, and a processor with twice the
# arithmetic would change nothing. The compiled layer computes the same with fewer bytes, so its points lie to the right,
# and higher by about as much. (Under the slope by a factor: rows are read here and there, not in a line, and some
# operations, such as `exp`, cost more than one. Above the slope, where a point lies there: the nodes fit into the cache.)
#
# ## The claim

# %%
for direction in loops:
    times_faster = t["message", direction] / t["compiled", direction]
    fewer_bytes = B["message", direction] / B["compiled", direction]
    print(f"{direction:9} {fewer_bytes:4.1f} times fewer bytes, {times_faster:4.1f} times faster")
    assert F[direction] / B["compiled", direction] < P / beta, "not bound by memory"
    assert times_faster > 1.5, "moving fewer bytes did not help"

# %% [markdown]
# ## What is not moved need not be kept
# Autograd keeps the wide tensors of the forward pass for the backward one. The compiled layer keeps a few values per edge
# and head, and computes the wide ones again where they are needed: that is cheaper than reading them.

# %%
from graphgdl.cli.bench.hot_path.memory import peak_mib


def step(layer):
    return torch.autograd.grad(layer(q, k, v, edge_index), (q, k, v), g)


memory = {
    name: peak_mib(lambda layer=layer: step(layer)) for name, layer in (("message", message), ("compiled", compiled))
}
print({name: f"{mib:.0f} MiB" for name, mib in memory.items()})
assert memory["message"] > 2 * memory["compiled"]

# %% [markdown]
# ## The second derivative
# Forces are derivatives, and training on forces takes derivatives of derivatives. The backward of the compiled layer is
# itself a program of gathers and sums, so it is differentiated and compiled again, when first asked for.

# %%
small = torch.randint(50, (2, 400))
inputs = [torch.randn(50, h, c, dtype=torch.float64, requires_grad=True) for _ in range(3)]


def second(layer):
    energy = layer(*inputs, small).square().sum()
    forces = torch.autograd.grad(energy, inputs, create_graph=True)
    return torch.autograd.grad(sum(f.square().sum() for f in forces), inputs)


# %%
gap = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(second(compiled), second(message)))
print(f"largest relative difference of the second derivatives: {gap:.1e}")
assert gap < 1e-10

# %% [markdown]
# ## Break it on purpose
# The compiler must know what the message does *whatever the numbers are*. Let the message look at its numbers:


# %%
class Peeking(Attention):
    def message(self, q_i, k_j, v_j, index, size_i):
        if q_i.abs().max() > 1e6:
            q_i = q_i / 1e6
        return super().message(q_i, k_j, v_j, index, size_i)


# %%
peeking = graphgdl.accelerate(Peeking())
report = graphgdl.explain_lowering(peeking, q, k, v, edge_index)
try:
    assert report[0].ran == "compiled"
except AssertionError:
    print(report)

# %% [markdown]
# Refused, with the reason, and nothing is wrong but the speed: the message path runs.

# %%
assert report[0].ran == "message"
with torch.no_grad():
    assert torch.equal(peeking(q, k, v, edge_index), message(q, k, v, edge_index))

# %% [markdown]
# ## Exercise
# 1. Let `Peeking` decide for each edge by itself, without an `if`. Hint: `torch.where`, `amax`. Does it compile?
# 2. Replace the softmax by `torch.sigmoid(s)`. How many sweeps does the loop take now, and how many bytes? Guess first.
# 3. Let `c` be 1, 4, 64. Where does the compiled layer stop gaining on the message path, and which bytes are left there?
