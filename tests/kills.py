"""Trainings in separate processes that are stopped or killed, and the comparison of two runs."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hydra.core.global_hydra import GlobalHydra
from tiny import BATCHES, FULL_PRECISION, TINY
from tqdm import tqdm

import siamese_oneshot.cli.hydra_app
import siamese_oneshot.training.command  # noqa: F401  # forks need not import it again
from siamese_oneshot.runs.result import read_result

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts trainings by fork")
FORKED = [*TINY, FULL_PRECISION, "callbacks.validation_plots=null"]
SHAKE = "+callbacks.shake._target_=stoppers.Shake"
SLOW = "+callbacks.slow._target_=stoppers.Slow"
LINE = [*FORKED, *BATCHES, SHAKE, "sampler.steps_per_epoch=4", "trainer.max_steps=14"]
_TIMED = ("speed/",)  # columns that differ between any two runs
# Entries that may differ.
_PROCESS = {"command", "commit", "overrides", "seconds", "num_workers", "legs", "settings"}


def hold(step: int) -> list[str]:
    """Overrides that make a training wait after a step."""
    return ["+callbacks.hold._target_=stoppers.Hold", f"+callbacks.hold.step={step}"]


def train(line: Sequence[str]) -> None:
    """The train command."""
    from siamese_oneshot.cli import run_hydra
    from siamese_oneshot.train import train_task

    run_hydra(train_task, argv=line)


class Forked:
    """A training in a fork of this process, which saves imports; used like a ``Popen``.

    Args:
        log: File to which it appends what it prints.
        line: Its command line.
        cwd: Its working directory.
        prepare: Called in the fork before it runs.
        output: File descriptor to print to, in place of the log.
        command: What runs the line.
        **environment: Further variables of its environment.
    """

    def __init__(
        self,
        log: Path,
        line: Sequence[str],
        cwd: Path | str = ".",
        prepare: Callable[[], object] = lambda: None,
        output: int | None = None,
        command: Callable[[Sequence[str]], object] = train,
        **environment: str,
    ) -> None:
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
            file = (
                os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if output is None else output
            )
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
            os.chdir(cwd)
            GlobalHydra.instance().clear()
            torch.set_num_threads(1)  # a fork has no threads of its parent
            # Forks share tqdm's own lock, which one that is killed may hold for ever.
            tqdm.set_lock(threading.RLock())
            prepare()
            command(line)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):  # a test may have taken them away
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
        """The exit code, after it has ended."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                raise TimeoutError(f"process {self.pid} did not end")
            time.sleep(0.01)
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, signum)


def start(folder: Path, *line: str, **options: Any) -> Forked:
    """Start a new run in a folder; ``options`` are those of `Forked`."""
    return Forked(output(folder), [*line, f"hydra.run.dir={folder}"], **options)


def resume(folder: Path, *line: str, **options: Any) -> Forked:
    """Resume the run in a folder, which calls what stands in tests/."""
    return Forked(output(folder), [f"resume={folder}", "trust=true", *line], **options)


def output(folder: Path) -> Path:
    """The file of what a run prints."""
    return folder.with_name(folder.name + ".txt")


def finish(process: Forked, folder: Path, code: int = 0) -> str:
    """Wait for a process to end with this exit code; returns what it printed."""
    actual = process.wait(timeout=600)
    text = output(folder).read_text()
    assert actual == code, f"exit code {actual}, not {code}:\n{text[-3000:]}"
    return text


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of ``LINE``, shared by all files and processes of a session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "uninterrupted"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "result.json").exists():
            finish(start(folder, *LINE), folder)
    return folder


def wait_until(process: Forked, condition: Callable[[], bool]) -> None:
    """Wait for a condition while the process runs."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.005)


def kill(process: Forked) -> None:
    """End the process and its children as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def steps_logged(folder: Path) -> int:
    """Training steps in the history."""
    return sum("train/loss" in row for row in history(folder))


def history(folder: Path) -> list[dict[str, str]]:
    """All rows of the CSV files, in order, without the columns of time."""
    rows = []
    for path in sorted(folder.glob("csv/version_*/metrics.csv")):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                cells = row.items()
                rows.append({k: v for k, v in cells if k and v and not k.startswith(_TIMED)})
    return rows


def differences(first: Path, second: Path) -> list[str]:
    """Differences of two finished runs in history, checkpoints and results."""
    found = []
    rows, others = history(first), history(second)
    if len(rows) != len(others):
        found.append(f"history: {len(rows)} rows and {len(others)}")
    for number, (row, other) in enumerate(zip(rows, others, strict=False)):
        if row != other:
            found.append(f"history, row {number}: {row} and {other}")
            break
    roots = (str(first), str(second))
    for name in ("best", "last"):
        files = [folder / "checkpoints" / f"{name}.ckpt" for folder in (first, second)]
        states = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
        found += [f"{name}.ckpt{line}" for line in unequal(*states, roots=roots)]
    results = [read_result(folder) for folder in (first, second)]
    for field in ("status", "scores", "val_accuracy", "checkpoint", "steps", "epochs"):
        values = [getattr(result, field) for result in results]
        if values[0] != values[1]:
            found.append(f"result.json {field}: {values[0]} and {values[1]}")
    return found


def unequal(first: Any, second: Any, path: str = "", roots: Sequence[str] = ("", "")) -> list[str]:
    """Where two checkpoints differ in a bit."""
    if isinstance(first, dict) and isinstance(second, dict):
        found = [f"{path}: only in one: {key}" for key in first.keys() ^ second.keys()]
        for key in first.keys() & second.keys() - _PROCESS:
            found += unequal(first[key], second[key], f"{path}.{key}", roots)
        return found
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return [f"{path}: {len(first)} items and {len(second)}"]
        pairs = enumerate(zip(first, second, strict=True))
        return [line for k, pair in pairs for line in unequal(*pair, f"{path}[{k}]", roots)]
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and first.shape == second.shape
        same = same and torch.equal(first.nan_to_num(), second.nan_to_num())
        return [] if same else [f"{path}: tensors differ"]
    texts = [str(v).replace(root, "") for v, root in zip((first, second), roots, strict=True)]
    return [] if texts[0] == texts[1] else [f"{path}: {first} and {second}"]
