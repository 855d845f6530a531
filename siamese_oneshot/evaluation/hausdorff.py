"""The modified Hausdorff distance, the baseline of the official one-shot demo (61.2%)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from scipy.spatial import cKDTree


class Hausdorff:
    """Minus the modified Hausdorff distance of the ink (Dubuisson and Jain 1994).

    An image is the set of its ink pixels' places, less their mean. The distance of two sets is the
    larger of two means: of each point's distance to the other set's nearest point, either way.
    """

    def embed(self, images: Tensor) -> Tensor:
        """Tables of points.

        Args:
            images: ``(n, 1, side, side)``: 0 paper … 1 ink; ink is above one half.

        Returns:
            float32 ``(n, 1 + 2 * most)``: how many points, then their coordinates, then zeros. All
            have room for a third of the image, so that tables of several calls fit together; of
            more ink, evenly spaced points are taken.
        """
        n, _, side, _ = images.shape
        most = side * side // 3
        out = torch.zeros(n, 1 + 2 * most)
        for row, image in zip(out, images[:, 0].cpu() > 0.5, strict=True):
            points = image.nonzero().float()
            if len(points) > most:
                points = points[torch.linspace(0, len(points) - 1, most).long()]
            points = points - points.mean(0)
            row[0] = len(points)
            row[1 : 1 + points.numel()] = points.flatten()
        return out.to(images.device)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Minus the distance of tables, broadcast → ``(…)``; without ink it is infinite."""
        shape = torch.broadcast_shapes(one.shape[:-1], other.shape[:-1])
        left, right = (
            table.expand(*shape, -1).reshape(-1, table.shape[-1]).cpu().numpy()
            for table in (one, other)
        )
        trees: dict[bytes, cKDTree | None] = {}  # a query meets many supports
        scores = [
            -_distance(_tree(a, trees), _tree(b, trees)) for a, b in zip(left, right, strict=True)
        ]
        return torch.tensor(scores, device=one.device).reshape(shape)


def _tree(row: NDArray[np.float32], trees: dict[bytes, cKDTree | None]) -> cKDTree | None:
    """The points of a table's row, ready to be searched; None where there are none."""
    from scipy.spatial import cKDTree

    count = int(row[0])
    points = row[1 : 1 + 2 * count]
    key = points.tobytes()
    if key not in trees:
        trees[key] = cKDTree(points.reshape(-1, 2)) if count else None
    return trees[key]


def _distance(a: cKDTree | None, b: cKDTree | None) -> float:
    if a is None or b is None:
        return float("inf")
    return float(max(b.query(a.data)[0].mean(), a.query(b.data)[0].mean()))
