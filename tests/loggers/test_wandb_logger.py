"""What a run has logged, read back from files that are whole, cut short, damaged or stuck."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path

import pytest
import wandb
from wandb_files import ReadBack, parts_of, wandb_run, without_account

from siamese_oneshot.loggers import wandb_logger
from siamese_oneshot.loggers.wandb_logger import LoggedHistory

ROWS = 200  # more than one of W&B's blocks of 32 KiB


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run with ``ROWS`` rows."""
    folder = tmp_path_factory.mktemp("logged")
    with without_account(folder), wandb_run(folder, {}, project="p") as logger:
        for step in range(ROWS):
            logger.log_metrics({"loss": 1 / (step + 1)}, step=step)
    wandb.teardown()  # its service may still have the last block to write
    (run,) = parts_of(folder)
    return next(run.glob("*.wandb")).read_bytes()


def test_what_never_changes_is_no_chart_and_accuracy_and_loss_are_the_first_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate that changes is charted, also where it returns to its first value."""
    constants = {"lr": 0.1, "momentum": 0.9, "train/l2": 0.0}
    with without_account(tmp_path), wandb_run(tmp_path, {}, project="p") as logger:
        for step, value in enumerate([0.5, 0.5, 0.7, 0.5], 1):
            rates = {**constants, "momentum/conv1": value, "lr/conv1": value / step}
            scores = {"val/one_shot_accuracy": step / 8, "train/loss": 1 / step}
            logger.log_metrics({**rates, **scores, "gradient_norm/all": 1.0}, step=step)
    wandb.teardown()
    back = ReadBack(*parts_of(tmp_path))
    assert back.points("momentum/conv1") == [(1, 0.5), (2, 0.5), (3, 0.7), (4, 0.5)]
    assert [step for step, _ in back.points("lr/conv1")] == [1, 2, 3, 4]
    for name, value in constants.items():
        assert back.points(name) == []
        assert back.summary[name] == value
    charts = sorted({name for row in back.history for name in row if name[0] != "_"})
    assert charts[:2] == ["accuracy", "batch_loss"]
    assert back.points("accuracy") == back.points("val/one_shot_accuracy")
    assert back.points("batch_loss") == back.points("train/loss")


def file_of(place: Path) -> Path:
    """Where the file of the run ``ours`` belongs."""
    folder = place / "wandb" / "offline-run-20000101_000000-ours"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "run-ours.wandb"


def past_of(place: Path, content: bytes) -> LoggedHistory:
    """What is known of a run whose file has this content."""
    file_of(place).write_bytes(content)
    return LoggedHistory.of(place, "ours", {"loss": "min"})


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    """What the reading said, without what W&B has logged."""
    said = [one for one in caplog.records if one.name == wandb_logger.log.name]
    return "\n".join(one.getMessage() for one in said)


@pytest.mark.parametrize("size", [0, 5, 100, 2**15 + 3, -1, None])
def test_a_file_that_a_kill_cut_short_is_read_as_far_as_it_goes(
    tmp_path: Path, logged: bytes, caplog: pytest.LogCaptureFixture, size: int | None
) -> None:
    assert len(logged) > 50_000
    past = past_of(tmp_path, logged[:size])
    assert (past.rows > 0) == (size not in (0, 5, 100))
    assert past.rows - 1 == past.steps.get("loss", -1) < ROWS
    if size is None:  # the whole file
        assert (past.rows, past.best) == (ROWS, {"loss": 1 / ROWS})
        own = file_of(tmp_path).parent.name
        assert LoggedHistory.of(tmp_path, "ours", {}, own) == LoggedHistory()
    assert warnings(caplog) == ""


def test_a_file_damaged_within_is_read_with_a_warning(
    tmp_path: Path, logged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    past = past_of(tmp_path, logged[:40_000] + b"damage" + logged[40_006:])
    assert past.rows > 0
    assert "may show some steps twice" in warnings(caplog)
    assert "corrupt" in warnings(caplog)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe in place of the file")
def test_a_reader_that_hangs_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = file_of(tmp_path)
    os.mkfifo(file)  # who opens it waits for a writer
    monkeypatch.setattr(wandb_logger, "_TIMEOUT", 3.0)
    began = time.monotonic()
    assert LoggedHistory.of(tmp_path, "ours", {}) == LoggedHistory()
    assert 3 <= time.monotonic() - began < 30
    assert "timed out" in warnings(caplog)
    # Nobody has it open any more, or soon: the kernel ends the client's child a moment later.
    with (
        contextlib.suppress(OSError),  # without a reader it cannot even be opened
        open(os.open(file, os.O_WRONLY | os.O_NONBLOCK), "wb") as end,
    ):
        poll = select.poll()
        poll.register(end, 0)
        assert poll.poll(20_000), "somebody still reads"
