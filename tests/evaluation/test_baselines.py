from __future__ import annotations

import pytest
import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.omniglot import EVALUATION, Omniglot
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.data.tasks import EpisodeTask, EvalTasks, lake_runs_episodes
from siamese_oneshot.evaluation.baselines import Chance, PixelNearestNeighbor
from siamese_oneshot.evaluation.evaluator import EvalResults, evaluate_tasks
from siamese_oneshot.evaluation.embeddings import Embeddings


@pytest.mark.parametrize("norm", [1, 2])
def test_pixel_neighbor_equals_a_loop(norm: int) -> None:
    pixels = PixelNearestNeighbor(norm)
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    vectors = pixels.embed(images)
    assert vectors.shape == (5, 16)
    scores = pixels.score(vectors[:2, None], vectors[None, 2:])
    for a in range(2):
        for b in range(3):
            far = zip(images[a].flatten().tolist(), images[2 + b].flatten().tolist(), strict=True)
            distance = sum(abs(x - y) ** norm for x, y in far) ** (1 / norm)
            assert scores[a, b].item() == pytest.approx(-distance, rel=1e-5)


def test_rng_says_the_same_of_everything() -> None:
    guess = Chance()
    vectors = guess.embed(torch.rand(4, 1, 6, 6))
    scores = guess.score(vectors[:, None], vectors[None])
    assert scores.shape == (4, 4)
    assert (scores == 0).all()


def lake_runs(omniglot: Omniglot, baseline: PixelNearestNeighbor | Chance) -> EvalResults:
    """The 400 published episodes and some pairs, by the path that a network takes."""
    dataset = omniglot.dataset
    class_index = ClassIndex(dataset, dataset.indices(EVALUATION, [0]))
    pool = ClassIndex(dataset, dataset.indices(EVALUATION[:1]))
    task = EpisodeTask("lake_runs", "", "", lake_runs_episodes(omniglot.runs))
    assert len(class_index) == 659
    eval_tasks = EvalTasks(sample_pairs(pool, 50, generator_for(0)), (task,))
    images = dataset.pixels[eval_tasks.indices][:, None].float().div_(255)
    table = Embeddings(eval_tasks.indices, baseline.embed(images))
    return evaluate_tasks(eval_tasks, table, baseline.score, None)


@pytest.mark.omniglot
def test_pixel_neighbor_scores_19_percent_on_the_lake_runs_runs(omniglot: Omniglot) -> None:
    """Fault 10: 76 of the 400 published episodes, at 105 × 105."""
    (results,) = lake_runs(omniglot, PixelNearestNeighbor(norm=2)).results
    assert (results.correct, results.n) == (76, 400)
    assert results.accuracy == 0.19


@pytest.mark.omniglot
def test_guessing_scores_5_percent_on_the_lake_runs_runs(omniglot: Omniglot) -> None:
    (results,) = lake_runs(omniglot, Chance()).results
    assert results.n == 400
    assert results.accuracy == pytest.approx(0.05, abs=2 * (0.05 * 0.95 / 400) ** 0.5)
