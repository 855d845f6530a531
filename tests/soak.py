"""Small sweeps under random faults: ``python tests/soak.py --minutes 120 --seed 0``.

Each sweep is run once undisturbed. Then the same command is started again and again in another
folder, each time with a fault: a kill at a moment or before an operation on a file, a signal, a
full disk, a terminal that goes away, a clock that steps, a damaged file. Sooner or later every job
is complete; its weights and scores must then be those of the undisturbed sweep, bit for bit.
Anything else is a finding, and so are a stack trace, a process that does not end, temporary files
that stay, and a complete result that is gone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from disturbed import at_operation, disk_is_full, kill_oneself
from kills import Forked, unequal
from tiny import BATCHES, FULL_PRECISION, TINY

from siamese_oneshot.runs.job import JobProgress, jobs_in
from siamese_oneshot.runs.result import read_result

_SMALL = [
    *TINY, *BATCHES, FULL_PRECISION, "callbacks.validation_plots=null", "sampler.steps_per_epoch=3",
    "trainer.max_steps=9", "callbacks.last_checkpoint.every_n_minutes=0",
]  # fmt: skip
SWEEPS = {
    "grid": ["-m", "optimizer.lr=1e-3,2e-3", "seed=0,1"],
    "search": [
        "+sweep=search", "hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none",
        "hydra.sweeper.n_trials=3", "optimizer.lr=tag(log,interval(1e-4,1e-2))",
        "hydra.sweeper.enqueue=[{optimizer.lr:1e-3},{optimizer.lr:2e-3},{optimizer.lr:3e-3}]",
    ],
}  # fmt: skip
DAMAGED = (
    "checkpoints/last.ckpt", "csv/version_0/metrics.csv", ".hydra/overrides.yaml", "config.yaml",
    "result.json",
)  # fmt: skip
MOST = 200  # operations on files of a whole sweep, roughly
PATIENCE = 600.0  # seconds that a sweep may take


@dataclass
class Soak:
    """What happened so far."""

    folder: Path
    rng: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    jobs: int = 0
    findings: list[str] = field(default_factory=list)
    expected: dict[str, Path] = field(default_factory=dict)
    seconds: float = 30.0  # that an undisturbed sweep takes

    def line(self, kind: str, top: Path) -> list[str]:
        return [*SWEEPS[kind], *_SMALL, f"hydra.sweep.dir={top}", "hydra.sweeper.name=s"]

    def undisturbed(self, kind: str) -> Path:
        """The sweep's folder."""
        if kind not in self.expected:
            top = self.folder / f"expected_{kind}"
            began = time.monotonic()
            process = Forked(top.with_suffix(".txt"), self.line(kind, top))
            assert process.wait(PATIENCE) == 0, top.with_suffix(".txt").read_text()
            self.seconds = time.monotonic() - began
            print(f"undisturbed {kind}: {self.seconds:.1f} s", flush=True)
            self.expected[kind] = top / "s"
        return self.expected[kind]

    def disturb(self, kind: str) -> None:
        """One sweep, started until it is complete."""
        expected, top = self.undisturbed(kind), self.folder / "disturbed"
        log, starts = self.folder / "disturbed.txt", 0
        shutil.rmtree(top, ignore_errors=True)
        history: list[str] = []
        while self.open_jobs(top / "s", expected):
            starts += 1
            log.unlink(missing_ok=True)
            calm = starts % 6 == 0  # without these a job would be lost more often than allowed
            fault = "none" if calm else self.rng.choice(list(FAULTS))
            history.append(fault)
            complete = self.complete(top / "s")
            try:
                code = FAULTS[fault](self, self.line(kind, top), log, top)
            except TimeoutError:
                self.find(kind, history, "it did not end", log)
                return
            self.faults[fault] += 1
            text = log.read_text(errors="replace") if log.exists() else ""
            if "Traceback" in text:
                self.find(kind, history, f"a stack trace, exit code {code}", log)
            lost = [name for name in complete if name not in self.complete(top / "s")]
            if lost and fault != "damage":
                self.find(kind, history, f"complete jobs are no longer: {lost}", log)
            if starts > 60:
                self.find(kind, history, "it is never complete", log)
                return
        self.compare(kind, history, top / "s", expected)
        self.sweeps += 1

    def open_jobs(self, folder: Path, expected: Path) -> bool:
        return len(self.complete(folder)) < len(self.complete(expected))

    @staticmethod
    def complete(folder: Path) -> list[str]:
        found = jobs_in(folder) if folder.is_dir() else []
        return [path.name for _, path, progress in found if progress.complete]

    def compare(self, kind: str, history: list[str], folder: Path, expected: Path) -> None:
        # A kill between two steps of a draw costs a draw its number, not its settings.
        by_settings = {str(job.settings): path for job, path, _ in jobs_in(folder)}
        for job, path, _ in jobs_in(expected):
            own = by_settings.get(str(job.settings), folder / path.name)
            found = [f"{own.name} is missing"] if not JobProgress.of(own).complete else []
            if not found:
                results = [read_result(one) for one in (path, own)]
                for name in ("status", "scores", "val_accuracy", "checkpoint", "steps"):
                    values = [getattr(result, name) for result in results]
                    found += [] if values[0] == values[1] else [f"{name}: {values}"]
                states = [
                    torch.load(one / "checkpoints" / "last.ckpt", weights_only=True)
                    for one in (path, own)
                ]
                for key in ("state_dict", "optimizer_states", "global_step"):
                    found += unequal(states[0][key], states[1][key], key)
            found += [f"it stays: {one}" for one in own.rglob(".*.tmp")]
            self.jobs += 1
            for text in found:
                self.find(kind, history, f"{path.name}: {text}", None)

    def find(self, kind: str, history: list[str], what: str, log: Path | None) -> None:
        number = len(self.findings)
        self.findings.append(f"{kind}: {what} after {history}")
        print(f"FINDING {self.findings[-1]}", flush=True)
        kept = self.folder / f"finding{number}"
        with contextlib.suppress(OSError):
            shutil.copytree(self.folder / "disturbed", kept)
        if log is not None and log.exists():
            shutil.copy(log, kept.with_suffix(".txt"))
            print(log.read_text(errors="replace")[-3000:], flush=True)


