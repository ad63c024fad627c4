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
# # Message passing cannot tell these two molecules apart
#
# Decalin is two six-rings that share a bond; bicyclopentyl is two five-rings joined by a bond. A chemist sees the
# difference at once. A graph network that sees atoms and bond orders gives both **the same output, whatever its
# weights**. We prove it, see why, and then find the one feature that parts them.

# %%
from rdkit import Chem
from rdkit.Chem import Draw

smiles = {"decalin": "C1CCC2CCCCC2C1", "bicyclopentyl": "C1CCC(C1)C1CCCC1"}
Draw.MolsToGridImage([Chem.MolFromSmiles(s) for s in smiles.values()], legends=list(smiles), molsPerRow=2)

# %% [markdown]
# ## Two molecules, two graphs
# An atom becomes a node, a bond becomes two directed edges. We keep the element of the atom and the order of the bond.

# %%
from graphgdl.domains import from_smiles

features = {"atom_features": ("atomic_num",), "bond_features": ("order",)}
G, H = (from_smiles(s, **features) for s in smiles.values())
print(G, H, sep="\n")

# %% [markdown]
# ## The colours that message passing can see
# Colour refinement starts with the atom's features and gives each atom a new colour from its own and its neighbours':
#
# $$c_i^{(t+1)} = \mathrm{hash}\Big(c_i^{(t)}, \{\!\!\{ (c_j^{(t)}, e_{ji}) : j \in N(i) \}\!\!\}\Big)$$
#
# No layer of the form $x_i' = \phi(x_i, \bigoplus_{j \in N(i)} \psi(x_i, x_j, e_{ji}))$ can part two atoms
# of equal colour.


# %%
def refine(c, data):
    j, i = data.edge_index.tolist()
    e = data.edge_attr.tolist()
    N = [sorted((c[j[k]], tuple(e[k])) for k in range(len(i)) if i[k] == v) for v in range(data.num_nodes)]
    return [hash((c[v], tuple(N[v]))) for v in range(data.num_nodes)]


# %%
from collections import Counter

c_G, c_H = ([hash(tuple(x)) for x in data.x.tolist()] for data in (G, H))
for t in range(10):
    c_G, c_H = refine(c_G, G), refine(c_H, H)
    print(t + 1, sorted(Counter(c_G).values()), sorted(Counter(c_H).values()), Counter(c_G) == Counter(c_H))
    assert Counter(c_G) == Counter(c_H)

# %% [markdown]
# Both molecules have three kinds of carbon, in the same numbers, with the same neighbours: two with three
# neighbours, four beside these, four further out. The colours have settled, and they agree.
#
# ## The claim, on a network
# Five layers with random weights, a sum over atoms: one vector for each molecule.

# %%
import torch

from graphgdl.nn import GINEConv, global_add_pool


class Net(torch.nn.Module):
    def __init__(self, x_dim, e_dim, width=32, layers=5):
        super().__init__()
        dims = [x_dim] + [width] * (layers - 1)
        self.layers = torch.nn.ModuleList(
            GINEConv(torch.nn.Sequential(torch.nn.Linear(d, width), torch.nn.Tanh()), edge_dim=e_dim) for d in dims
        )

    def forward(self, data):
        x = data.x.to(torch.float64)
        for layer in self.layers:
            x = layer(x, data.edge_index, data.edge_attr.to(torch.float64))
        return global_add_pool(x, torch.zeros(data.num_nodes, dtype=torch.long))


# %%
def gap(G, H, seed):
    torch.manual_seed(seed)
    f = Net(G.x.size(1), G.edge_attr.size(1)).double()
    with torch.no_grad():
        return float((f(G) - f(H)).abs().max() / f(G).abs().max())


# %%
gaps = [gap(G, H, seed) for seed in range(100)]
print(f"largest relative gap over 100 networks: {max(gaps):.1e}")
assert max(gaps) < 1e-12

# %% [markdown]
# No training can help: the gap is zero up to rounding for every choice of the weights.
#
# ## Who can tell them apart?
# The exact oracles of the Weisfeiler-Leman hierarchy answer for whole families of architectures.

# %%
from torch_geometric.utils import to_networkx

from graphgdl.expressivity.graph import Graph
from graphgdl.expressivity.oracles import ORACLES

a, b = (Graph.from_networkx(to_networkx(data, to_undirected=True)) for data in (G, H))
power = {name: ORACLES[name].separates(a, b) for name in ("1-wl", "gd-wl-spd", "node-marking", "2-fwl")}
print(power)

# %%
assert power == {"1-wl": False, "gd-wl-spd": True, "node-marking": True, "2-fwl": True}

# %% [markdown]
# Distances between atoms, a marked atom, or pairs of atoms would do. They cost more than one sum over neighbours.
#
# ## Features are power too
# One bond of bicyclopentyl lies in no ring. RDKit knows: add *bond in ring* to the edge features, change nothing else.

# %%
features["bond_features"] = ("order", "in_ring")
G_ring, H_ring = (from_smiles(s, **features) for s in smiles.values())
gaps_ring = [gap(G_ring, H_ring, seed) for seed in range(100)]
print(f"smallest relative gap over 100 networks: {min(gaps_ring):.1e}")

# %%
assert min(gaps_ring) > 1e-6

# %% [markdown]
# The same network, the same weights, one more bit on each bond. Ring perception is a computation that message passing
# cannot do, and here it was done before the network began.
#
# ## Break it on purpose
# Why not simply number the atoms? A number parts the two molecules, and also parts a molecule from itself.

# %%
G_id, H_id = (data.clone() for data in (G, H))
for data in (G_id, H_id):
    data.x = torch.cat([data.x, torch.arange(data.num_nodes).view(-1, 1) / 10], dim=1)
print(f"decalin against bicyclopentyl: {gap(G_id, H_id, 0):.1e}")

# %%
from graphgdl.groups import Permutation

g = Permutation(G.num_nodes).sample(torch.Generator().manual_seed(0))
same = Permutation(G.num_nodes).act(g, G)
same_id = same.clone()
same_id.x = torch.cat([same.x, torch.arange(same.num_nodes).view(-1, 1) / 10], dim=1)
try:
    assert gap(G_id, same_id, 0) < 1e-12
except AssertionError:
    print(f"decalin against decalin, atoms written in another order: {gap(G_id, same_id, 0):.1e}. The law is broken.")

# %%
assert gap(G, same, 0) < 1e-12 < gap(G_id, same_id, 0)

# %% [markdown]
# ## Exercise
# 1. Is *atom in ring* enough, instead of *bond in ring*? Guess first, then change `atom_features`.
# 2. Find two molecules that bond-in-ring does not part. Hint: try two rings of six against one ring of twelve.
