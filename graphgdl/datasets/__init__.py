"""Reading, generating and downloading data sets."""

from graphgdl.datasets.download import download

__all__ = ["download"]
