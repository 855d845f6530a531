"""Recognisers made of others: several views of each image, several networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.embedding import PairScorer
from siamese_oneshot.utils.errors import UserError

# Half as strong as the paper's augmentations in training.
MILD = Augmentation(rotation=5.0, shear=0.15, scale=(0.9, 1.1), shift=1.0, probability=0.5)


class TestTimeAugmentation(nn.Module):
    """Test-time augmentation: the mean embedding of an image as it is and of distorted copies.

    All images are distorted alike, so that an embedding does not depend on what else is embedded.

    Args:
        recognizes: embeds and scores.
        count: views of each image, the plain one among them.
        augmentation: what the others are drawn from; no elastic part.
        seed: of the draws.
    """

    def __init__(
        self, scorer: PairScorer, count: int, augmentation: Augmentation = MILD, seed: int = 0
    ) -> None:
        super().__init__()
        if count < 1:
            raise UserError(f"views={count}: each image needs at least 1 view")
        self.scorer = scorer
        drawn = augmentation.draw(count - 1, torch.Generator().manual_seed(seed))
        self.matrix = nn.Buffer(drawn.matrix)

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(n, 1, size, size)`` → ``(n, units)``."""
        total = self.scorer.embed(images).float()
        for matrix in self.matrix:
            warp = Warp(matrix.expand(len(images), 2, 3))
            total = total + self.scorer.embed(apply_warp(images, warp)).float()
        return total / (1 + len(self.matrix))

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""
        return self.scorer.score(one, other)


class Ensemble(nn.Module):
    """Several networks: the mean of their scores.

    Args:
        networks: that read images of one size.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.widths: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(n, 1, size, size)`` → their embeddings by all networks, side by side."""
        found = [network.embed(images).float() for network in self.networks]  # type: ignore[operator]
        self.widths = [one.shape[-1] for one in found]
        return torch.cat(found, -1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""
        parts = zip(one.split(self.widths, -1), other.split(self.widths, -1), strict=True)
        scores = [net.score(a, b) for net, (a, b) in zip(self.networks, parts, strict=True)]  # type: ignore[operator]
        return torch.stack(scores).mean(0)
