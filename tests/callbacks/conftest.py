"""A tiny network on blobs, and a run to compare others with."""

from kills import uninterrupted
from tiny_siamese import data

__all__ = ["data", "uninterrupted"]
