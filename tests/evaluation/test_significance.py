"""Intervals and paired tests against scipy, against counts and against simulations."""

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
from siamese_oneshot.evaluation.significance import (
    mean_interval,
    paired_test,
    run_interval,
    wilson,
)


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


@pytest.mark.parametrize("count", [2, 3, 200])
def test_mean_interval_agrees_with_scipy(count: int) -> None:
    values = [math.sin(k) for k in range(count)]
    mean, low, high = mean_interval(values)
    expected = stats.t.interval(0.95, count - 1, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected, rel=1e-6)


def test_what_has_no_interval() -> None:
    for correct, n in ((0, 0), (5, 4), (-1, 4)):
        with pytest.raises(ValueError, match="not a proportion"):
            wilson(correct, n)
    for values, message in ([0.9, math.nan], "not a finite number"), ([0.9], "two or more"):
        with pytest.raises(ValueError, match=message):
            mean_interval(values)


def _runs(n_runs: int, spread: float, generator: torch.Generator) -> torch.Tensor:
    """Answers (n_runs, 20) of 90% accuracy whose runs differ by ``spread`` in difficulty."""
    accuracy = 0.9 + spread * (torch.rand(n_runs, 1, generator=generator) - 0.5)
    return torch.rand(n_runs, 20, generator=generator) < accuracy


def test_run_interval_by_hand() -> None:
    # Four runs of two: accuracies 1, 1, 0.5, 0 have the mean 0.625 and the variance 0.2292, so the
    # design effect is (0.2292 / 4) / (0.625 * 0.375 / 8) = 1.9556, and 8 answers count as 4.0909.
    answers = torch.tensor([[True, True], [True, True], [True, False], [False, False]])
    n, t = 8 / 1.955556, 3.182446
    root = t * math.sqrt(0.625 * 0.375 / n + t * t / (4 * n * n))
    expected = [(0.625 + t * t / (2 * n) + sign * root) / (1 + t * t / n) for sign in (-1, 1)]
    assert run_interval(answers) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("right", [True, False])
def test_equal_runs_are_no_surer_than_independent_answers(right: bool) -> None:
    low, high = run_interval(torch.full((20, 20), right))
    assert (low, high)[right] == float(right)
    lowest, highest = wilson(400 * right, 400)
    assert high - low > highest - lowest, "Student's t for 20 runs"


def test_run_interval_holds_the_truth_where_wilson_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    ours = theirs = 0
    for _ in range(400):
        answers = _runs(20, 0.2, generator)
        low, high = run_interval(answers)
        ours += low <= 0.9 <= high
        low, high = wilson(int(answers.sum()), answers.numel())
        theirs += low <= 0.9 <= high
    assert ours >= 0.94 * 400 > theirs, f"{ours} and {theirs} of 400"


def test_what_has_no_run_interval() -> None:
    for answers in (torch.ones(1, 20).bool(), torch.ones(20).bool()):
        with pytest.raises(ValueError, match="two or more runs"):
            run_interval(answers)


def test_the_paired_test_flips_the_signs_of_all_runs() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = (torch.rand(9, 20, generator=generator) < p for p in (0.9, 0.8))
    by_run = (one.long() - other.long()).sum(1)
    sums = [
        sum(s * d for s, d in zip(signs, by_run.tolist(), strict=True))
        for signs in product((1, -1), repeat=9)
    ]
    expected = sum(abs(value) >= abs(int(by_run.sum())) for value in sums) / len(sums)
    assert paired_test(one, other)[2] == pytest.approx(expected)
    assert paired_test(one, one) == (0, 0, 1.0)


def test_runs_that_differ_together_are_weaker_evidence_than_episodes() -> None:
    # All 40 discordant episodes lie in two runs of eight: two coin tosses, not forty.
    one = torch.zeros(8, 20, dtype=torch.bool)
    one[:2] = True
    assert paired_test(one, torch.zeros_like(one)) == (40, 0, pytest.approx(0.5))
    assert paired_test(one.flatten(), torch.zeros(160, dtype=torch.bool))[2] < 1e-9


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 1), (3, 3), (2, 9)])
def test_mcnemar_equals_the_count_of_coin_tosses(first: int, second: int) -> None:
    one = torch.tensor([True] * first + [False] * second + [True, False])
    other = torch.tensor([False] * first + [True] * second + [True, False])
    n = first + second
    tail = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, first)) / 2**n
    assert paired_test(one, other) == (first, second, pytest.approx(tail))


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
