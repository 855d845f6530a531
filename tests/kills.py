"""Trainings in processes of their own that are killed, and what differs from one that was not."""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.runs.result import read_result

FORKED = [*TINY, FULL_PRECISION, "callbacks.validation_plots=null"]
SHAKE = "+callbacks.shake._target_=stoppers.Shake"
LINE = [*FORKED, *BATCHES, SHAKE, "sampler.steps_per_epoch=4", "trainer.max_steps=14"]
_TIMED = ("speed/",)  # columns that no two runs share
_OWN = {"command", "commit", "overrides"}  # facts of a checkpoint that tell of its process


class Forked:
    """A training in a copy of this process, which saves loading PyTorch; as a ``Popen``."""

    def __init__(self, folder: Path, line: Sequence[str], environment: dict[str, str]) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            os.setsid()
            os.environ.update(environment)
            for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(signum, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            log = os.open(printed(folder), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
            torch.set_num_threads(1)
            from siamese_oneshot.cli import run_hydra
            from siamese_oneshot.train import train_task

            run_hydra(train_task, argv=line)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """The exit code, when it has ended."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                os.killpg(self.pid, signal.SIGKILL)
                raise TimeoutError(f"process {self.pid} did not end")
            time.sleep(0.01)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, signum)


def start(folder: Path, *line: str, **environment: str) -> Forked:
    """A training in a process group of its own; what it prints is in ``<folder>.txt``."""
    return Forked(folder, line, environment)


def begin(folder: Path, *line: str, **environment: str) -> Forked:
    """A new run in this folder."""
    return start(folder, *line, f"hydra.run.dir={folder}", **environment)


def go_on(folder: Path, *line: str, **environment: str) -> Forked:
    """The run in this folder, resumed."""
    return start(folder, f"resume={folder}", *line, **environment)


def printed(folder: Path) -> Path:
    """Where ``start`` puts what a run prints."""
    return folder.with_name(folder.name + ".txt")


def done(process: Forked, folder: Path, code: int = 0) -> str:
    """Wait for a process to end with this code; what was printed."""
    found = process.wait(timeout=600)
    text = printed(folder).read_text()
    assert found == code, f"exit code {found}, not {code}:\n{text[-3000:]}"
    return text


def undisturbed(factory: pytest.TempPathFactory) -> Path:
    """A run of ``LINE`` to which nothing happened: one for all files and processes of a session."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "undisturbed"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "result.json").exists():
            done(begin(folder, *LINE), folder)
    return folder


def wait_until(process: Forked, ready: Callable[[], bool]) -> None:
    """Wait until something is so; the process must live on."""
    until = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < until, "it never came so far"
        time.sleep(0.005)


def kill(process: Forked) -> None:
    """End the process and its children as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def steps_logged(folder: Path) -> int:
    """How many training steps are in the history."""
    return sum(bool(row.get("train/loss")) for row in history(folder))


def history(folder: Path) -> list[dict[str, str]]:
    """All rows of all csv files, in order, with what every run shares."""
    rows = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                rows.append(
                    {
                        name: value
                        for name, value in row.items()
                        if name and value and not name.startswith(_TIMED)
                    }
                )
    return rows


def differences(one: Path, other: Path) -> list[str]:
    """In what two finished runs differ: history, checkpoints, results; empty where in nothing."""
    found = []
    rows, others = history(one), history(other)
    if len(rows) != len(others):
        found.append(f"history: {len(rows)} rows against {len(others)}")
    for number, pair in enumerate(zip(rows, others, strict=False)):
        if pair[0] != pair[1]:
            found.append(f"history, row {number}: {pair[0]} against {pair[1]}")
            break
    for name in ("best", "last"):
        files = [folder / "checkpoints" / f"{name}.ckpt" for folder in (one, other)]
        states = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
        found += [f"{name}.ckpt{line}" for line in unlike(*states, roots=(str(one), str(other)))]
    results = [read_result(folder) for folder in (one, other)]
    for field in ("status", "scores", "val_accuracy", "checkpoint", "steps", "epochs"):
        values = [getattr(result, field) for result in results]
        if values[0] != values[1]:
            found.append(f"result.json {field}: {values[0]} against {values[1]}")
    return found


def unlike(one: Any, other: Any, where: str = "", roots: Sequence[str] = ("", "")) -> list[str]:
    """Where two checkpoints differ in a bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{where}: only in one: {key}" for key in one.keys() ^ other.keys()]
        for key in one.keys() & other.keys() - _OWN:
            found += unlike(one[key], other[key], f"{where}.{key}", roots)
        return found
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} items against {len(other)}"]
        pairs = enumerate(zip(one, other, strict=True))
        return [line for k, pair in pairs for line in unlike(*pair, f"{where}[{k}]", roots)]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        same = same and torch.equal(one.nan_to_num(), other.nan_to_num())
        return [] if same else [f"{where}: tensors differ"]
    texts = [str(value).replace(root, "") for value, root in zip((one, other), roots, strict=True)]
    return [] if texts[0] == texts[1] else [f"{where}: {one} against {other}"]
