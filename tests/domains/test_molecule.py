"""Molecules: bonds and features against RDKit's own tables and hand-written facts; stereo against chemistry."""

from __future__ import annotations

import csv
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from rdkit import Chem
from torch_geometric.data import Data

from graphgdl.domains import ATOM_FEATURES, BOND_FEATURES, from_smiles
from graphgdl.domains.molecule_features import columns

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[C@H](N)C(=O)O", "F/C=C/F", "[Na+].[Cl-]", "C"]


def as_graph(data: Data) -> nx.Graph:
    graph = nx.Graph()
    for i, row in enumerate(data.x.tolist()):
        graph.add_node(i, x=tuple(row))
    for (u, v), row in zip(data.edge_index.t().tolist(), data.edge_attr.tolist()):
        graph.add_edge(u, v, e=tuple(row))
    return graph


def same(a: Data, b: Data) -> bool:
    return nx.is_isomorphic(
        as_graph(a), as_graph(b), node_match=lambda p, q: p["x"] == q["x"], edge_match=lambda p, q: p["e"] == q["e"]
    )


@pytest.mark.parametrize("smiles", DRUGS)
def test_graph_is_rdkits(smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    data = from_smiles(smiles, atom_features=("atomic_num",))
    adjacency = np.zeros((data.num_nodes, data.num_nodes))
    adjacency[tuple(data.edge_index.numpy())] = 1
    np.testing.assert_array_equal(adjacency, Chem.GetAdjacencyMatrix(molecule))
    assert data.x.flatten().tolist() == [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    key = (data.edge_index[1] * data.num_nodes + data.edge_index[0]).tolist()
    assert key == sorted(key)
    assert data.x.dtype == data.edge_attr.dtype == torch.float32


FACTS = [  # smiles, kind, feature, value of each atom in order (of each bond: by its two atoms)
    ("CN", "atom", "element", ["C", "N"]),
    ("[U]C", "atom", "element", ["other", "C"]),
    ("C=O", "atom", "atomic_num", [6, 8]),
    ("CC(C)C", "atom", "degree", [1, 3, 1, 1]),
    ("CC=O", "atom", "num_hydrogens", [3, 1, 0]),
    ("C[N+](=O)[O-]", "atom", "formal_charge", [0, 1, 0, -1]),
    ("[CH3]", "atom", "radical_electrons", [1]),
    ("CC=CC#N", "atom", "hybridization", ["SP3", "SP2", "SP2", "SP", "SP"]),
    ("Cc1ccccc1", "atom", "aromatic", [0, 1, 1, 1, 1, 1, 1]),
    ("CC1CC1", "atom", "in_ring", [0, 1, 1, 1]),
    ("C[C@H](N)C(=O)O", "atom", "chirality", ["", "S", "", "", "", ""]),
    ("C[C@@H](N)C(=O)O", "atom", "chirality", ["", "R", "", "", "", ""]),
    ("[13CH4]", "atom", "isotope", [13]),
    ("CC=CC#N", "bond", "order", {(0, 1): "SINGLE", (1, 2): "DOUBLE", (2, 3): "SINGLE", (3, 4): "TRIPLE"}),
    ("c1ccoc1", "bond", "order", {(0, 1): "AROMATIC"}),
    ("C=CC=C", "bond", "conjugated", {(0, 1): 1, (1, 2): 1}),
    ("CCC", "bond", "conjugated", {(0, 1): 0}),
    ("CC1CC1", "bond", "in_ring", {(0, 1): 0, (1, 2): 1, (2, 3): 1, (1, 3): 1}),
    ("F/C=C/F", "bond", "stereo", {(0, 1): "", (1, 2): "E"}),
    ("F/C=C\\F", "bond", "stereo", {(1, 2): "Z"}),
    ("FC=CF", "bond", "stereo", {(1, 2): ""}),
]


@pytest.mark.parametrize(("smiles", "kind", "name", "values"), FACTS)
def test_features_one_by_one(smiles: str, kind: str, name: str, values) -> None:
    table = ATOM_FEATURES if kind == "atom" else BOND_FEATURES
    names = columns([name], table)
    if kind == "atom":
        data = from_smiles(smiles, atom_features=(name,))
        rows = dict(enumerate(data.x.tolist()))
        expected = dict(enumerate(values))
    else:
        data = from_smiles(smiles, bond_features=(name,))
        rows = dict(zip(map(tuple, data.edge_index.t().tolist()), data.edge_attr.tolist()))
        expected = {**values, **{(v, u): value for (u, v), value in values.items()}}
    for key, value in expected.items():
        if table[name].values:
            assert rows[key] == [float(column == f"{name}={value}") for column in names]
            assert sum(rows[key]) == 1
        else:
            assert rows[key] == [value]


def test_every_feature_has_a_fact() -> None:
    assert {name for _, kind, name, _ in FACTS if kind == "atom"} == set(ATOM_FEATURES)
    assert {name for _, kind, name, _ in FACTS if kind == "bond"} == set(BOND_FEATURES)
    for table in (ATOM_FEATURES, BOND_FEATURES):
        for name, feature in table.items():
            assert feature.description
            assert len(columns([name], table)) == feature.width


@pytest.mark.parametrize("smiles", [*DRUGS, "C1CC[C@H]2CCCC[C@@H]2C1", "C[C@H](O)[C@@H](O)C", "CC(C)=C/C=C\\C"])
def test_two_spellings_one_graph(smiles: str) -> None:
    molecule, data = Chem.MolFromSmiles(smiles), from_smiles(smiles)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(molecule.GetNumAtoms()).tolist()
        other = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
        assert same(data, from_smiles(other)), other


def test_stereo_parts_what_chemistry_parts() -> None:
    r, s = from_smiles("C[C@H](N)C(=O)O"), from_smiles("C[C@@H](N)C(=O)O")
    e, z = from_smiles("F/C=C/F"), from_smiles("F/C=C\\F")
    assert not same(r, s)
    assert not same(e, z)
    flat = [name for name in ATOM_FEATURES if name != "chirality"]
    a, b = (from_smiles(smiles, atom_features=flat) for smiles in ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"))
    assert same(a, b)


def test_ring_bond_parts_decalin_from_bicyclopentyl() -> None:
    from graphgdl.expressivity.graph import Graph
    from graphgdl.expressivity.oracles import ORACLES

    decalin, bicyclopentyl = "C1CCC2CCCCC2C1", "C1CCC(C1)C1CCCC1"
    graphs = [
        Graph.from_edges(data.num_nodes, data.edge_index.t().numpy())
        for data in map(from_smiles, (decalin, bicyclopentyl))
    ]
    assert not ORACLES["1-wl"].separates(*graphs)
    rings = [from_smiles(s, bond_features=("in_ring",)).edge_attr.sum().item() for s in (decalin, bicyclopentyl)]
    assert rings == [22, 20]


def test_explicit_hydrogens_and_components() -> None:
    assert from_smiles("CCO", explicit_hydrogens=True).num_nodes == 9
    salt = from_smiles("[Na+].[Cl-]")
    assert (salt.num_nodes, salt.num_edges, salt.edge_attr.shape[0]) == (2, 0, 0)
    assert from_smiles("CCO", atom_features=(), bond_features=()).x.shape == (3, 0)


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C1CC", "`smiles` 'C1CC' is no molecule: .*unclosed ring"),
        ("CC(C)(C)(C)C", "`smiles` 'CC(C)(C)(C)C' is no molecule: .*valence".replace("(", r"\(").replace(")", r"\)")),
        ("c1cccc1", "`smiles` 'c1cccc1' is no molecule: .*kekulize"),
        ("", "`smiles` must hold at least one atom, got ''"),
    ],
)
def test_invalid_smiles(smiles: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=message):
        from_smiles(smiles)
    assert capfd.readouterr().err == ""


def test_other_errors() -> None:
    with pytest.raises(TypeError, match="`smiles` must be a string, got int"):
        from_smiles(6)
    with pytest.raises(ValueError, match=r"`atom_features` must be among element, .*, got 'colour'"):
        from_smiles("C", atom_features=("colour",))
    with pytest.raises(ValueError, match=r"`bond_features` must be among order, .*, got 'length'"):
        from_smiles("CC", bond_features=("length",))


@pytest.mark.data
def test_public_molecules_parse(data_root: Path) -> None:
    files = sorted((data_root / "molecules").glob("*.csv"))
    assert files
    for file in files:
        with file.open(newline="") as lines:
            rows = list(csv.reader(lines))[1:]
        for row in rows[:: max(1, len(rows) // 40)]:
            data, molecule = from_smiles(row[0]), Chem.MolFromSmiles(row[0])
            assert data.num_nodes == molecule.GetNumAtoms()
            assert data.num_edges == 2 * molecule.GetNumBonds()
            assert data.x.isfinite().all()
