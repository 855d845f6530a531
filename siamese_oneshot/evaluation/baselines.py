"""Baselines without training. Each has ``embed`` and ``score``, as a network has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.tasks import FEW_SHOT, WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.embeddings import PairScorer

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


class Chance:
    """The same score for every pair, as of a collapsed network."""

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, side, side)`` → zeros ``(n, 1)``."""
        return images.new_zeros(len(images), 1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """``(…, 1)``, broadcast → zeros ``(…)``."""
        return (one - other).sum(-1) * 0.0


class PixelNearestNeighbor:
    """1-nearest neighbor on pixels.

    Args:
        metric: ``l1`` or ``l2``, whose score is minus the distance, or ``cosine``.
    """

    def __init__(self, metric: str = "l2") -> None:
        if metric not in ("l1", "l2", "cosine"):
            raise ValueError(f"metric={metric} is not one of l1, l2, cosine")
        self.metric = metric

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, side, side)`` → ``(n, side²)``, of length 1 for ``cosine``."""
        pixels = images.flatten(1)
        return F.normalize(pixels, dim=1) if self.metric == "cosine" else pixels

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """``(…, side²)``, broadcast → ``(…)``."""
        if self.metric == "cosine":
            return (one * other).sum(-1)
        order = 1 if self.metric == "l1" else 2
        return -torch.linalg.vector_norm(one - other, ord=order, dim=-1)


class Hausdorff:
    """Minus the modified Hausdorff distance of foreground pixels (Dubuisson and Jain 1994).

    It is the baseline of Lake's demo (61.2%). An image is the set of its foreground pixels'
    coordinates minus their mean. The distance of two sets is the larger of the two directed
    means of distances to the nearest point of the other set.
    """

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, side, side)``, split at one half → coordinates of foreground pixels.

        float32 ``(n, 1 + 2 * limit)``: the number of points, their coordinates, then zeros.
        ``limit`` is a third of the pixels; more points are subsampled evenly.
        """
        n, _, side, _ = images.shape
        limit = side * side // 3
        table = torch.zeros(n, 1 + 2 * limit)
        for row, image in zip(table, images[:, 0].cpu() > 0.5, strict=True):
            points = image.nonzero().float()
            if len(points) > limit:
                points = points[torch.linspace(0, len(points) - 1, limit).long()]
            row[0] = len(points)
            row[1 : 1 + points.numel()] = (points - points.mean(0)).flatten()
        return table.to(images.device)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Minus the distance, broadcast → ``(…)``; -inf for an image without foreground."""
        shape = torch.broadcast_shapes(one.shape[:-1], other.shape[:-1])
        left, right = (
            table.expand(*shape, -1).reshape(-1, table.shape[-1]).cpu() for table in (one, other)
        )
        trees: dict[bytes, cKDTree | None] = {}  # a query is compared with many support images
        distances = [
            _distance(_tree(a, trees), _tree(b, trees)) for a, b in zip(left, right, strict=True)
        ]
        return -torch.tensor(distances, device=one.device).reshape(shape)


def _tree(row: Tensor, trees: dict[bytes, cKDTree | None]) -> cKDTree | None:
    """The search tree of a row's points; None where there are none."""
    from scipy.spatial import cKDTree

    points = row[1 : 1 + 2 * int(row[0])].reshape(-1, 2).numpy()
    key = points.tobytes()
    if key not in trees:
        trees[key] = cKDTree(points) if len(points) else None
    return trees[key]


def _distance(a: cKDTree | None, b: cKDTree | None) -> float:
    if a is None or b is None:
        return float("inf")
    return float(max(b.query(a.data)[0].mean(), a.query(b.data)[0].mean()))


@dataclass(frozen=True)
class Baseline:
    """A baseline that ``evaluate`` knows by name; slow ones answer fewer episodes and series."""

    title: str  # in tables
    scorer: Callable[[], PairScorer]  # class or function that builds it
    max_episodes: int | None = None  # evaluate only the first so many episodes of a list
    skip_series: tuple[str, ...] = ()  # series of lists that are left out


_SERIES = (WAY_CURVE_TEST, WAY_CURVE_TRAIN, FEW_SHOT)
# conf/evaluate.yaml adds to these under `baselines`.
BASELINES = {
    "chance": Baseline("chance", Chance),
    "pixel-l1": Baseline("pixel 1-NN, L1", partial(PixelNearestNeighbor, "l1"), 2000),
    "pixel-l2": Baseline("pixel 1-NN, L2", partial(PixelNearestNeighbor, "l2"), 2000),
    "pixel-cosine": Baseline("pixel 1-NN, cosine", partial(PixelNearestNeighbor, "cosine"), 2000),
    "hausdorff": Baseline("modified Hausdorff distance", Hausdorff, 400, _SERIES),
}
