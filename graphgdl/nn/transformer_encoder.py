r"""TransformerEncoderLayer: self-attention on the complete graph of each set, then a small network at each element.

.. math:: y_i = \operatorname{LN}\Big(x_i + W_o \sum_{j \in \text{set}(i)} \alpha_{ij} W_v x_j\Big), \qquad
          x_i' = \operatorname{LN}(y_i + W_2 \sigma(W_1 y_i)), \qquad
          \alpha_{ij} = \operatorname{softmax}_j \frac{(W_q x_i)^\top W_k x_j}{\sqrt c}

Law: equivariant to permutations within each set; x' of a disjoint union is the union of the x'.
Power: universal for continuous equivariant maps of sets when stacked (Yun et al. 2020, theorem 2).
Source: Vaswani et al. (2017), Attention Is All You Need, section 3.1; norm_first: Xiong et al. (2020), figure 1b.
Differs: sets lie side by side as rows (n, c) with a structure in place of a padded batch with its mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from graphgdl.domains.structure import Complete
from graphgdl.groups import Law
from graphgdl.nn.dot_product_attention import DotProductAttention
from graphgdl.nn.laws import permutation_laws
from graphgdl.nn.on_structure import why_not_sets
from graphgdl.nn.sdpa import blocks_of


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    r"""The encoder layer of torch, by message passing; options and state dict are `torch.nn.TransformerEncoderLayer`'s.

    `layer.attention` is the message-passing step; `layer.attention.lowering` picks its form.

    Args:
        d_model: number of channels.
        nhead: number of heads h.
        dim_feedforward: width of the network at each element.
        dropout: share of weights and activations dropped in training.
        activation: 'relu', 'gelu', or a function.
        layer_norm_eps: added to the variance in the norms.
        norm_first: norm before attention and network, not after.
        bias: whether linear maps and norms learn a bias.
        device, dtype: of the parameters.

    Shapes:
        x (n, d_model); edge_index `Complete(ptr)` for sets, or anything a layer takes: (2, e), `EdgeIndex`, ...
        -> (n, d_model).

    Raises:
        ValueError: `x` is not (n, d_model); `nhead` does not divide `d_model`.
        TypeError, ValueError: see `graphgdl.nn.DotProductAttention`.

    Example:
        >>> from graphgdl.domains.structure import Complete
        >>> ours, theirs = TransformerEncoderLayer(4, 2).eval(), nn.TransformerEncoderLayer(4, 2, batch_first=True).eval()
        >>> _, x = theirs.load_state_dict(ours.state_dict()), torch.rand(6, 4)
        >>> out = ours(x, Complete([0, 3, 6]))
        >>> assert torch.allclose(out, theirs(x.view(2, 3, 4)).view(6, 4), atol=1e-5)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nhead < 1 or d_model % nhead:
            raise ValueError(f"`nhead` must divide `d_model` = {d_model}, got {nhead}")
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, True, norm_first, bias, device, dtype
        )
        self.attention = DotProductAttention(dropout)

    def laws(self, data: Data) -> tuple[Law, ...]:
        """Return equivariance to permutations of the nodes."""
        return permutation_laws(self, data)

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:  # type: ignore[override]
        """Return the new features."""
        channels = self.self_attn.embed_dim
        if x.dim() != 2 or x.size(1) != channels:
            raise ValueError(
                f"`x` must have shape (n, {channels}), got {tuple(x.shape)}; lay the sets side by side as rows"
            )
        if isinstance(edge_index, Complete) and self._fits_torch(x, edge_index):
            self.attention._note("propagate", "sdpa", {})
            sets = x.unflatten(0, (edge_index.num_graphs, -1))
            return super().forward(sets).flatten(0, 1)
        if self.norm_first:
            x = x + self._attend(self.norm1(x), edge_index)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._attend(x, edge_index))
        return self.norm2(x + self._ff_block(x))

    def _fits_torch(self, x: Tensor, structure: Complete) -> bool:
        """Whether torch's own layer, which takes a fused form in evaluation, computes the same.

        It reads parameters and forgets whatever else a part may do, so every part must be as it was made.
        """
        attention = self.attention
        if torch.compiler.is_compiling() or torch.is_grad_enabled() or attention.lowering not in ("auto", "sdpa"):
            return False
        if not x.size(0) or x.size(0) != structure.num_nodes or len(blocks_of(structure).shapes) > 1:
            return False
        if any(m.training or m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in self.modules()):
            return False
        parts = {name: type(part) for name, part in self.named_modules() if name in _PARTS}
        methods = all(getattr(type(self), name) is method for name, method in _METHODS.items())
        return (
            parts == _PARTS
            and methods
            and self.activation is (None, F.relu, F.gelu)[self.activation_relu_or_gelu]
            and why_not_sets(attention, structure) is None
            and attention._customised() is None
            and not torch.is_autocast_enabled(x.device.type)
            and not torch._C._are_functorch_transforms_active()
            and torch.autograd.forward_ad._current_level < 0
        )

    def _attend(self, x: Tensor, edge_index: Any) -> Tensor:
        maps = self.self_attn
        projected = F.linear(x, maps.in_proj_weight, maps.in_proj_bias)
        query, key, value = projected.view(x.size(0), 3, maps.num_heads, maps.head_dim).unbind(dim=1)
        return self.dropout1(maps.out_proj(self.attention(query, key, value, edge_index).flatten(1)))


_PARTS: dict[str, type] = {
    "attention": DotProductAttention,
    "self_attn": nn.MultiheadAttention,
    "self_attn.out_proj": nn.modules.linear.NonDynamicallyQuantizableLinear,
    **dict.fromkeys(("linear1", "linear2"), nn.Linear),
    **dict.fromkeys(("norm1", "norm2"), nn.LayerNorm),
    **dict.fromkeys(("dropout", "dropout1", "dropout2"), nn.Dropout),
}
_METHODS = {name: getattr(TransformerEncoderLayer, name) for name in ("_attend", "_ff_block")}
