"""Which classes are taken for each other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.evaluation.results import EpisodeResults


@dataclass(frozen=True)
class Confusion:
    """Two classes that a list of episodes has seen mixed up.

    Attributes:
        one, other: the classes, the lower number first.
        times: episodes in which either was taken for the other.
        chances: episodes that asked for either while the other stood among the ways.
    """

    one: int
    other: int
    times: int
    chances: int


def confusions(results: EpisodeResults, classes: Tensor) -> list[Confusion]:
    """All two classes that were mixed up, the most frequent first.

    Args:
        answered: a list of episodes and how it was answered.
        classes: int64 ``(n,)``: the class of each image that the episodes speak of.

    Returns:
        Their ``times`` add up to the episodes that were answered wrong.
    """
    episodes = results.task.episodes
    asked = classes[episodes.queries]
    offered = classes[episodes.supports[:, :, 0]]  # (episodes, way)
    taken = offered[torch.arange(results.n), results.picks]
    wrong = ~results.right
    times = Counter(_unordered(asked[wrong], taken[wrong]))
    met = Counter(_unordered(asked[:, None].expand_as(offered).flatten(), offered.flatten()))
    found = [Confusion(*two, count, met[two]) for two, count in times.items()]
    return sorted(found, key=lambda c: (-c.times, c.chances, c.one, c.other))


def _unordered(one: Tensor, other: Tensor) -> list[tuple[int, int]]:
    low, high = torch.minimum(one, other).tolist(), torch.maximum(one, other).tolist()
    return list(zip(low, high, strict=True))
