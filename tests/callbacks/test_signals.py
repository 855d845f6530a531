"""Signals end a training between two steps, with a checkpoint and their own exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kills import (
    LINE,
    differences,
    finish,
    hold,
    needs_fork,
    output,
    resume,
    start,
    steps_logged,
    wait_until,
)

from siamese_oneshot.callbacks.signals import SignalHandler, StopTraining
from siamese_oneshot.cli.hydra_app import _terminable
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.errors import Stopped

HELD = [*LINE, *hold(11)]  # in the third of four steps of an epoch, until a signal arrives
QUEUED = {"SLURM_JOB_ID": "123", "SLURM_JOB_NAME": "train"}


def stopped(folder: Path, signum: signal.Signals, code: int) -> str:
    """Stop a run by a signal and check what it leaves; returns what it prints."""
    process = start(folder, *HELD)
    wait_until(process, (folder / "held").exists)
    process.send_signal(signum)
    text = finish(process, folder, code)
    result = read_result(folder)
    assert result.status == "interrupted"
    assert result.steps == 11, "neither the end of the training nor of an epoch"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == result.steps == steps_logged(folder)
    assert {score.split for score in result.scores} == {"validation"}, "the test stays closed"
    return text


@needs_fork
def test_ctrl_c_saves_the_step_and_the_resumed_run_is_exact(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    text = stopped(folder, signal.SIGINT, 130)
    assert f"resume={folder}" in text
    assert "one-shot" in text, "the table so far"
    seconds = read_result(folder).train_seconds
    finish(resume(folder), folder)
    assert differences(uninterrupted, folder) == []
    assert read_result(folder).train_seconds > seconds, "the sum of both legs"


@needs_fork
def test_sigterm_saves_the_step_although_lightning_handles_it_too(tmp_path: Path) -> None:
    stopped(tmp_path / "run", signal.SIGTERM, 143)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_during_training_is_kept_until_the_end(name: str, code: int) -> None:
    signum = getattr(signal, name)
    before = signal.signal(signum, signal.SIG_DFL)
    try:
        with SignalHandler() as handler:
            signal.signal(signum, lambda *args: None)  # Lightning replaces some handlers
            handler.on_train_start(None, None)  # type: ignore[arg-type]
            signal.raise_signal(signum)
            assert handler.received == signum
            assert not handler.requeues
            with pytest.raises(Stopped) as stop:
                handler.end()
            assert stop.value.code == code
        assert signal.getsignal(signum) == signal.SIG_DFL
    finally:
        signal.signal(signum, before)


@needs_fork
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, *LINE, "+callbacks.stall._target_=stoppers.Stall")
    wait_until(process, lambda: steps_logged(folder) >= 1)
    process.send_signal(signal.SIGINT)
    wait_until(process, lambda: "again to stop at once" in output(folder).read_text())
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, "the step would take ten minutes"


@needs_fork
def test_slurms_warning_requeues_the_job_and_it_is_exact(
    uninterrupted: Path, tmp_path: Path
) -> None:
    """Plain sbatch: the same command, in a folder named after the job."""
    calls = tmp_path / "calls"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    scontrol.chmod(0o755)
    path = f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}"
    folder = tmp_path / "123"
    process = start(folder, *HELD, **QUEUED, PATH=path)
    wait_until(process, (folder / "held").exists)
    process.send_signal(signal.SIGUSR1)
    finish(process, folder, 128 + signal.SIGUSR1)
    assert calls.read_text() == "requeue 123\n"
    result = read_result(folder)
    assert (result.status, result.scores) == ("interrupted", []), "no time is lost on scores"
    text = finish(start(folder, *HELD, **QUEUED, SLURM_RESTART_COUNT="1"), folder)
    assert "resuming from" in text
    assert differences(uninterrupted, folder) == []


def test_a_job_that_cannot_be_requeued_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in (QUEUED | {"PATH": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    with SignalHandler() as handler:
        handler.on_train_start(None, None)  # type: ignore[arg-type]
        signal.raise_signal(signal.SIGUSR2)
        assert handler.requeues
        with pytest.raises(Stopped) as stop:
            handler.end()
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
def test_the_slurm_job_of_this_process(
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


def test_a_signal_outside_of_training_raises_and_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stop, SignalHandler():
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


class Dying:
    """Receives a signal in its destructor."""

    def __init__(self, signum: int) -> None:
        self.signum = signum

    def __del__(self) -> None:
        signal.raise_signal(self.signum)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("handled_by", [SignalHandler, _terminable])
def test_a_signal_in_a_destructor_is_not_lost(handled_by: Any, signum: int) -> None:
    """Python ignores what is raised there."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    one = [Dying(signum)]
    with pytest.raises(Stopped) as stop, handled_by():  # noqa: PT012
        one.clear()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)
    signal.signal(signal.SIGINT, before)
    assert stop.value.code == 128 + signum


