"""The CSV history of a run survives killed and resumed processes."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger
from siamese_oneshot.utils.errors import UserError


def rows(history: ResumableCSVLogger) -> list[dict[str, str]]:
    with open(history.path, newline="") as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_the_file_equals_that_of_lightnings_logger(tmp_path: Path) -> None:
    own, other = ResumableCSVLogger(tmp_path / "own"), CSVLogger(tmp_path / "other", name="csv")
    for logger in (own, other):
        logger.log_metrics({"b": 0.1, "epoch": 0}, step=0)
        logger.save()
        logger.log_metrics({"a": torch.tensor(1 / 3), "epoch": 0}, step=1)
        logger.save()
        logger.log_metrics({"b": 2.0, "epoch": 1}, step=2)
        logger.finalize("success")
    path = tmp_path / "other" / "csv" / "version_0" / "metrics.csv"
    assert own.path.read_bytes() == path.read_bytes()
    assert own.path.relative_to(tmp_path / "own") == path.relative_to(tmp_path / "other")


def test_values_that_a_stopped_trainer_logs_again_are_left_out(tmp_path: Path) -> None:
    history = ResumableCSVLogger(tmp_path)
    batch = {"loss": 0.5, "speed/images_per_second": 81.2}
    for step, metrics in enumerate([batch, {"val/acc": 0.1}, {"val/acc": 0.1}, batch]):
        history.log_metrics(metrics, step)
    history.log_metrics({**batch, "loss": 0.4}, 9)
    history.save()
    assert [row["step"] for row in rows(history)] == ["0", "1", "2", "9"]


def test_a_resumed_process_removes_the_steps_that_it_repeats(tmp_path: Path) -> None:
    first = ResumableCSVLogger(tmp_path)
    for step in range(5):
        first.log_metrics({"loss": step / 10}, step)
        first.save()
    first.log_metrics({"late": 1.0}, 4)
    first.save()
    second = ResumableCSVLogger(tmp_path)
    second.rewind(3)
    assert rows(second) == [{"loss": str(step / 10), "step": str(step)} for step in range(3)]
    assert "late" not in second.path.read_text(), "a column of removed rows"
    second.log_metrics({"loss": 9.0}, 3)
    second.save()
    assert [row["loss"] for row in rows(second)] == ["0.0", "0.1", "0.2", "9.0"]


@pytest.mark.parametrize("rest", ["", "0.2", "0.2,", ",2,0.5,7", "0.1,x"])
def test_an_incomplete_line_is_removed(tmp_path: Path, rest: str) -> None:
    history = ResumableCSVLogger(tmp_path)
    history.log_metrics({"loss": 0.1, "zeal": 0.5}, 0)
    history.save()
    with open(history.path, "a") as file:
        file.write(rest)
    again = ResumableCSVLogger(tmp_path)
    again.rewind(100)
    assert rows(again) == [{"loss": "0.1", "step": "0", "zeal": "0.5"}]


def test_a_rewind_to_the_start_removes_the_file(tmp_path: Path) -> None:
    history = ResumableCSVLogger(tmp_path)
    history.rewind(0)
    history.log_metrics({"loss": 0.1}, 0)
    history.sync()
    assert history.path.exists()
    history.rewind(0)
    assert not history.path.exists()
    history.log_metrics({"other": 0.1}, 0)
    history.save()
    assert rows(history) == [{"other": "0.1", "step": "0"}]


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x01\x02",
        b"a,b\n1,2\n",
        b"loss,step\nx\n0.1,0\n0.2\n0.3,1\n",
        b"loss,step\n0.1,0\n0.2\n0.3,1\n",
        b'loss,step\n0.1,0\n"0.2,1\n0.3,2\n',
        b"loss,step\n0.1,0\n0.2,\xb2\n0.3,2\n",
        b"loss,step\n0.1,0\n0.\xff2,1\n0.3,2\n",
        b'loss,step\n0.1,0\n"0.2',
    ],
)
def test_a_damaged_history_is_kept_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    history = ResumableCSVLogger(tmp_path)
    history.path.parent.mkdir(parents=True)
    history.path.write_bytes(damage)
    history.rewind(1)
    aside = history.path.with_name("metrics.damaged.csv")
    only_a_line_is_cut = damage.endswith(b'"0.2')
    assert aside.exists() != only_a_line_is_cut
    if not only_a_line_is_cut:
        assert aside.read_bytes() == damage
        assert str(aside) in caplog.text
    kept = rows(history) if history.path.exists() else []
    assert kept == ([{"loss": "0.1", "step": "0"}] if b"0.1,0" in damage else [])


def test_a_pipe_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    history = ResumableCSVLogger(tmp_path)
    history.path.parent.mkdir(parents=True)
    os.mkfifo(history.path)  # who opens it waits for a writer
    with pytest.raises(UserError, match="not a regular file"):
        history.rewind(0)
