"""Every image of an evaluation is made, and one that fails costs no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval_models import COMPUTE, network, pixels
from PIL import Image

from siamese_oneshot import images
from siamese_oneshot.evaluation.model_evaluation import Outcome, evaluate_model
from siamese_oneshot.evaluation.plots import draw_all
from siamese_oneshot.evaluation.model_evaluation import TaskProvider

OF_ALL = {"ways", "trial_right", "mistakes", "confusions", "alphabets", "pairs"}


def wrong(outcome: Outcome) -> set[str]:
    """The image of a wrong episode, where there is one."""
    return set() if outcome.results["koch_protocol"].right.all() else {"trial_wrong"}


def test_a_network_has_every_image(task_provider: TaskProvider, tmp_path: Path) -> None:
    outcomes = [evaluate_model(one, task_provider, COMPUTE) for one in (pixels(), network())]
    drawn = draw_all(outcomes, task_provider, tmp_path)
    assert set(drawn) == OF_ALL | wrong(outcomes[1]) | {"filters", "map"}
    for path in drawn.values():
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_a_baseline_has_those_that_need_no_network(
    task_provider: TaskProvider, tmp_path: Path
) -> None:
    outcome = evaluate_model(pixels(), task_provider, COMPUTE)
    assert set(draw_all([outcome], task_provider, tmp_path)) == OF_ALL | wrong(outcome)


def test_a_failing_image_is_named(
    task_provider: TaskProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(images, "draw_mistakes", fail)
    outcome = evaluate_model(pixels(), task_provider, COMPUTE)
    drawn = draw_all([outcome], task_provider, tmp_path)
    assert set(drawn) == (OF_ALL | wrong(outcome)) - {"mistakes"}
    assert "the image mistakes could not be made: no such luck" in caplog.text
