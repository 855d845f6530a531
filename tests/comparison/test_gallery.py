"""Every picture of an evaluation is made, and one that fails costs no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparing import MACHINE, network, pixels
from PIL import Image

from siamese_oneshot import pictures
from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.gallery import draw_all
from siamese_oneshot.comparison.sitting import Outcome, sit

OF_ALL = {"ways", "trial_right", "mistakes", "confusions", "alphabets", "pairs"}


def wrong(outcome: Outcome) -> set[str]:
    """The picture of a wrong trial, where there is one."""
    return set() if outcome.answered["paper"].right.all() else {"trial_wrong"}


def test_a_network_has_every_picture(desk: Desk, tmp_path: Path) -> None:
    outcomes = [sit(one, desk, MACHINE) for one in (pixels(), network())]
    drawn = draw_all(outcomes, desk, tmp_path)
    assert set(drawn) == OF_ALL | wrong(outcomes[1]) | {"filters", "map"}
    for path in drawn.values():
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_a_baseline_has_those_that_need_no_network(desk: Desk, tmp_path: Path) -> None:
    outcome = sit(pixels(), desk, MACHINE)
    assert set(draw_all([outcome], desk, tmp_path)) == OF_ALL | wrong(outcome)


def test_a_failing_picture_is_named(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such luck")

    monkeypatch.setattr(pictures, "draw_mistakes", fail)
    outcome = sit(pixels(), desk, MACHINE)
    drawn = draw_all([outcome], desk, tmp_path)
    assert set(drawn) == (OF_ALL | wrong(outcome)) - {"mistakes"}
    assert "the picture mistakes could not be made: no such luck" in caplog.text
