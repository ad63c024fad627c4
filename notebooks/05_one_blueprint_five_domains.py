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
# # One blueprint, five domains
#
# A convolutional network, a transformer, a recurrent network, a graph network and a network for molecules are **one
# construction**: local maps $B$ that commute with the symmetries of the domain, functions $\sigma$ at each node,
# poolings $P$ to a smaller domain, and a readout $A$ that no symmetry changes.
#
# $$f = A \circ \sigma \circ B' \circ P \circ \sigma \circ B, \qquad B(g \cdot x) = g \cdot B(x), \quad A(g \cdot x) = A(x)
# \quad \Rightarrow \quad f(g \cdot x) = f(x)$$
#
# | domain | what may change | local map | coarsening |
# | --- | --- | --- | --- |
# | torus | shifts | convolution | every second place |
# | set | order | attention | |
# | sequence | the time when it begins | recurrence | every second step |
# | graph | numbering | weighted sum over neighbours | heavy edges contracted |
# | molecule | place and orientation in space | vectors to the neighbours | heavy edges contracted |
#
# We build the five, and try the law on each.

# %%
import torch
from torch.nn import Linear, ReLU, Sequential, Tanh

from graphgdl.domains import Chain, Complete, Grid, StructuredData
from graphgdl.models import Blueprint
from graphgdl.nn import Readout

torch.manual_seed(0)
torch.set_grad_enabled(False)
table = {}

# %% [markdown]
# ## A torus
# A stride of two keeps every second place, and so only shifts by an even number of places pass: coarsening costs symmetry.
# The blueprint says so itself, by `laws`; here we write the group down once more, to try it.

# %%
from graphgdl.groups import Translations
from graphgdl.nn import GridConv

image = StructuredData(torch.randn(64, 3), Grid((8, 8), periodic=True))
conv, strided = GridConv(3, 8, 3, padding=1, dim=2), GridConv(8, 8, 2, stride=2, dim=2)
cnn = Blueprint([conv, ReLU(), strided, ReLU(), Readout("mean"), Linear(8, 5)])
print(cnn(image), cnn.laws(image)[0].statement, sep="\n")


# %%
class EvenShifts(Translations):
    def sample(self, generator=None):
        return 2 * super().sample(generator) % torch.tensor(self.shape)


table["torus"] = cnn, image, EvenShifts((8, 8), periodic=True)

# %% [markdown]
# ## A set
# On the complete graph every node is every node's neighbour: there is nothing local, and nothing to coarsen but all at once.

# %%
from graphgdl.groups import FieldAction, Permutation
from graphgdl.nn import TransformerEncoderLayer

elements = StructuredData(torch.randn(6, 4), Complete(6))
layers = [TransformerEncoderLayer(4, 2, 16), TransformerEncoderLayer(4, 2, 16), Readout("sum"), Linear(4, 5)]
transformer = Blueprint(layers)
print(transformer(elements))
table["set"] = transformer, elements, FieldAction(Permutation(6), {"x": Permutation(6)})

# %% [markdown]
# ## A sequence
# Nothing may be reordered here. What may change is when it begins: silence before the first word says nothing. A recurrent
# unit without bias stays at rest until something comes. To coarsen, keep every second state, counted from the end: a
# layer of our own, whose `grid` tells the next layer the new domain.


