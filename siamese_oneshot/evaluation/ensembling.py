"""Ensembles of networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siamese_oneshot.models.siamese import mean, mean_row_scorer
from siamese_oneshot.models.similarity import RowScore


class Ensemble(nn.Module):
    """The mean score of several networks that read images of one size."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.dims: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → the concatenated embeddings of all networks."""
        parts = [network.embed(images) for network in self.networks]  # type: ignore[operator]
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
        return mean([getattr(net, method)(a, b) for net, (a, b) in pairs])

    def row_scorer(self, table: Tensor) -> RowScore | None:
        """The mean of the networks' ``row_scorer``; None unless each has one."""
        parts = zip(self.networks, table.split(self.dims, -1), strict=True)
        return mean_row_scorer([net.row_scorer(part) for net, part in parts])  # type: ignore[operator]
