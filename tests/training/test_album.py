"""Pictures on the way: which, when, and of what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import Question
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.training import album
from siamese_oneshot.training.album import Album, mistakes_table, ways_curve


def answered() -> Answered:
    """Three trials of 2 ways: right, wrong by 1, wrong by 3."""
    trials = Trials(
        queries=torch.tensor([0, 1, 2]),
        supports=torch.tensor([[[3], [4]], [[3], [4]], [[3], [4]]]),
        answers=torch.tensor([0, 1, 0]),
    )
    scores = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    return Answered(Question("within", "title", "protocol", trials), scores, scores.argmax(1))


def drawings() -> Drawings:
    return Drawings(
        pixels=torch.arange(5, dtype=torch.uint8)[:, None, None].expand(5, 4, 4).contiguous(),
        classes=torch.tensor([0, 1, 0, 0, 1]),
        drawers=torch.zeros(5, dtype=torch.int64),
        class_names=("A/x", "A/y"),
        alphabet_names=("A",),
        class_alphabets=torch.tensor([0, 0]),
        source="folder",
    )


def test_the_table_begins_with_the_worst() -> None:
    rows = mistakes_table(drawings(), answered(), 10)
    assert [[int(cell.flat[0]) for cell in row[:3]] for row in rows] == [
        [255 - 2, 255 - 3, 255 - 4],
        [255 - 1, 255 - 4, 255 - 3],
    ]
    assert [row[3:] for row in rows] == [("A/x", "A/y", 0.0, 3.0), ("A/y", "A/x", 1.0, 2.0)]


def test_the_curve_ends_at_the_trials_own_accuracy() -> None:
    ((way, share, low, high),) = ways_curve(answered())
    assert (way, share) == (2, pytest.approx(1 / 3))
    assert low < share < high


class Page:
    """Stands for a figure."""


def drawn_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, fails: bool = False
) -> Any:
    """The names of the folders after so many epochs of 10 steps."""

    def one(module: Any, data: Any) -> Any:
        def draw() -> Page:
            if fails:
                raise ValueError("no picture")
            return Page()

        yield "trial", draw

    monkeypatch.setattr(album, "_pictures", one)
    monkeypatch.setattr("siamese_oneshot.pictures.save", lambda figure, path: path.touch())
    callback = Album(str(folder), every=2)
    module = SimpleNamespace(findings=SimpleNamespace(answered=[answered()]))
    trainer = SimpleNamespace(
        sanity_checking=False,
        is_global_zero=True,
        loggers=[],
        datamodule=SimpleNamespace(drawings=drawings()),
    )
    for epoch in range(epochs):
        trainer.current_epoch, trainer.global_step = epoch, 10 * (epoch + 1)
        callback.on_validation_end(trainer, module)  # type: ignore[arg-type]
    callback.on_train_end(trainer, module)  # type: ignore[arg-type]
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_every_so_many_epochs_and_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [path.partition("/")[0] for path in drawn_at(tmp_path / "five", monkeypatch, 5)]
    assert steps == ["step_000020", "step_000040", "step_000050"]
    steps = [path.partition("/")[0] for path in drawn_at(tmp_path / "four", monkeypatch, 4)]
    assert steps == ["step_000020", "step_000040"]


def test_a_picture_that_fails_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert drawn_at(tmp_path, monkeypatch, 1, fails=True) == []
    assert "could not be made: no picture" in caplog.text
