"""Predictions, thresholds and the accuracy against counts by hand."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from siamese_oneshot.evaluation.metrics import (
    accuracy_vs_way,
    best_temperature,
    best_threshold,
    choose,
    known_and_unknown,
    roc,
)


def accuracy(scores: Tensor, answers: Tensor, seed: int = 0) -> float:
    picks = choose(scores, torch.Generator().manual_seed(seed))
    return float((picks == answers).float().mean())


@pytest.mark.parametrize("n_same", [0, 1, 20, 40])
def test_the_roc_curve_has_the_rates_at_every_score(n_same: int) -> None:
    scores = torch.randn(40, generator=torch.Generator().manual_seed(0)).mul(3).round()  # ties
    scores[7], scores[21] = math.inf, -math.inf
    same = (torch.arange(40) < n_same).float()
    false_rates, true_rates = roc(scores, same)
    expected = [(0.0, 0.0)]
    for cut in sorted({*scores.tolist()}, reverse=True):
        above = (scores >= cut).tolist()
        counts = [sum(a for a, s in zip(above, same, strict=True) if s == k) for k in (0, 1)]
        expected.append((counts[0] / max(1, 40 - n_same), counts[1] / max(1, n_same)))
    assert list(zip(false_rates.tolist(), true_rates.tolist(), strict=True)) == expected


@pytest.mark.parametrize("constant", [0.0, -3.5, float("-inf"), float("nan")])
@pytest.mark.parametrize("where", ["first", "last", "anywhere"])
def test_a_constant_network_scores_one_in_way(constant: float, where: str) -> None:
    """Fault 1: also where all answers stand at index 0."""
    n, way = 8000, 20
    answers = {
        "first": torch.zeros(n, dtype=torch.int64),
        "last": torch.full((n,), way - 1),
        "anywhere": torch.randint(way, (n,), generator=torch.Generator().manual_seed(5)),
    }[where]
    share = accuracy(torch.full((n, way), constant), answers)
    assert share == pytest.approx(1 / way, abs=4 * math.sqrt(0.05 * 0.95 / n))


def test_hand_computed_accuracy() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [3.0, -1.0, 2.0], [-5.0, -4.0, -4.5], [0.0, 0.2, 0.1]])
    assert choose(scores, torch.Generator()).tolist() == [1, 0, 1, 1]
    assert accuracy(scores, torch.tensor([1, 2, 1, 0])) == 0.5
    with pytest.raises(ValueError, match="scores must be"):
        choose(torch.zeros(3), torch.Generator())


def test_two_that_tie_share_the_episodes() -> None:
    scores = torch.tensor([[0.0, 1.0, -1.0, 1.0]]).expand(4000, 4)
    chosen = choose(scores, torch.Generator().manual_seed(0))
    counts = torch.bincount(chosen, minlength=4)
    assert counts[0] == counts[2] == 0
    assert int(counts[1]) == pytest.approx(2000, abs=4 * math.sqrt(1000))


def test_nan_never_wins_and_infinity_does() -> None:
    scores = torch.randn(200, 5, generator=torch.Generator().manual_seed(1))
    answers = torch.arange(200) % 5
    scores[torch.arange(200), answers] = float("nan")
    assert accuracy(scores, answers) == 0
    scores[:] = float("nan")
    scores[torch.arange(200), answers] = -1e30
    assert accuracy(scores, answers) == 1
    scores[torch.arange(200), answers] = float("inf")
    assert accuracy(scores, answers) == 1
    scores[:] = torch.finfo(torch.float32).max  # infinity is more than any number
    scores[torch.arange(200), answers] = float("inf")
    assert accuracy(scores, answers) == 1


def test_ties_do_not_touch_the_global_generator_and_repeat_by_seed() -> None:
    scores, answers = torch.zeros(500, 4), torch.zeros(500, dtype=torch.int64)
    before = torch.get_rng_state()
    first = accuracy(scores, answers, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert accuracy(scores, answers, seed=0) == first
    assert accuracy(scores, answers, seed=1) != first


def test_known_and_unknown_by_hand() -> None:
    scores = torch.tensor([[5.0, 1.0, 2.0], [0.0, 3.0, 4.0], [-1.0, -3.0, -2.0]])
    highest, known = known_and_unknown(scores, torch.tensor([0, 1, 2]))
    assert highest.tolist() == [5, 4, -1, 2, 4, -1]
    assert known.tolist() == [1, 1, 1, 0, 0, 0]
    assert scores[0, 0] == 5  # the scores themselves are untouched


def right_at(threshold: float, logits: list[float], same: list[float]) -> int:
    return sum((x > threshold) == (y > 0.5) for x, y in zip(logits, same, strict=True))


def slow_threshold(logits: list[float], same: list[float]) -> float:
    """All cuts between distinct logits, lowest first; the first of the best."""
    cuts = sorted(set(logits))
    middles = [(a + b) / 2 for a, b in pairwise(cuts)]
    return max([cuts[0] - 1, *middles, cuts[-1] + 1], key=lambda t: right_at(t, logits, same))


@pytest.mark.parametrize("levels", [0, 4, 1])  # 0: no ties; 1: everything ties
@pytest.mark.parametrize("seed", range(4))
def test_best_threshold_equals_a_search_of_all_cuts(seed: int, levels: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    same = (torch.rand(25, generator=rng) < 0.4).float()
    logits = torch.randn(25, generator=rng) + same
    if levels:
        logits = (logits * 2).round().clamp(0, levels - 1)
    expected = slow_threshold(logits.tolist(), same.tolist())
    threshold = best_threshold(logits, same)
    assert threshold == pytest.approx(expected)
    got = right_at(threshold, logits.tolist(), same.tolist())
    assert got == right_at(expected, logits.tolist(), same.tolist())


@pytest.mark.parametrize(("all_same", "expected"), [(0.0, 3.0), (1.0, -1.0)])
def test_best_threshold_where_one_answer_is_always_right(all_same: float, expected: float) -> None:
    assert best_threshold(torch.tensor([2.0, 0.0, 1.0]), torch.full((3,), all_same)) == expected


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_best_temperature_equals_a_search_and_scales_with_the_scores(scale: float) -> None:
    rng = torch.Generator().manual_seed(0)
    scores, answers = torch.randn(300, 5, generator=rng), torch.randint(5, (300,), generator=rng)
    scores[torch.arange(300), answers] += 1.5
    shares = [(scores.double() / t).softmax(1)[torch.arange(300), answers].log().mean()
              for t in torch.arange(0.05, 5, 0.001)]  # fmt: skip
    expected = 0.05 + 0.001 * max(range(len(shares)), key=shares.__getitem__)
    found = best_temperature(scale * scores, answers)
    assert found == pytest.approx(scale * expected, rel=2e-3)
    assert best_temperature(torch.full((3, 2), torch.nan), answers[:3] % 2) == 1.0


def test_accuracy_by_way_is_the_share_of_all_choices_of_ways() -> None:
    rng = torch.Generator().manual_seed(0)
    scores = torch.randint(4, (40, 5), generator=rng).float()  # many ties
    answers = torch.randint(5, (40,), generator=rng)
    scores[1, answers[1]] = torch.nan
    scores[2, (answers[2] + 1) % 5] = torch.nan
    found = accuracy_vs_way(scores, answers)
    for way in range(1, 6):
        right = 0.0
        for row, answer in zip(scores, answers.tolist(), strict=True):
            others = [index for index in range(5) if index != answer]
            choices = list(itertools.combinations(others, way - 1))
            for choice in choices:
                ways = [-math.inf if x != x else x for x in row[[answer, *choice]].tolist()]
                wins = ways[0] == max(ways)
                right += wins / ways.count(max(ways)) / len(choices) / 40
        assert float(found[way - 1]) == pytest.approx(right)


def test_accuracy_by_way_is_exact_for_many_ways() -> None:
    """With r of 59 others ahead, C(59 - r, w) of C(59, w) choices are correct."""
    way, ahead = 60, 7
    scores = torch.arange(way, dtype=torch.float32)[None]
    found = accuracy_vs_way(scores, torch.tensor([way - 1 - ahead]))
    expected = [math.comb(59 - ahead, w) / math.comb(59, w) for w in range(way)]
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-11, abs=1e-300)
    constant = accuracy_vs_way(torch.zeros(9, 20), torch.arange(9))
    assert constant.tolist() == pytest.approx([1 / way for way in range(1, 21)])
