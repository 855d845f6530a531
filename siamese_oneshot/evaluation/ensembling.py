"""Scorers built from others: ensembles of networks and test-time augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from siamese_oneshot.data.augmentation import Warp, affine_matrix, apply_warp

# Degrees by which the mirrored views are turned. Chosen on seven background alphabets among
# turns of up to 45 degrees, mirrored images and quarter turns: docs/evaluate.md.
TURNS = (112.0, -112.0)


class Ensemble(nn.Module):
    """The mean score of several networks that read images of one size."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.dims: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → the concatenated embeddings of all networks."""
        views = self._views(images)
        parts = [net.embed(view) for net, view in zip(self.networks, views, strict=True)]  # type: ignore[operator]
        self.dims = [part.shape[-1] for part in parts]
        return torch.cat(parts, -1)

    def _views(self, images: Tensor) -> Sequence[Tensor]:
        """What each network sees."""
        return [images] * len(self.networks)

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

    def row_scorer(self, table: Tensor) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The mean of the networks' ``row_scorer``; None unless each has one."""
        parts = zip(self.networks, table.split(self.dims, -1), strict=True)
        scorers = [net.row_scorer(part) for net, part in parts]  # type: ignore[operator]
        if None in scorers:
            return None
        return lambda first, second: torch.stack([one(first, second) for one in scorers]).mean(0)


class TestTimeAugmentation(Ensemble):
    """Test-time augmentation: a network's mean score of an image pair and of two views of it.

    Both images of a view are mirrored and turned by the same angle, one of `TURNS`.

    Args:
        network: The network.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, network: nn.Module) -> None:
        super().__init__([network] * (1 + len(TURNS)))
        theta, zeros = (
            torch.tensor([math.radians(one) for one in TURNS]),
            torch.zeros(len(TURNS), 2),
        )
        self.matrix = nn.Buffer(affine_matrix(theta, zeros, torch.tensor([[-1.0, 1.0]]), zeros))

    def _views(self, images: Tensor) -> Sequence[Tensor]:
        warps = [Warp(matrix.expand(len(images), 2, 3)) for matrix in self.matrix]
        return [images, *(apply_warp(images, warp) for warp in warps)]
