"""Intervals against figures worked out elsewhere."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from siamese_oneshot.evaluation.significance import mean_interval, wilson


def test_wilson_is_the_root_of_its_defining_equation():
    # The ends are the shares p from which the observed 368/400 lies 1.96 standard errors away.
    for end in wilson(368, 400):
        distance = abs(0.92 - end) / math.sqrt(end * (1 - end) / 400)
        assert distance == pytest.approx(1.959964, abs=1e-4)


def test_wilson_agrees_with_scipy_and_stays_in_range():
    for correct, episodes in ((0, 20), (20, 20), (1, 3), (9700, 10_000)):
        low, high = wilson(correct, episodes)
        expected = stats.binomtest(correct, episodes).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert 0 <= low <= correct / episodes <= high <= 1


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (5, 4), (-1, 4)])
def test_what_is_no_share_is_refused(correct, episodes):
    with pytest.raises(ValueError, match="no share"):
        wilson(correct, episodes)


def test_mean_interval_agrees_with_scipy():
    for values in ([0.96, 0.97, 0.955], [0.1, 0.9], [float(k) for k in range(30)]):
        mean, low, high = mean_interval(values)
        expected = stats.t.interval(0.95, len(values) - 1, loc=mean, scale=stats.sem(values))
        assert (low, high) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize("count", [2, 3, 10, 200])
def test_the_far_tail_of_few_seeds_is_exact(level: float, count: int):
    values = [math.sin(k) for k in range(count)]
    mean, low, high = mean_interval(values, level)
    expected = stats.t.interval(level, count - 1, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected, rel=1e-6)


def test_what_is_not_a_number_has_no_interval():
    with pytest.raises(ValueError, match="not a finite number"):
        mean_interval([0.9, float("nan")])


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="two or more"):
        mean_interval([0.9])
