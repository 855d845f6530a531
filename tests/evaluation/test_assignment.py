"""One-to-one assignment of whole runs, against all permutations."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.evaluator import assigned, runs_of
from siamese_oneshot.evaluation.metrics import choose
from siamese_oneshot.evaluation.evaluator import EpisodeResults


def results(scores: Tensor, answers: Tensor) -> EpisodeResults:
    """Runs of as many episodes as there are ways."""
    episodes, way = scores.shape
    runs = torch.arange(episodes) // way
    supports = (100 + runs[:, None] * way + torch.arange(way))[..., None]
    asked = Episodes(torch.arange(episodes), supports, answers)
    picks = choose(scores, torch.Generator().manual_seed(0))
    return EpisodeResults(EpisodeTask("lake_runs", "title", "protocol", asked), scores, picks)


def test_the_best_of_all_permutations() -> None:
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(8, 4, generator=rng)
    answers = torch.cat([torch.randperm(4, generator=rng) for _ in range(2)])
    found = assigned(results(scores, answers))
    assert found is not None
    for run in (0, 4):
        table = scores[run : run + 4]
        best = max(permutations(range(4)), key=lambda p: sum(table[k, c] for k, c in enumerate(p)))
        assert tuple(found.picks[run : run + 4].tolist()) == best


def test_a_constant_network_is_right_once_a_run() -> None:
    """Any permutation is as good as another, and has one fixed point on average."""
    runs, way = 300, 5
    answers = torch.arange(way).repeat(runs)
    found = assigned(results(torch.zeros(runs * way, way), answers))
    assert found is not None
    assert found.accuracy == pytest.approx(1 / way, abs=0.04)
    assert all(len(set(run.tolist())) == way for run in found.picks.split(way))


def test_scores_that_are_no_number_give_nothing_away() -> None:
    found = assigned(results(torch.full((500, 5), torch.nan), torch.arange(5).repeat(100)))
    assert found is not None
    assert found.accuracy == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize("fault", ["support", "answers", "length"])
def test_other_lists_have_no_runs(fault: str) -> None:
    one = results(torch.zeros(6, 3), torch.arange(3).repeat(2)).task.episodes
    assert runs_of(one) is not None
    supports, answers = one.supports.clone(), one.answers.clone()
    if fault == "support":
        supports[4, 0, 0] = 7
    if fault == "answers":
        answers[4] = answers[3]
    end = 5 if fault == "length" else 6
    assert runs_of(Episodes(one.queries[:end], supports[:end], answers[:end])) is None
