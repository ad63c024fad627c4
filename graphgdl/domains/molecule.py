"""Molecules from SMILES, through RDKit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from graphgdl.domains.assemble import assemble
from graphgdl.domains.molecule_features import ATOM_FEATURES, BOND_FEATURES, Feature, select

DEFAULT_ATOM_FEATURES = tuple(name for name in ATOM_FEATURES if name != "atomic_num")
DEFAULT_BOND_FEATURES = tuple(BOND_FEATURES)


def from_smiles(
    smiles: str,
    atom_features: Sequence[str] = DEFAULT_ATOM_FEATURES,
    bond_features: Sequence[str] = DEFAULT_BOND_FEATURES,
    explicit_hydrogens: bool = False,
) -> Data:
    """Return the molecular graph: atoms are nodes, a bond is an edge in both directions.

    Two ways to write one molecule give one graph, up to the numbering of the atoms; enantiomers, and E and Z forms, give
    different features. Nodes follow RDKit's order of atoms, which is that of the SMILES.

    Args:
        smiles: one molecule; several parts separated by dots are one graph of several components.
        atom_features: names in `ATOM_FEATURES`, which documents each; default: all but `atomic_num`.
        bond_features: names in `BOND_FEATURES`; default: all.
        explicit_hydrogens: make every hydrogen a node.

    Returns:
        Data with `x` float32 (n, c), `edge_index` int64 (2, e) sorted by destination, `edge_attr` float32 (e, d) and
        `smiles`, as given.

    Raises:
        TypeError: `smiles` is no string.
        ValueError: RDKit refuses it (its reason is given), or it holds no atom; an unknown feature.

    Example:
        >>> data = from_smiles("CCO", atom_features=("atomic_num",), bond_features=("order",))
        >>> data.x.flatten().tolist(), data.edge_index.tolist(), data.edge_attr.shape
        ([6.0, 6.0, 8.0], [[1, 0, 2, 1], [0, 1, 1, 2]], torch.Size([4, 5]))
    """
    from rdkit import Chem
    from rdkit.Chem import rdCIPLabeler

    atoms = select(atom_features, ATOM_FEATURES, "atom_features")
    bonds = select(bond_features, BOND_FEATURES, "bond_features")
    molecule = _parse(smiles)
    if explicit_hydrogens:
        molecule = Chem.AddHs(molecule)
    rdCIPLabeler.AssignCIPLabels(molecule)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    src, dst = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    edge_attr = _encode(list(molecule.GetBonds()), bonds)
    data = assemble(molecule.GetNumAtoms(), src, dst, True, edge_attr=edge_attr)
    data.x = torch.from_numpy(_encode(list(molecule.GetAtoms()), atoms))
    data.smiles = smiles
    return data


def _encode(items: list[Any], features: list[Feature]) -> np.ndarray:
    rows = [[number for feature in features for number in feature.encode(item)] for item in items]
    return np.array(rows, dtype=np.float32).reshape(len(items), sum(feature.width for feature in features))


def _parse(smiles: str) -> Any:
    from rdkit import Chem, rdBase

    if not isinstance(smiles, str):
        raise TypeError(f"`smiles` must be a string, got {type(smiles).__name__}")
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"`smiles` {smiles!r} is no molecule: {_reason(smiles)}")
    if molecule.GetNumAtoms() == 0:
        raise ValueError(f"`smiles` must hold at least one atom, got {smiles!r}")
    return molecule


def _reason(smiles: str) -> str:
    """Why RDKit refuses a SMILES, in its words; older releases can only print them."""
    from rdkit import Chem, rdBase

    if not hasattr(rdBase, "CaptureErrorLog"):
        return "see RDKit's log"
    with rdBase.CaptureErrorLog() as log:
        Chem.MolFromSmiles(smiles)
    lines = [line.split("] ", 1)[-1].strip() for line in log.messages.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if set(line) - set("~^- "))) or "RDKit gives no reason"
