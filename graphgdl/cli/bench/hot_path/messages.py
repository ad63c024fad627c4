"""Layers as a user writes them on `MessagePassing`: a weighted sum, PNA-like, PaiNN, EGNN and SchNet's filter.

Nothing here knows of graphgdl: the same objects are the peer, and what `graphgdl.accelerate` gets. Positions come in as
a node input and the geometry is done in `message()`, where the papers write it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.models.schnet import ShiftedSoftplus


class WeightedSum(MessagePassing):
    r"""The neighbours' features, each times the weight of its edge.

    .. math:: x_i' = \sum_j w_{ji} x_j

    Shapes: x (n, c), or (n, h, c) with h heads; w (e,), (e, h) or None for 1 -> the shape of x.
    """

    def __init__(self) -> None:
        super().__init__(aggr="add", node_dim=0)

    def forward(self, x: Tensor, w: Tensor | None, edge_index: Tensor) -> Tensor:
        """Return the sums."""
        return self.propagate(edge_index, x=x, w=w)

    def message(self, x_j: Tensor, w: Tensor | None) -> Tensor:
        """Weighted features on the edges."""
        return x_j if w is None else x_j * w.unsqueeze(-1)


class PNALike(MessagePassing):
    r"""Four aggregations of one message, side by side.

    .. math:: x_i' = U \Big( \bigoplus_{j \in N(i)} M (x_i, x_j) \Big), \qquad \bigoplus = [mean, max, std, sum]

    Source: Corso et al. (2020), Principal Neighbourhood Aggregation for Graph Nets, eq. 8, without the scalers.
    Shapes: x (n, c) -> (n, c).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(aggr=["mean", "max", "std", "sum"])
        self.pre = nn.Linear(2 * channels, channels)
        self.post = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the new features (n, c)."""
        return self.post(self.propagate(edge_index, x=x))

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        """One linear map of both ends (e, c)."""
        return self.pre(torch.cat([x_i, x_j], dim=-1))


class ScalarsAndVectors(MessagePassing):
    """A layer whose message is a pair: each part is summed over the edges of a node."""

    def __init__(self) -> None:
        super().__init__(aggr="add", node_dim=0)

    def aggregate(
        self,
        inputs: tuple[Tensor, Tensor],
        index: Tensor,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sum each part over the edges of a node."""
        scalars, vectors = inputs
        return super().aggregate(scalars, index, ptr, dim_size), super().aggregate(vectors, index, ptr, dim_size)


