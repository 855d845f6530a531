from __future__ import annotations

import itertools
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
from tiny_siamese import STEPS, Data, module, trainer

from siamese_oneshot.callbacks import progress
from siamese_oneshot.callbacks.progress import TrainingProgressBar
from siamese_oneshot.utils.errors import UserError


def fit(data: Data, *callbacks: pl.Callback, **options: Any) -> pl.Trainer:
    run = trainer(callbacks, **{"enable_progress_bar": True, **options})
    run.fit(module(), data())
    return run


@pytest.mark.parametrize(
    ("length", "steps"), [({"max_steps": 8, "max_epochs": -1}, 8), ({"max_epochs": 3}, 3 * STEPS)]
)
def test_the_bar_counts_the_steps_of_the_training(
    data: Data,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    length: dict[str, int],
    steps: int,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = TrainingProgressBar()
    seen: list[tuple[int, float | None]] = []

    class Probe(pl.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            seen.append((bar.train_progress_bar.n, bar.train_progress_bar.total))

    run = fit(data, Probe(), bar, **length)
    assert seen == [(n, steps) for n in range(steps)]  # before the bar's own hook
    assert bar.train_progress_bar.n == steps
    captured = capsys.readouterr()
    assert "loss=" in captured.err
    assert "Validation" not in captured.err
    lines = [line for line in caplog.messages if "validation one-shot" in line]
    validations = sorted({*range(STEPS, steps + 1, STEPS), steps})  # each epoch and the end
    assert [line.split(":")[0] for line in lines] == [f"step {n}" for n in validations]
    accuracy = 100 * float(run.callback_metrics["val/one_shot_accuracy"])
    assert f"validation one-shot {accuracy:.1f}%" in lines[-1]


@pytest.mark.parametrize("refresh_rate", [0, 1])
def test_a_disabled_bar_prints_nothing(
    data: Data,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    refresh_rate: int,
) -> None:
    caplog.set_level("INFO")
    bar = TrainingProgressBar(refresh_rate)
    bar.disable()
    fit(data, bar, max_epochs=1)
    captured = capsys.readouterr()
    assert "step" not in captured.out + captured.err
    assert not [text for text in caplog.messages if text.startswith("step")]


def test_where_there_is_no_terminal_lines_replace_the_bar(
    data: Data,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO")
    clock = itertools.count(0, 20)  # seconds: every other step, more than 30 have passed
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    fit(data, TrainingProgressBar(), max_epochs=1)
    assert "\r" not in (said := capsys.readouterr()).out + said.err
    (line,) = [text for text in caplog.messages if "steps/s" in text]
    assert re.fullmatch(r"step 2 of 3, 0\.033 steps/s, 30 s left, loss \d\.\d{3}", line)


def test_the_bar_closes_when_training_fails(data: Data) -> None:
    class Fail(pl.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise UserError("enough")

    bar = TrainingProgressBar()
    with pytest.raises(UserError, match="enough"):
        fit(data, bar, Fail(), max_epochs=1)
    assert bar.train_progress_bar.disable, "tqdm sets it when it closes"
