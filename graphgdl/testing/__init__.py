"""Laws as assertions, for our layers and for anybody's. Needs neither pytest nor hypothesis."""

from graphgdl.testing.contract import assert_contract, assert_disjoint_union, assert_not_vacuous, assert_twin_fails
from graphgdl.testing.curve_plot import plot_curves
from graphgdl.testing.curves import Curve, equivariance_curve, equivariance_slope
from graphgdl.testing.edge_paths import EdgeDropping, EdgeWeightNoise
from graphgdl.testing.equivariance import assert_equivariant, call_module
from graphgdl.testing.grid_deformations import GridDeformations
from graphgdl.testing.grid_paths import GridRotations, GridShifts, interpolate
from graphgdl.testing.label_curve import LabelCurve, NeighbourLabels, label_curve
from graphgdl.testing.paths import Path, Rotations, Shifts
from graphgdl.testing.symmetry_ranking import SymmetryScore, holm, rank_symmetries
from graphgdl.testing.verify import Verdict, laws_of, verify

__all__ = [
    "Curve",
    "EdgeDropping",
    "EdgeWeightNoise",
    "GridDeformations",
    "GridRotations",
    "GridShifts",
    "LabelCurve",
    "NeighbourLabels",
    "Path",
    "Rotations",
    "Shifts",
    "SymmetryScore",
    "Verdict",
    "assert_contract",
    "assert_disjoint_union",
    "assert_equivariant",
    "assert_not_vacuous",
    "assert_twin_fails",
    "call_module",
    "equivariance_curve",
    "equivariance_slope",
    "holm",
    "interpolate",
    "label_curve",
    "laws_of",
    "plot_curves",
    "rank_symmetries",
    "verify",
]
