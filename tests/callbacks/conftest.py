"""A tiny network on look-alikes of Omniglot, and one thread."""

from tiny_siamese import data, one_thread

__all__ = ["data", "one_thread"]
