"""What a network has to beat: recognisers without training, through the same path as a network.

Each has ``embed`` (images → vectors) and ``score`` (two vectors → how alike), as a network has.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PixelNearestNeighbor:
    """1-nearest neighbor on pixels: the score is minus the distance.

    Args:
        norm: 1 or 2.
    """

    def __init__(self, norm: int = 2) -> None:
        self.norm = norm

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, side, side)`` → ``(n, side²)``."""
        return images.flatten(1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """``(…, side²)``, broadcast → ``(…)``."""
        return -torch.linalg.vector_norm(one - other, ord=self.norm, dim=-1)


class Chance:
    """The same score for everything: guessing, and what a collapsed network amounts to."""

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, side, side)`` → zeros ``(n, 1)``."""
        return images.new_zeros(len(images), 1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """``(…, 1)``, broadcast → zeros ``(…)``."""
        return (one - other).sum(-1) * 0.0