class PaiNNMessage(ScalarsAndVectors):
    r"""The message block of PaiNN.

    .. math:: \Delta s_i = \sum_j \phi_s(s_j) \circ W_s(\|r_{ij}\|), \qquad
        \Delta v_i = \sum_j v_j \circ \phi_{vv}(s_j) \circ W_{vv}(\|r_{ij}\|)
        + \sum_j \phi_{vs}(s_j) \circ W_{vs}(\|r_{ij}\|) \frac{r_{ij}}{\|r_{ij}\|}

    W is linear in the radial basis sin(n pi r / r_cut) / r, times the cosine cutoff.

    Source: Schuett, Unke, Gastegger (2021), Equivariant message passing for the prediction of tensorial properties and
    molecular spectra, eq. 7-8 (the paper's r_ij points from i to j).
    Shapes: s (n, c), v (n, 3, c), pos (n, 3) -> (n, c), (n, 3, c).
    """

    def __init__(self, channels: int, num_basis: int = 20, cutoff: float = 5.0) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.phi = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 3 * channels))
        self.filter = nn.Linear(num_basis, 3 * channels)
        self.register_buffer("frequency", math.pi / cutoff * torch.arange(1, num_basis + 1))

    def forward(self, s: Tensor, v: Tensor, pos: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scalars (n, c) and the vectors (n, 3, c)."""
        ds, dv = self.propagate(edge_index, phi=self.phi(s), v=v, pos=pos)
        return s + ds, v + dv

    def message(self, phi_j: Tensor, v_j: Tensor, pos_i: Tensor, pos_j: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (e, c) and vectors (e, 3, c) on the edges."""
        r = pos_j - pos_i
        d = r.norm(dim=-1, keepdim=True)
        cut = 0.5 * (torch.cos(math.pi / self.cutoff * d) + 1) * (d < self.cutoff)
        x = phi_j * self.filter(torch.sin(d * self.frequency) / d) * cut
        x_s, x_vv, x_vs = x.chunk(3, dim=-1)
        return x_s, v_j * x_vv.unsqueeze(1) + x_vs.unsqueeze(1) * (r / d).unsqueeze(2)


class EGNNMessage(ScalarsAndVectors):
    r"""The E(n)-equivariant layer.

    .. math:: m_{ij} = \phi_e(h_i, h_j, \|x_i - x_j\|^2), \qquad x_i' = x_i + C \sum_j (x_i - x_j) \phi_x(m_{ij}), \qquad
        h_i' = \phi_h(h_i, \sum_j m_{ij})

    Source: Satorras, Hoogeboom, Welling (2021), E(n) Equivariant Graph Neural Networks, eq. 3-6, without edge features.
    Differs: C is a constant instead of 1 / (n - 1), since the graph is not complete; phi_h is residual, as in the
    paper's appendix.
    Shapes: h (n, c), x (n, 3) -> (n, c), (n, 3).
    """

    def __init__(self, channels: int, scale: float = 0.1) -> None:
        super().__init__()
        c = channels
        self.scale = scale
        self.phi_e = nn.Sequential(nn.Linear(2 * c + 1, c), nn.SiLU(), nn.Linear(c, c), nn.SiLU())
        self.phi_x = nn.Sequential(nn.Linear(c, c), nn.SiLU(), nn.Linear(c, 1))
        self.phi_h = nn.Sequential(nn.Linear(2 * c, c), nn.SiLU(), nn.Linear(c, c))

    def forward(self, h: Tensor, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (n, c) and the positions (n, 3)."""
        m, shift = self.propagate(edge_index, h=h, x=x)
        return h + self.phi_h(torch.cat([h, m], dim=-1)), x + self.scale * shift

    def message(self, h_i: Tensor, h_j: Tensor, x_i: Tensor, x_j: Tensor) -> tuple[Tensor, Tensor]:
        """Messages (e, c) and displacements (e, 3)."""
        r = x_i - x_j
        m = self.phi_e(torch.cat([h_i, h_j, r.square().sum(dim=-1, keepdim=True)], dim=-1))
        return m, r * self.phi_x(m)


class CFConvMessage(MessagePassing):
    r"""SchNet's continuous-filter convolution with its linear maps.

    .. math:: x_i' = W_2 \sum_j (W_1 x_j) \circ W(\|r_i - r_j\|), \qquad
        W(d) = \mathrm{MLP}(\exp(-\gamma (d - \mu_k)^2)), \qquad k = 1, \dots, 50

    Source: Schuett et al. (2017), SchNet: A continuous-filter convolutional neural network for modeling quantum
    interactions, eq. 2 and section 4.2.
    Shapes: x (n, c), pos (n, 3) -> (n, c).
    """

    def __init__(self, channels: int, num_gaussians: int = 50, cutoff: float = 5.0) -> None:
        super().__init__(aggr="add")
        centres = torch.linspace(0.0, cutoff, num_gaussians)
        self.gamma = 0.5 / float(centres[1] - centres[0]) ** 2
        self.register_buffer("centres", centres)
        self.filter = nn.Sequential(
            nn.Linear(num_gaussians, channels), ShiftedSoftplus(), nn.Linear(channels, channels)
        )
        self.lin_in = nn.Linear(channels, channels, bias=False)
        self.lin_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, pos: Tensor, edge_index: Tensor) -> Tensor:
        """Return the new features (n, c)."""
        return self.lin_out(self.propagate(edge_index, x=self.lin_in(x), pos=pos))

    def message(self, x_j: Tensor, pos_i: Tensor, pos_j: Tensor) -> Tensor:
        """Filtered features (e, c)."""
        d = (pos_i - pos_j).norm(dim=-1, keepdim=True)
        return x_j * self.filter(torch.exp(-self.gamma * (d - self.centres).square()))
