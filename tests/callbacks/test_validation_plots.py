"""Images on the way: which, when, and of what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from siamese_oneshot.callbacks.validation_plots import ValidationPlots, mistakes_table, ways_curve
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.evaluator import EpisodeResults
from siamese_oneshot.training import validation_plots


def results() -> EpisodeResults:
    """Three episodes of 2 ways: right, wrong by 1, wrong by 3."""
    episodes = Episodes(
        queries=torch.tensor([0, 1, 2]),
        supports=torch.tensor([[[3], [4]], [[3], [4]], [[3], [4]]]),
        answers=torch.tensor([0, 1, 0]),
    )
    scores = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    return EpisodeResults(
        EpisodeTask("within", "title", "protocol", episodes), scores, scores.argmax(1)
    )


def dataset() -> CharacterDataset:
    return CharacterDataset(
        pixels=torch.arange(5, dtype=torch.uint8)[:, None, None].expand(5, 4, 4).contiguous(),
        classes=torch.tensor([0, 1, 0, 0, 1]),
        drawers=torch.zeros(5, dtype=torch.int64),
        class_names=("A/x", "A/y"),
        alphabet_names=("A",),
        class_alphabets=torch.tensor([0, 0]),
        source="folder",
    )


def test_the_table_begins_with_the_worst() -> None:
    rows = mistakes_table(dataset(), results(), 10)
    assert [[int(cell.flat[0]) for cell in row[:3]] for row in rows] == [
        [255 - 2, 255 - 3, 255 - 4],
        [255 - 1, 255 - 4, 255 - 3],
    ]
    assert [row[3:] for row in rows] == [("A/x", "A/y", 0.0, 3.0), ("A/y", "A/x", 1.0, 2.0)]


def test_the_curve_ends_at_the_episodes_own_accuracy() -> None:
    ((way, share, low, high),) = ways_curve(results())
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
                raise ValueError("no image")
            return Page()

        yield "trial", draw

    monkeypatch.setattr(validation_plots, "_pictures", one)
    monkeypatch.setattr("siamese_oneshot.plots.save", lambda figure, path: path.touch())
    callback = ValidationPlots(str(folder), every_n_epochs=2)
    module = SimpleNamespace(eval_results=SimpleNamespace(results=[results()]))
    trainer = SimpleNamespace(
        sanity_checking=False,
        is_global_zero=True,
        loggers=[],
        datamodule=SimpleNamespace(dataset=dataset()),
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


def test_a_image_that_fails_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert drawn_at(tmp_path, monkeypatch, 1, fails=True) == []
    assert "could not be made: no image" in caplog.text
