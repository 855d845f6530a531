"""Signals end a training between two steps, with a checkpoint and an exit code of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from kills import (
    LINE,
    begin,
    differences,
    done,
    go_on,
    printed,
    steps_logged,
    undisturbed,
    wait_until,
)

from siamese_oneshot.callbacks.signals import SignalHandler, StopTraining
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.errors import Stopped

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="makes its trainings by fork")
# In the third of four steps of an epoch, until a signal comes.
HELD = [*LINE, "+callbacks.hold._target_=stoppers.Hold", "+callbacks.hold.step=11"]
QUEUED = {"SLURM_JOB_ID": "123", "SLURM_JOB_NAME": "train"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(tmp_path_factory)


def stopped(folder: Path, signum: signal.Signals, code: int) -> str:
    """What a run prints that is stopped by a signal; what it leaves is looked at here."""
    process = begin(folder, *HELD)
    wait_until(process, (folder / "held").exists)
    process.send_signal(signum)
    text = done(process, folder, code)
    result = read_result(folder)
    assert result.status == "interrupted"
    assert result.steps == 11, "it was not the end of the training, nor of an epoch"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == result.steps == steps_logged(folder)
    assert {score.split for score in result.scores} == {"validation"}, "the test stays closed"
    return text


@needs_fork
def test_ctrl_c_saves_the_step_and_the_run_goes_on_exactly(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    text = stopped(folder, signal.SIGINT, 130)
    assert f"resume={folder}" in text
    assert "same or different" in text or "one-shot" in text, "the table so far"
    done(go_on(folder), folder)
    assert differences(whole, folder) == []


@needs_fork
def test_sigterm_saves_the_step_although_lightning_listens_to_it_too(tmp_path: Path) -> None:
    stopped(tmp_path / "run", signal.SIGTERM, 143)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_while_training_is_noted_and_ends_the_process_with_its_code(
    name: str, code: int
) -> None:
    signum = getattr(signal, name)
    before = signal.signal(signum, signal.SIG_DFL)
    try:
        with SignalHandler() as stopping:
            signal.signal(signum, lambda *heard: None)  # as Lightning takes some of them
            stopping.on_train_start(None, None)  # type: ignore[arg-type]
            signal.raise_signal(signum)
            assert stopping.asked == signum
            assert not stopping.requeues
            with pytest.raises(Stopped) as stop:
                stopping.end()
            assert stop.value.code == code
        assert signal.getsignal(signum) == signal.SIG_DFL
    finally:
        signal.signal(signum, before)


@needs_fork
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = begin(folder, *LINE, "+callbacks.stall._target_=stoppers.Stall")
    wait_until(process, lambda: steps_logged(folder) >= 1)
    process.send_signal(signal.SIGINT)
    wait_until(process, lambda: "again to stop at once" in printed(folder).read_text())
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, "the step would take ten minutes"


@needs_fork
def test_slurms_warning_queues_the_job_again_and_it_goes_on(whole: Path, tmp_path: Path) -> None:
    """Plain sbatch: the same command, in a folder that is named by the job."""
    told = tmp_path / "told"
    fake = tmp_path / "bin" / "scontrol"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    folder = tmp_path / "123"
    process = begin(folder, *HELD, **QUEUED, PATH=path)
    wait_until(process, (folder / "held").exists)
    process.send_signal(signal.SIGUSR1)
    done(process, folder, 128 + signal.SIGUSR1)
    assert told.read_text() == "requeue 123\n"
    result = read_result(folder)
    assert (result.status, result.scores) == ("interrupted", []), "no time is lost on scores"
    text = done(begin(folder, *HELD, **QUEUED, SLURM_RESTART_COUNT="1"), folder)
    assert "going on from" in text
    assert differences(whole, folder) == []


def test_a_job_that_cannot_be_queued_again_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (QUEUED | {"PATH": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    with SignalHandler() as stopping:
        stopping.on_train_start(None, None)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGUSR2)
        assert stopping.requeues
        with pytest.raises(Stopped) as stop:
            stopping.end()
    assert stop.value.code == 128 + signal.SIGUSR2
    assert "job 123 could not be requeued" in caplog.text


@pytest.mark.parametrize(
    ("environment", "number", "restarted"),
    [
        ({}, None, False),
        ({"SLURM_RESTART_COUNT": "1"}, None, False),
        (QUEUED, "123", False),
        (QUEUED | {"SLURM_RESTART_COUNT": "0"}, "123", False),
        (QUEUED | {"SLURM_RESTART_COUNT": "2"}, "123", True),
        (QUEUED | {"SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "4"}, "9_4", False),
        (QUEUED | {"SLURM_JOB_NAME": "interactive"}, None, False),
        (QUEUED | {"SLURM_JOB_ID": "1; rm -rf ~"}, None, False),
    ],
)
def test_which_job_of_slurm_this_is(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    number: str | None,
    restarted: bool,
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert slurm.job() == number
    assert slurm.is_restarted() is restarted


def test_a_signal_outside_of_training_stops_there_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stop, SignalHandler():
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("heard", "elsewhere", "agreed"),
    [
        (signal.SIGTERM, True, signal.SIGUSR1),
        (None, True, signal.SIGUSR1),
        (signal.SIGUSR2, False, signal.SIGUSR2),
        (signal.SIGINT, False, signal.SIGINT),
        (None, False, signal.SIGTERM),
    ],
)
def test_processes_stop_for_one_reason(
    heard: signal.Signals | None, elsewhere: bool, agreed: signal.Signals
) -> None:
    """Or one would be queued again, and the others wait for it to examine with them."""

    class Two:
        world_size, callbacks = 2, ()

        @property
        def strategy(self) -> Two:
            return self

        root_device = "cpu"

        def reduce(self, own: torch.Tensor, reduce_op: str) -> torch.Tensor:
            """Elsewhere it was asked for the end; then, how that is to end."""
            assert reduce_op == "max"
            self.exchanges += 1
            others = [True, False] if self.exchanges == 1 else [elsewhere]
            return own.maximum(torch.tensor(others, dtype=own.dtype))

        def __init__(self) -> None:
            self.exchanges = 0

    stopping = SignalHandler()
    stopping.asked = heard
    with pytest.raises(StopTraining):
        stopping.on_train_batch_start(Two(), None, None, 0)  # type: ignore[arg-type]
    assert stopping.asked == agreed
    assert stopping.requeues == (agreed in (signal.SIGUSR1, signal.SIGUSR2))


def test_submitit_queues_again_after_the_checkpoint() -> None:
    """Its handler of SIGUSR2 is called at the end, and of SIGTERM at once, without an end."""
    called = []

    def handler(signum: int, frame: object) -> None:
        called.append(signum)
        if signum == signal.SIGUSR2:
            sys.exit(-1)

    handler.__module__ = "submitit.core.job_environment"
    for signum in (signal.SIGTERM, signal.SIGUSR2):
        before = signal.signal(signum, handler)
        try:
            with SignalHandler() as stopping:
                stopping._training = True
                signal.raise_signal(signum)
                if signum == signal.SIGTERM:
                    assert (called, stopping.asked, stopping._keep) == ([signum], None, True)
                    called.clear()
                else:
                    assert (called, stopping.asked, stopping.requeues) == ([], signum, True)
                    with pytest.raises(SystemExit):
                        stopping.end()
                    assert called == [signum]
            assert signal.getsignal(signum) is handler
        finally:
            signal.signal(signum, before)
