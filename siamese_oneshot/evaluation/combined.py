"""Recognisers made of others: several views of each picture, several networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siamese_oneshot.data.distort import Distortion, Warp, distort
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.embedding import Recognises

# Half as strong as the paper's distortions in training.
MILD = Distortion(rotation=5.0, shear=0.15, scale=(0.9, 1.1), shift=1.0, probability=0.5)


class Views(nn.Module):
    """Test-time distortion: the mean embedding of a picture as it is and of distorted copies.

    All pictures are distorted alike, so that an embedding does not depend on what else is embedded.

    Args:
        recognises: embeds and scores.
        count: views of each picture, the plain one among them.
        distortion: what the others are drawn from; no elastic part.
        seed: of the draws.
    """

    def __init__(
        self, recognises: Recognises, count: int, distortion: Distortion = MILD, seed: int = 0
    ) -> None:
        super().__init__()
        if count < 1:
            raise UserError(f"views={count}: each picture needs at least 1 view")
        self.recognises = recognises
        drawn = distortion.draw(count - 1, torch.Generator().manual_seed(seed))
        self.matrix = nn.Buffer(drawn.matrix)

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures ``(n, 1, size, size)`` → ``(n, units)``."""
        total = self.recognises.embed(pictures).float()
        for matrix in self.matrix:
            warp = Warp(matrix.expand(len(pictures), 2, 3))
            total = total + self.recognises.embed(distort(pictures, warp)).float()
        return total / (1 + len(self.matrix))

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""
        return self.recognises.score(one, other)


class Ensemble(nn.Module):
    """Several networks: the mean of their scores.

    Args:
        networks: that read pictures of one size.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.widths: list[int] = []

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures ``(n, 1, size, size)`` → their embeddings by all networks, side by side."""
        found = [network.embed(pictures).float() for network in self.networks]  # type: ignore[operator]
        self.widths = [one.shape[-1] for one in found]
        return torch.cat(found, -1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""
        parts = zip(one.split(self.widths, -1), other.split(self.widths, -1), strict=True)
        scores = [net.score(a, b) for net, (a, b) in zip(self.networks, parts, strict=True)]  # type: ignore[operator]
        return torch.stack(scores).mean(0)
