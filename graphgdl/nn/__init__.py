"""Layers, readouts and norms, drop-in for PyTorch Geometric's: `from graphgdl.nn import GATConv`."""

from torch_geometric.nn.aggr import (
    AttentionalAggregation,
    DeepSetsAggregation,
    GraphMultisetTransformer,
    Set2Set,
    SetTransformerAggregation,
    SoftmaxAggregation,
    SortAggregation,
)
from torch_geometric.nn.norm import (
    BatchNorm,
    DiffGroupNorm,
    GraphNorm,
    GraphSizeNorm,
    InstanceNorm,
    LayerNorm,
    MeanSubtractionNorm,
    MessageNorm,
    PairNorm,
)

from graphgdl.nn.accelerate import Accelerated, accelerate, decelerate
from graphgdl.nn.approximately_equivariant import ApproximatelyEquivariant
from graphgdl.nn.chain_gru import ChainGRU
from graphgdl.nn.chain_lstm import ChainLSTM
from graphgdl.nn.chain_rnn import ChainRNN
from graphgdl.nn.coarsening import Coarse, Unpool, cluster_pool
from graphgdl.nn.deep_sets import DeepSets, DeepSetsConv
from graphgdl.nn.dense_pool import DiffPool, MinCutPool
from graphgdl.nn.dot_product_attention import DotProductAttention
from graphgdl.nn.edge_conv import EdgeConv
from graphgdl.nn.explain_lowering import LoweringReport, explain_lowering
from graphgdl.nn.field_norm import FieldNorm
from graphgdl.nn.from_torch import from_torch
from graphgdl.nn.gat_conv import GATConv
from graphgdl.nn.gated_nonlinearity import GatedNonlinearity
from graphgdl.nn.gatv2_conv import GATv2Conv
from graphgdl.nn.gcn_conv import GCNConv
from graphgdl.nn.gin_conv import GINConv
from graphgdl.nn.gine_conv import GINEConv
from graphgdl.nn.graph_conv import GraphConv
from graphgdl.nn.grid_conv import GridConv
from graphgdl.nn.grid_conv_transpose import GridConvTranspose
from graphgdl.nn.grid_network import GridNetwork
from graphgdl.nn.grid_pool import GridPool
from graphgdl.nn.grid_readout import GridFlatten, GridGlobalPool
from graphgdl.nn.grid_sequential import GridSequential
from graphgdl.nn.grid_upsample import GridUpsample
from graphgdl.nn.group_conv import GroupConv
from graphgdl.nn.group_lifting_conv import GroupLiftingConv
from graphgdl.nn.group_pool import GroupPool
from graphgdl.nn.heavy_edge_pool import HeavyEdgePool
from graphgdl.nn.induced_set_attention_block import InducedSetAttentionBlock
from graphgdl.nn.janossy import JanossyPooling
from graphgdl.nn.lowering import Lowered, Lowering
from graphgdl.nn.multihead_attention_block import MultiheadAttentionBlock
from graphgdl.nn.nn_conv import NNConv
from graphgdl.nn.norm_nonlinearity import NormNonlinearity
from graphgdl.nn.norm_pool import NormPool
from graphgdl.nn.pointwise_nonlinearity import PointwiseNonlinearity
from graphgdl.nn.pooling_by_multihead_attention import PoolingByMultiheadAttention
from graphgdl.nn.positional_encoding import sinusoidal_encoding
from graphgdl.nn.readout import Readout, global_add_pool, global_max_pool, global_mean_pool
from graphgdl.nn.sage_conv import SAGEConv
from graphgdl.nn.set_attention_block import SetAttentionBlock
from graphgdl.nn.steerable_basis import SteerableBasis
from graphgdl.nn.steerable_conv import SteerableConv
from graphgdl.nn.steerable_point_conv import SteerablePointConv
from graphgdl.nn.top_k_pool import TopKPool
from graphgdl.nn.transformer_conv import TransformerConv
from graphgdl.nn.transformer_encoder import TransformerEncoderLayer

__all__ = [
    "Accelerated",
    "ApproximatelyEquivariant",
    "AttentionalAggregation",
    "BatchNorm",
    "ChainGRU",
    "ChainLSTM",
    "ChainRNN",
    "Coarse",
    "DeepSets",
    "DeepSetsAggregation",
    "DeepSetsConv",
    "DiffGroupNorm",
    "DiffPool",
    "DotProductAttention",
    "EdgeConv",
    "FieldNorm",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GINEConv",
    "GatedNonlinearity",
    "GraphConv",
    "GraphMultisetTransformer",
    "GraphNorm",
    "GraphSizeNorm",
    "GridConv",
    "GridConvTranspose",
    "GridFlatten",
    "GridGlobalPool",
    "GridNetwork",
    "GridPool",
    "GridSequential",
    "GridUpsample",
    "GroupConv",
    "GroupLiftingConv",
    "GroupPool",
    "HeavyEdgePool",
    "InducedSetAttentionBlock",
    "InstanceNorm",
    "JanossyPooling",
    "LayerNorm",
    "Lowered",
    "Lowering",
    "LoweringReport",
    "MeanSubtractionNorm",
    "MessageNorm",
    "MinCutPool",
    "MultiheadAttentionBlock",
    "NNConv",
    "NormNonlinearity",
    "NormPool",
    "PairNorm",
    "PointwiseNonlinearity",
    "PoolingByMultiheadAttention",
    "Readout",
    "SAGEConv",
    "Set2Set",
    "SetAttentionBlock",
    "SetTransformerAggregation",
    "SoftmaxAggregation",
    "SortAggregation",
    "SteerableBasis",
    "SteerableConv",
    "SteerablePointConv",
    "TopKPool",
    "TransformerConv",
    "TransformerEncoderLayer",
    "Unpool",
    "accelerate",
    "cluster_pool",
    "decelerate",
    "explain_lowering",
    "from_torch",
    "global_add_pool",
    "global_max_pool",
    "global_mean_pool",
    "sinusoidal_encoding",
]
