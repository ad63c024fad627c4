"""From a raw object to PyG `Data`, and the structures that a domain is known to have."""

from graphgdl.domains.bipartite import CompleteBipartite
from graphgdl.domains.edge_list import from_edge_list
from graphgdl.domains.molecule import from_smiles
from graphgdl.domains.molecule_features import ATOM_FEATURES, BOND_FEATURES
from graphgdl.domains.networkx_graph import from_networkx
from graphgdl.domains.regular import from_grid, from_sequence, from_set
from graphgdl.domains.scipy_matrix import from_scipy
from graphgdl.domains.structure import Chain, Complete, Grid, Structure
from graphgdl.domains.structured_data import StructuredData

__all__ = [
    "ATOM_FEATURES",
    "BOND_FEATURES",
    "Chain",
    "Complete",
    "CompleteBipartite",
    "Grid",
    "Structure",
    "StructuredData",
    "from_edge_list",
    "from_grid",
    "from_networkx",
    "from_scipy",
    "from_sequence",
    "from_set",
    "from_smiles",
]
