"""Digits of MNIST, turned by random angles, as signals on a grid of 21 by 21 nodes."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 21  # SIDE - 1 is divisible by 4: two layers of stride 2 keep the turns about the centre
TRAIN, TEST = 8000, 2000


def read(root: Path) -> tuple[Tensor, Tensor]:
    """Return the 10,000 images of MNIST's test set (n, 28, 28) in 0 .. 1, and their labels."""
    images, labels = (root / f"mnist/t10k-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    pixels = torch.frombuffer(bytearray(gzip.decompress(images.read_bytes())[16:]), dtype=torch.uint8)
    digits = torch.frombuffer(bytearray(gzip.decompress(labels.read_bytes())[8:]), dtype=torch.uint8)
    return pixels.view(-1, 28, 28).float() / 255, digits.long()


def turned(images: Tensor, angles: Tensor) -> Tensor:
    """Turn each image (n, 28, 28) by its angle about the centre, onto the nodes of the smaller grid (n, SIDE * SIDE)."""
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    affine = torch.stack([cos, -sin, none, sin, cos, none], dim=1).view(-1, 2, 3)
    places = F.affine_grid(affine, [len(images), 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(images[:, None], places, align_corners=False).flatten(1)


def angles(n: int, generator: torch.Generator) -> Tensor:
    """Draw n angles, uniform over the circle."""
    return 2 * math.pi * torch.rand(n, generator=generator)
