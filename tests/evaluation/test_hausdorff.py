from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from siamese_oneshot.data.tasks import EpisodeTask, indices_of, lake_runs_episodes
from siamese_oneshot.evaluation.baselines import Hausdorff
from siamese_oneshot.evaluation.evaluator import answer
from siamese_oneshot.evaluation.embeddings import Embeddings


def slow(one: Tensor, other: Tensor) -> float:
    """Two loops over the ink."""
    sets = []
    for image in (one, other):
        points = [(y, x) for y, row in enumerate(image.tolist()) for x, v in enumerate(row) if v]
        center = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
        sets.append([(y - center[0], x - center[1]) for y, x in points])
    a, b = sets
    there = sum(min(math.dist(p, q) for q in b) for p in a) / len(a)
    back = sum(min(math.dist(p, q) for q in a) for p in b) / len(b)
    return max(there, back)


def test_equals_two_loops() -> None:
    ink = torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(0)) < 0.2
    table = Hausdorff().embed(ink.float())
    scores = Hausdorff().score(table[:, None], table[None])
    for i in range(5):
        for j in range(5):
            expected = -slow(ink[i, 0], ink[j, 0])
            assert float(scores[i, j]) == pytest.approx(expected, abs=1e-5)


def test_place_does_not_matter_and_shape_does() -> None:
    ink = torch.zeros(3, 1, 12, 12)
    ink[0, 0, 2, 1:6] = 1
    ink[1, 0, 9, 4:9] = 1  # the same line elsewhere
    ink[2, 0, 1:6, 3] = 1
    table = Hausdorff().embed(ink)
    assert Hausdorff().score(table[0], table[1]) == 0
    # the middles meet; the others are 1 or 2 away from the middle of the other line
    assert float(Hausdorff().score(table[0], table[2])) == pytest.approx(-6 / 5)


def test_a_blank_image_is_infinitely_far() -> None:
    ink = torch.zeros(2, 1, 6, 6)
    ink[1, 0, 2, 2] = 1
    table = Hausdorff().embed(ink)
    assert Hausdorff().score(table[0], table[1]) == -torch.inf


def test_images_full_of_ink_fit_the_table() -> None:
    table = Hausdorff().embed(torch.ones(1, 1, 9, 9))
    assert table[0, 0] == 27
    assert torch.isfinite(table).all()


@pytest.mark.omniglot
@pytest.mark.slow
def test_the_lake_runs_runs_score_61_percent(omniglot) -> None:
    """As the official demo: 38.8% errors."""
    episodes = lake_runs_episodes(omniglot.runs)
    task = EpisodeTask("lake_runs", "", "", episodes)
    indices = indices_of([task])
    images = omniglot.dataset.pixels[indices][:, None].float() / 255
    table = Embeddings(indices, Hausdorff().embed(images))
    assert answer(task, table, Hausdorff().score).correct == 245
