"""Models assembled from layers by the blueprint of geometric deep learning."""

from graphgdl.models.blueprint import Blueprint
from graphgdl.models.skip import Skip
from graphgdl.models.unet import UNet

__all__ = ["Blueprint", "Skip", "UNet"]