# %%
class EverySecond(torch.nn.Module):
    def forward(self, x, structure):
        return x.flip(0)[::2].flip(0)

    def grid(self, structure):
        return Chain((structure.num_nodes + 1) // 2)


# %%
from graphgdl.nn import ChainGRU

words = StructuredData(torch.randn(9, 3), Chain(9))
layers = [ChainGRU(3, 8, bias=False), EverySecond(), ChainGRU(8, 8, bias=False), Readout("sum"), Linear(8, 5)]
gru = Blueprint(layers)
print(gru(words))


# %%
class Silence:
    def sample(self, generator=None):
        return torch.randint(1, 6, (), generator=generator)

    def act(self, g, data):
        x = torch.cat([data.x.new_zeros(int(g), data.x.size(1)), data.x])
        return StructuredData(x, Chain(len(x)))


table["sequence"] = gru, words, Silence()

# %% [markdown]
# ## A graph
# Zachary's karate club, with weights on its edges. The heaviest edge is contracted, then the heaviest of those whose ends
# are still free, and so on: the pairs become the nodes of a smaller graph.

# %%
import networkx as nx
from torch_geometric.data import Data

from graphgdl.domains import from_networkx

edge_index = from_networkx(nx.karate_club_graph()).edge_index
weight = torch.rand(34)[edge_index].prod(0)
club = Data(torch.randn(34, 3), edge_index, edge_weight=weight)

# %%
from graphgdl.nn import GraphConv, HeavyEdgePool

pool = HeavyEdgePool()
gnn = Blueprint([GraphConv(3, 8), ReLU(), pool, GraphConv(8, 8), ReLU(), Readout("mean"), Linear(8, 5)])
print(gnn(club))
table["graph"] = gnn, club, Permutation(34)

# %% [markdown]
# ## A molecule
# Atoms have positions, and channels may be vectors: turn the molecule, and they turn. A message along $r = p_j - p_i$ makes
# such vectors, scaled by a function of what does not turn:
#
# $$v_i = \sum_{j \in N(i)} \phi(x_i, x_j, |r|^2) \, r$$

# %%
from torch_geometric.nn import MessagePassing

from graphgdl.groups import FieldType, O, standard

vectors = FieldType(standard(O(3)), 8)


class Vectors(MessagePassing):
    def __init__(self, in_channels):
        super().__init__(aggr="sum")
        self.in_channels, self.out_type = in_channels, vectors
        self.phi = Sequential(Linear(2 * in_channels + 1, 16), Tanh(), Linear(16, vectors.multiplicity))

    def forward(self, x, edge_index, pos):
        return self.propagate(edge_index, x=x, pos=pos)

    def message(self, x_i, x_j, pos_i, pos_j):
        r = pos_j - pos_i
        scale = self.phi(torch.cat([x_i, x_j, r.square().sum(1, keepdim=True)], dim=1))
        return (scale.unsqueeze(2) * r.unsqueeze(1)).flatten(1)


# %%
from rdkit import Chem
from rdkit.Chem.AllChem import EmbedMolecule

from graphgdl.domains import from_smiles

alanine = "C[C@H](N)C(=O)O"
atoms = Chem.AddHs(Chem.MolFromSmiles(alanine))
EmbedMolecule(atoms, randomSeed=0)
pos = torch.tensor(atoms.GetConformer().GetPositions()[:6]).float()

# %%
bonds = from_smiles(alanine, atom_features=("atomic_num",))
j, i = bonds.edge_index
x = (bonds.x == torch.tensor([6, 7, 8])).float()
molecule = Data(x, bonds.edge_index, pos=pos, edge_weight=1 / (pos[j] - pos[i]).norm(dim=1))
print(molecule)

# %% [markdown]
# A ReLU on the entries of a vector would not turn with it. A function of its length does, and lengths alone are invariant.

# %%
from graphgdl.groups import E
from graphgdl.nn import NormNonlinearity, NormPool

local = [Vectors(3), NormNonlinearity(vectors), NormPool(vectors)]
egnn = Blueprint([*local, pool, GraphConv(8, 8), Readout("sum"), Linear(8, 5)])
print(egnn(molecule))
table["molecule"] = egnn, molecule, E(3)

# %% [markdown]
# ## The law, five times
# `assert_equivariant` draws elements $g$ of each group and measures how much $f(g \cdot x)$ differs from $f(x)$, in
# float64. A model that ignored its input would pass as well: `assert_not_vacuous` says that the output varies with the
# features, and with every parameter.

# %%
from graphgdl.testing import assert_equivariant, assert_not_vacuous

for domain, (model, data, group) in table.items():
    error = assert_equivariant(model, data, group=group, law="invariant")
    assert_not_vacuous(model, data, group=group, law="invariant")
    print(f"{domain:9} {error:.1e}")
    assert error < 1e-10

# %% [markdown]
# What the five look like; in the last two, nodes of one colour are contracted to one.

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), layout="constrained")
for axis, domain in zip(axes, table):
    axis.set_title(domain)
axes[0].imshow(image.x[:, 0].view(8, 8).numpy(), cmap="Greys")
nx.draw(nx.complete_graph(6), nx.circular_layout(range(6)), axes[1], node_size=60)
nx.draw(nx.path_graph(9, nx.DiGraph), {t: (t, t % 2) for t in range(9)}, axes[2], node_size=60)
for axis, data, places in zip(axes[3:], (club, molecule), (None, molecule.pos[:, :2].numpy())):
    pairs = pool(data.x, data.edge_index, edge_weight=data.edge_weight).select.cluster_index
    edges = nx.from_edgelist(data.edge_index.T.tolist())
    places = nx.spring_layout(edges, seed=0) if places is None else dict(enumerate(places))
    nx.draw(edges, places, axis, nodelist=range(len(pairs)), node_color=pairs.numpy(), cmap="tab20", node_size=60)
plt.show()

# %% [markdown]
# ## Break it on purpose
# Take the ReLU for the vectors after all. The blueprint knows the types of both sides, and refuses:

# %%
layers = list(egnn.layers)
layers[1] = ReLU()
try:
    Blueprint(layers)
except ValueError as error:
    print(error)

# %% [markdown]
# Swear that it fits, and you are believed. Numbers are not:

# %%
layers[1].in_type = layers[1].out_type = vectors
broken = Blueprint(layers)
try:
    assert_equivariant(broken, molecule, group=E(3), law="invariant")
except AssertionError as error:
    print(error)

# %%
from graphgdl.testing import assert_twin_fails

error = assert_twin_fails(broken, molecule, group=E(3), law="invariant")
print(f"the broken twin turns with the molecule, by {error:.2f}")

# %% [markdown]
# ## Exercise
# 1. Shift the torus by one place. How much does the output change, and does it with `stride=1`?
# 2. Give the GRU its biases. Which domain fails, and what does it do in the silence?
# 3. The molecule's law holds for reflections too: alanine and its mirror image give the same output. What would a layer
#    have to see to tell them apart?
