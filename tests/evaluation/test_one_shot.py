"""The metric, against a count by hand."""

from __future__ import annotations

import doctest

import pytest
import torch

from siamese_oneshot.evaluation import one_shot
from siamese_oneshot.evaluation.metrics import choose
from siamese_oneshot.evaluation.metrics import OneShotAccuracy


def test_the_example_is_true() -> None:
    assert doctest.testmod(one_shot, extraglobs={"torch": torch}) == (0, 2)


def test_portions_add_up() -> None:
    rng = torch.Generator().manual_seed(3)
    scores = torch.rand(50, 7, generator=rng)
    answers = torch.randint(7, (50,), generator=rng)
    metric = OneShotAccuracy()
    for start in (0, 20, 45):
        stop = {0: 20, 20: 45, 45: 50}[start]
        metric.update(scores[start:stop], answers[start:stop])
    right = sum(max(range(7), key=row.__getitem__) == k for row, k in zip(
        scores.tolist(), answers.tolist(), strict=True))  # fmt: skip
    assert float(metric.compute()) == pytest.approx(right / 50)
    assert int(metric.n) == 50


def test_a_constant_network_guesses() -> None:
    metric = OneShotAccuracy()
    metric.update(torch.zeros(20_000, 20), torch.zeros(20_000, dtype=torch.int64))
    assert float(metric.compute()) == pytest.approx(0.05, abs=0.006)  # four standard deviations


def test_ties_fall_as_in_an_eval_tasks() -> None:
    scores, answers = torch.zeros(100, 5), torch.arange(100) % 5
    picks = choose(scores, torch.Generator().manual_seed(0))
    assert float(OneShotAccuracy()(scores, answers)) == pytest.approx(
        float((picks == answers).float().mean())
    )
    metric = OneShotAccuracy()
    for part, asked in zip(scores.split(50), answers.split(50), strict=True):
        metric.update(part, asked)
    again = OneShotAccuracy()
    again.update(scores[:50], answers[:50])
    first = int(again.correct)
    again.reset()
    again.update(scores[50:], answers[50:])
    assert int(metric.correct) != first + int(again.correct), "portions have ties of their own"
