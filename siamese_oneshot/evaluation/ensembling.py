"""Scorers built from others: test-time augmentation and ensembles of networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.embeddings import PairScorer, class_score
from siamese_oneshot.utils import check

# Half as strong as the paper's augmentation in training.
MILD = Augmentation(rotation=5.0, shear=0.15, scale=(0.9, 1.1), shift=1.0, probability=0.5)


class TestTimeAugmentation(nn.Module):
    """Test-time augmentation: the mean embedding of an image and of augmented views of it.

    All images get the same views, so an embedding does not depend on the rest of the batch.

    Args:
        scorer: The network.
        n_views: Views of each image, including the image itself.
        augmentation: Distribution of the other views, without an elastic part.
        seed: Seed of the draws.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(
        self, scorer: PairScorer, n_views: int, augmentation: Augmentation = MILD, seed: int = 0
    ) -> None:
        super().__init__()
        check.integer("n_views", n_views, 1)
        self.scorer = scorer
        drawn = augmentation.draw(n_views - 1, torch.Generator().manual_seed(seed))
        self.matrix = nn.Buffer(drawn.matrix)

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → ``(n, d)``."""
        total = self.scorer.embed(images).float()
        for matrix in self.matrix:
            warp = Warp(matrix.expand(len(images), 2, 3))
            total = total + self.scorer.embed(apply_warp(images, warp)).float()
        return total / (1 + len(self.matrix))

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → similarities ``(…)``."""
        return self.scorer.score(one, other)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Embeddings ``(…, d)`` and ``(…, shot, d)`` of a class → similarities ``(…)``."""
        return class_score(self.scorer)(query, supports)


class Ensemble(nn.Module):
    """The mean score of several networks that read images of one size."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.dims: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → the concatenated embeddings of all networks."""
        parts = [network.embed(images).float() for network in self.networks]  # type: ignore[operator]
        self.dims = [part.shape[-1] for part in parts]
        return torch.cat(parts, -1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → similarities ``(…)``."""
        return self._mean("score", one, other)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Embeddings ``(…, d)`` and ``(…, shot, d)`` of a class → similarities ``(…)``."""
        return self._mean("score_class", query, supports)

    def _mean(self, method: str, one: Tensor, other: Tensor) -> Tensor:
        parts = zip(one.split(self.dims, -1), other.split(self.dims, -1), strict=True)
        pairs = zip(self.networks, parts, strict=True)
        return torch.stack([getattr(net, method)(a, b) for net, (a, b) in pairs]).mean(0)