Fault = Callable[[Soak, list[str], Path, Path], int]


def none(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    return Forked(log, line).wait(PATIENCE)


def kill_at_a_moment(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    return at_a_moment(soak, Forked(log, line), signal.SIGKILL)


def kill_at_an_operation(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    number = soak.rng.randint(1, MOST)
    return Forked(log, line, prepare=at_operation(top, number, kill_oneself)).wait(PATIENCE)


def stop(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    signum = soak.rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    return at_a_moment(soak, Forked(log, line), signum)


def full_disk(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    number = soak.rng.randint(1, MOST)
    return Forked(log, line, prepare=at_operation(top, number, disk_is_full)).wait(PATIENCE)


def lost_terminal(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    master, slave = pty.openpty()
    process = Forked(log, line, output=slave)
    os.close(slave)
    end = time.monotonic() + soak.rng.uniform(0, soak.seconds)
    os.set_blocking(master, False)
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.read(master, 4096)
        time.sleep(0.01)
    os.close(master)
    return process.wait(PATIENCE)


def clock_steps(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    """The clock of the process jumps by up to a day, and so do the times of files."""
    step = soak.rng.uniform(-86_400, 86_400)
    files = [path for path in top.rglob("*") if path.is_file()]
    for path in soak.rng.sample(files, len(files) // 2):
        os.utime(path, (time.time() + step,) * 2)

    def prepare() -> None:
        real, began = time.time, time.monotonic()
        time.time = lambda: real() + (step if time.monotonic() - began > 1 else 0.0)

    return Forked(log, line, prepare=prepare).wait(PATIENCE)


def is_complete(file: Path, sweep: Path) -> bool:
    """Whether a file is of a complete job."""
    return JobProgress.of(sweep / file.relative_to(sweep).parts[0]).complete


def damage(soak: Soak, line: list[str], log: Path, top: Path) -> int:
    """A file of one job is cut, emptied or changed in one byte before the start."""
    name = soak.rng.choice(DAMAGED)
    # Nothing reads a complete job again: the comparison would find the damage itself.
    files = [one for one in sorted(top.glob(f"s/*/{name}")) if not is_complete(one, top / "s")]
    if files:
        path = soak.rng.choice(files)
        content = bytearray(path.read_bytes())
        how = soak.rng.choice(["cut", "empty", "byte"])
        if how == "byte" and content:
            content[soak.rng.randrange(len(content))] ^= 0xFF
        path.write_bytes(
            content if how == "byte" else content[: len(content) // 2 * (how == "cut")]
        )
    return Forked(log, line).wait(PATIENCE)


def at_a_moment(soak: Soak, process: Forked, signum: int) -> int:
    """Send a signal to the process and its children."""
    end = time.monotonic() + soak.rng.uniform(0, soak.seconds)
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signum)
    return process.wait(PATIENCE)


FAULTS: dict[str, Fault] = {
    one.__name__: one
    for one in (kill_at_a_moment, kill_at_an_operation, stop, full_disk, lost_terminal,
                clock_steps, damage)
}  # fmt: skip
FAULTS["none"] = none


def main(argv: list[str] | None = None) -> int:
    """Run until the time is over; returns the number of findings."""
    parser = argparse.ArgumentParser(description="Small sweeps under random faults.")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments: Any = parser.parse_args(argv)
    torch.set_num_threads(1)
    import siamese_oneshot.training.command  # noqa: F401  # forks need not import it again

    folder = Path(tempfile.mkdtemp(prefix="soak"))
    soak = Soak(folder, random.Random(arguments.seed))
    end = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < end:
        soak.disturb(soak.rng.choice(list(SWEEPS)))
        print(
            f"{soak.sweeps} sweeps, {soak.jobs} jobs, {sum(soak.faults.values())} starts "
            f"{dict(soak.faults)}, {len(soak.findings)} findings",
            flush=True,
        )
    if not soak.findings:
        shutil.rmtree(folder)
    return len(soak.findings)


if __name__ == "__main__":
    raise SystemExit(main())
