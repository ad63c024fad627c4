"""Published molecules: every 25th parses to RDKit's atoms and bonds, and a rewritten SMILES gives the same graph."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
import torch
from rdkit import Chem
from torch_geometric.data import Data

from graphgdl.domains import from_smiles

COUNTS = {"bace": 1513, "bbbp": 2039, "clintox": 1478, "delaney": 1128, "freesolv": 642, "lipo": 4200, "sider": 1427}


def content(data: Data) -> tuple[Counter, Counter]:
    """Atoms, and bonds with the atoms at their ends, as multisets: what no renumbering changes."""
    atoms = [tuple(row) for row in data.x.tolist()]
    bonds = [(atoms[u], atoms[v], *row) for (u, v), row in zip(data.edge_index.t().tolist(), data.edge_attr.tolist())]
    return Counter(atoms), Counter(bonds)


@pytest.mark.data
@pytest.mark.parametrize("name", COUNTS)
def test_published_molecules(data_root: Path, name: str) -> None:
    with (data_root / "molecules" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        smiles = [row[0] for row in list(csv.reader(file))[1:]]
    assert len(smiles) == COUNTS[name]
    for text in smiles[::25]:
        data, molecule = from_smiles(text), Chem.MolFromSmiles(text)
        assert data.num_nodes == molecule.GetNumAtoms()
        assert data.num_edges == 2 * molecule.GetNumBonds()
        assert torch.isfinite(data.x).all()
        rewritten = Chem.MolToSmiles(molecule, canonical=False, rootedAtAtom=molecule.GetNumAtoms() - 1)
        assert content(from_smiles(rewritten)) == content(data), text
