"""Random images, and images as node features on a grid."""

import torch

from graphgdl.domains import Grid


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nodes(images, periodic=False):
    """Images (g, c, *shape) as features (n, c) and their grid."""
    shape = images.shape[2:]
    ptr = shape.numel() * torch.arange(images.size(0) + 1)
    return images.movedim(1, -1).flatten(0, -2), Grid(tuple(shape), periodic, ptr=ptr)


def as_nodes(out):
    return out.movedim(1, -1).flatten(0, -2) if out.dim() > 2 else out
