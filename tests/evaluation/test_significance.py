"""Intervals and McNemar's test against scipy and against counts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from math import comb

import pytest
import torch
from eval_models import COMPUTE, network, pixels
from scipy import stats

from siamese_oneshot.evaluation.evaluator import paired_tests
from siamese_oneshot.evaluation.model_evaluation import TaskProvider, evaluate_model
from siamese_oneshot.evaluation.significance import mcnemar, mean_interval, wilson


def test_wilson_is_the_root_of_its_defining_equation() -> None:
    # The bounds are the proportions that 368/400 lies 1.96 standard errors away from.
    for end in wilson(368, 400):
        distance = abs(0.92 - end) / math.sqrt(end * (1 - end) / 400)
        assert distance == pytest.approx(1.959964, abs=1e-4)


@pytest.mark.parametrize(("correct", "n"), [(0, 20), (20, 20), (1, 3), (9700, 10_000)])
def test_wilson_agrees_with_scipy_and_stays_in_range(correct: int, n: int) -> None:
    low, high = wilson(correct, n)
    expected = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= correct / n <= high <= 1


@pytest.mark.parametrize(("count", "level"), [(2, 0.95), (3, 0.9999), (200, 0.5)])
def test_mean_interval_agrees_with_scipy(count: int, level: float) -> None:
    values = [math.sin(k) for k in range(count)]
    mean, low, high = mean_interval(values, level)
    expected = stats.t.interval(level, count - 1, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected, rel=1e-6)


def test_what_has_no_interval() -> None:
    for correct, n in ((0, 0), (5, 4), (-1, 4)):
        with pytest.raises(ValueError, match="not a proportion"):
            wilson(correct, n)
    for values, message in ([0.9, math.nan], "not a finite number"), ([0.9], "two or more"):
        with pytest.raises(ValueError, match=message):
            mean_interval(values)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 1), (3, 3), (2, 9)])
def test_mcnemar_equals_the_count_of_coin_tosses(first: int, second: int) -> None:
    one = torch.tensor([True] * first + [False] * second + [True, False])
    other = torch.tensor([False] * first + [True] * second + [True, False])
    n = first + second
    tail = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, first)) / 2**n
    assert mcnemar(one, other) == (first, second, pytest.approx(tail))


def test_the_first_model_against_each_other_on_the_same_episodes(
    task_provider: TaskProvider,
) -> None:
    models = network(), pixels(), pixels("slow", limit=15), pixels("other episodes")
    results = []
    for one in models:
        if one.name == "other episodes":
            config = replace(task_provider.config, seed=7)
            task_provider = replace(task_provider, config=config, _made={})
        results.append((one.name, evaluate_model(one, task_provider, COMPUTE).results))
    tests = paired_tests(results, ("within_alphabet", "cross_alphabet", "mnist"))
    assert [(one.second, one.key) for one in tests] == list(
        product(("pixels", "slow"), ("within_alphabet", "cross_alphabet"))  # no MNIST here
    )
    for test in tests:
        first = results[0][1][test.key].is_correct[: test.n]
        second = dict(results)[test.second][test.key].is_correct[: test.n]
        assert test.n == (15 if test.second == "slow" else len(first))
        assert test.difference == pytest.approx(float(first.float().mean() - second.float().mean()))
        assert test.only_first == int((first & ~second).sum())
