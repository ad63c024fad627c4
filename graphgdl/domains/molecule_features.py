"""What is known of an atom and of a bond: one entry per feature, with its values and its encoding.

Stereo is given by CIP labels (R and S, E and Z), which belong to the molecule; RDKit's clockwise tags belong to the order
in which the neighbours happen to be written. Source of the labels: Hanson, Musacchio, Mayfield, Vainio, Yerin, Redkin
(2018), "Algorithmic analysis of Cahn-Ingold-Prelog rules", as implemented in RDKit's rdCIPLabeler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Feature:
    """One feature of an atom or a bond.

    Args:
        description: what it is, with its unit.
        read: RDKit atom or bond -> its value.
        values: the values that get a one-hot place each, with a last place for any other; empty: the number itself.
    """

    description: str
    read: Callable[[Any], Any]
    values: tuple[Any, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.values) + 1 if self.values else 1

    def encode(self, item: Any) -> list[float]:
        """Return the columns of one atom or bond."""
        value = self.read(item)
        if not self.values:
            return [float(value)]
        place = self.values.index(value) if value in self.values else len(self.values)
        return [float(i == place) for i in range(self.width)]


def _label(item: Any) -> str:
    return item.GetProp("_CIPCode") if item.HasProp("_CIPCode") else ""


ATOM_FEATURES: Mapping[str, Feature] = {
    "element": Feature(
        "chemical element",
        lambda a: a.GetSymbol(),
        ("H", "B", "C", "N", "O", "F", "Na", "Si", "P", "S", "Cl", "K", "Se", "Br", "I"),
    ),
    "atomic_num": Feature("number of protons", lambda a: a.GetAtomicNum()),
    "degree": Feature("number of bonded atoms in the graph", lambda a: a.GetDegree(), tuple(range(7))),
    "num_hydrogens": Feature(
        "number of hydrogens, in the graph or not", lambda a: a.GetTotalNumHs(includeNeighbors=True), tuple(range(5))
    ),
    "formal_charge": Feature("charge in e", lambda a: a.GetFormalCharge()),
    "radical_electrons": Feature("number of unpaired electrons", lambda a: a.GetNumRadicalElectrons()),
    "hybridization": Feature(
        "hybridisation", lambda a: str(a.GetHybridization()), ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2")
    ),
    "aromatic": Feature("1 in an aromatic system", lambda a: a.GetIsAromatic()),
    "in_ring": Feature("1 in a ring", lambda a: a.IsInRing()),
    "chirality": Feature(
        "CIP label of a stereocentre; lower case where it depends on other centres; '' where none or unknown",
        _label,
        ("", "R", "S", "r", "s"),
    ),
    "isotope": Feature("mass number where stated, else 0", lambda a: a.GetIsotope()),
}
BOND_FEATURES: Mapping[str, Feature] = {
    "order": Feature("kind of bond", lambda b: str(b.GetBondType()), ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")),
    "conjugated": Feature("1 in a conjugated system", lambda b: b.GetIsConjugated()),
    "in_ring": Feature("1 in a ring", lambda b: b.IsInRing()),
    "stereo": Feature(
        "CIP label: E or Z of a double bond, M or P of an atropisomer's axis; '' where none or unknown",
        _label,
        ("", "E", "Z", "M", "P"),
    ),
}


def select(names: Sequence[str], table: Mapping[str, Feature], argument: str) -> list[Feature]:
    """Return the features of these names, in their order.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(names, str):
        names = (names,)
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ValueError(f"`{argument}` must be among {', '.join(table)}, got {unknown[0]!r}")
    return [table[name] for name in names]


def columns(names: Sequence[str], table: Mapping[str, Feature]) -> list[str]:
    """Return what each column of the encoding means.

    Example:
        >>> columns(["order", "in_ring"], BOND_FEATURES)
        ['order=SINGLE', 'order=DOUBLE', 'order=TRIPLE', 'order=AROMATIC', 'order=other', 'in_ring']
    """
    out: list[str] = []
    for name in names:
        out += [f"{name}={value}" for value in (*table[name].values, "other")] if table[name].values else [name]
    return out
