"""Plots during training: which, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger
from tiny_siamese import STEPS, Data, module, trainer
from torch.utils.data import DataLoader, TensorDataset

from siamese_oneshot.callbacks.validation_plots import ValidationPlots
from siamese_oneshot.plots import figures


def folders(
    data: Data, folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, error: str = ""
) -> list[str]:
    """The plots after so many epochs of a training that plots every second one."""

    def draw() -> None:
        if error:
            raise ValueError(error)

    monkeypatch.setattr(figures, "validation_figures", lambda *a: iter([("episode", draw)]))
    monkeypatch.setattr(figures, "save", lambda figure, path: path.touch())
    plots = ValidationPlots(str(folder), every_n_epochs=2)
    trainer([plots], max_epochs=epochs).fit(module(), data())
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


@pytest.mark.parametrize(("epochs", "plotted"), [(5, [2, 4, 5]), (4, [2, 4])])
def test_every_second_epoch_and_once_at_the_end(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, plotted: list[int]
) -> None:
    expected = [f"step_{epoch * STEPS:06d}/episode.png" for epoch in plotted]
    assert folders(data, tmp_path, monkeypatch, epochs) == expected


def test_a_plot_that_fails_does_not_end_the_training(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert folders(data, tmp_path, monkeypatch, 1, "no image") == []
    assert "the plot episode cannot be made: no image" in caplog.text


def test_the_plots_reach_wandb(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    class Wandb(WandbLogger):
        def __init__(self) -> None:
            pass

        def log_image(self, key: str, images: list[Any], step: Any = None, **kwargs: Any) -> None:
            calls[key] = (images, step)

    plots, fitted = ValidationPlots(str(tmp_path)), module()
    trainer(max_epochs=1).fit(fitted, data())
    run: Any = SimpleNamespace(
        loggers=[Wandb()], global_step=7, is_global_zero=True, datamodule=data()
    )
    plots._plot(run, fitted)
    names = {
        "episode", "mistakes", "confusions", "per_alphabet", "accuracy_vs_way", "filters",
        "verification_scores",
    }  # fmt: skip
    assert {key.removeprefix("plots/") for key in calls if key.startswith("plots/")} == names
    assert calls["plots/episode"] == ([str(tmp_path / "step_000007" / "episode.png")], 7)


def test_loaders_of_labels_are_not_plotted(tmp_path: Path) -> None:
    labels = torch.arange(12) % 3
    loader = DataLoader(TensorDataset(torch.rand(12, 1, 16, 16), labels), 12)
    fit: pl.Trainer = trainer([ValidationPlots(str(tmp_path), 1)], max_epochs=1)
    fit.fit(module(), loader, loader)
    assert fit.global_step == 1
    assert not [*tmp_path.iterdir()]
