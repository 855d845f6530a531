"""A tiny network on blobs, one thread, and a run to compare others with."""

from kills import uninterrupted
from tiny_siamese import data, one_thread

__all__ = ["data", "one_thread", "uninterrupted"]