def test_a_signal_while_a_weak_reference_ends_is_not_lost() -> None:
    one = [{1}]  # a set can be referred to weakly

    def end(_: object) -> None:  # as WeakSet._remove, and in a file of that name
        signal.raise_signal(signal.SIGTERM)

    end.__code__ = end.__code__.replace(co_filename="weakref.py")
    reference = weakref.ref(one[0], end)
    with pytest.raises(Stopped), _terminable():  # noqa: PT012
        one.clear()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)
    assert reference() is None


def fake_trainer(**options: Any) -> Any:
    return SimpleNamespace(callbacks=(), world_size=1, accumulate_grad_batches=1, **options)


@pytest.mark.parametrize(
    ("received", "requeued_elsewhere", "agreed"),
    [
        (signal.SIGTERM, True, signal.SIGUSR1),
        (None, True, signal.SIGUSR1),
        (signal.SIGUSR2, False, signal.SIGUSR2),
        (signal.SIGINT, False, signal.SIGINT),
        (None, False, signal.SIGTERM),
    ],
)
def test_processes_stop_for_one_reason(
    received: signal.Signals | None, requeued_elsewhere: bool, agreed: signal.Signals
) -> None:
    """Otherwise one would be requeued while the others wait for it to evaluate with them."""
    others = iter([[True, False], [requeued_elsewhere]])  # stop and save; then requeue

    def reduce(own: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "max"
        return own.maximum(torch.tensor(next(others), dtype=own.dtype))

    trainer = fake_trainer(strategy=SimpleNamespace(root_device="cpu", reduce=reduce))
    trainer.world_size = 2
    handler: Any = SignalHandler()
    handler.received = received
    with pytest.raises(StopTraining):
        handler.on_train_batch_start(trainer, None, None, 0)
    assert handler.received == agreed
    assert handler.requeues == (agreed in (signal.SIGUSR1, signal.SIGUSR2))


def test_accumulated_gradients_are_used_before_the_end() -> None:
    trainer, handler = fake_trainer(), SignalHandler()
    trainer.accumulate_grad_batches = 3
    handler.received = signal.SIGINT
    for batch_idx in (1, 2):
        handler.on_train_batch_start(trainer, None, None, batch_idx)  # type: ignore[arg-type]
    with pytest.raises(StopTraining):
        handler.on_train_batch_start(trainer, None, None, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2])
def test_submitit_requeues_after_the_checkpoint(signum: signal.Signals) -> None:
    """Its handler of SIGUSR2 is called at the end, and of SIGTERM at once, without an end."""
    called = []

    def submitit_handler(signum: int, frame: object) -> None:
        called.append(signum)
        if signum == signal.SIGUSR2:
            sys.exit(-1)

    submitit_handler.__module__ = "submitit.core.job_environment"
    before = signal.signal(signum, submitit_handler)
    try:
        with SignalHandler() as handler:
            handler._is_training = True
            signal.raise_signal(signum)
            if signum == signal.SIGTERM:
                assert (called, handler.received) == ([signum], None)
                assert handler._save_requested
            else:
                assert (called, handler.received, handler.requeues) == ([], signum, True)
                with pytest.raises(SystemExit):
                    handler.end()
                assert called == [signum]
        assert signal.getsignal(signum) is submitit_handler
    finally:
        signal.signal(signum, before)
