"""A sweep's folder and its jobs: what each job is, how often it was started, and how it ended.

``sweep.json`` says what the sweep varies, ``<job>/job.json`` what a job is, and
``<job>/result.json`` how it ended.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import json_content, remove_temporary_files, write_json
from siamese_oneshot.utils.text import bare_key, folder_name, short_keys

FILE = "job.json"
SWEEP_FILE = "sweep.json"
JOB_LOCK = "run.lock"  # held by the process that trains in the job's folder
VERSION = 1  # of both files
ATTEMPTS = 3  # starts without a new checkpoint in between before a job counts as failed
COMPLETE = ("finished", "pruned")  # statuses of a result that leave nothing to do
_MAX_NAME = 100  # characters of the settings in a folder's name
COMMAND = ("python", "-m", "siamese_oneshot.train")

log = logging.getLogger(__name__)


@dataclass
class Job:
    """One job of a sweep.

    Attributes:
        number: Number in the sweep, from 0.
        overrides: All Hydra overrides of the job.
        swept: The keys among them that the sweep varies.
        attempts: Number of starts since the job last wrote a checkpoint.
        error: What went wrong, in one line.
        trial: In a search, the Optuna trial: ``study``, ``number`` and ``storage``, where None
            is the sweep's ``study.db``.
    """

    number: int
    overrides: list[str]
    swept: list[str]
    attempts: int = 0
    error: str | None = None
    trial: dict[str, Any] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The value of every swept key, as written in the overrides."""
        values = dict(text.lstrip("+~").split("=", 1) for text in self.overrides if "=" in text)
        return {key: values[key] for key in self.swept if key in values}

    @property
    def name(self) -> str:
        """Name of the job's folder: its number, then the swept settings, shortened."""
        short = short_keys(self.swept)
        parts = [f"{short[key]}={rounded(value)}" for key, value in self.settings.items()]
        while len(",".join(parts)) > _MAX_NAME:
            parts.pop()
        return folder_name([str(self.number), *parts]).replace(",", "_", 1)

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """The job whose folder this is; None if it has no ``job.json``; a UserError if damaged."""
        path = folder / FILE
        if not path.is_file():
            return None
        with json_content(path, VERSION, "", "remove that folder") as content:
            job = cls(**{field.name: content[field.name] for field in fields(cls)})
            check.plain_fields(job)
            return job

    def write(self, folder: Path) -> None:
        """Write ``job.json`` atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {"version": VERSION, **asdict(self)})

    def lost(self, folder: Path) -> int:
        """Count the attempts since the last checkpoint."""
        last, own = folder / "checkpoints" / "last.ckpt", folder / FILE
        if last.is_file() and own.is_file() and last.stat().st_mtime > own.stat().st_mtime:
            return 0
        return self.attempts

    def begin(self, folder: Path) -> None:
        """Count one more attempt, starting from 0 if the last attempt wrote a checkpoint."""
        self.attempts = self.lost(folder) + 1
        self.error = None
        self.write(folder)

    def excuse(self, folder: Path) -> None:
        """Take back the last attempt if the job left no trace of it in its folder."""
        counted = (folder / FILE).stat().st_mtime_ns
        if all(path.stat().st_mtime_ns <= counted for path in folder.iterdir()):
            self.attempts -= 1
            self.write(folder)


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come.

    Attributes:
        status: ``new``, ``unfinished``, ``finished``, ``pruned`` or ``failed``.
        validation: One-shot accuracy on the validation set in [0, 1], if there is one.
    """

    status: str
    validation: float | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.status in COMPLETE

    @classmethod
    def of(cls, folder: Path) -> JobProgress:
        """Read it from a job's folder; a damaged result counts as none."""
        from siamese_oneshot.runs import result

        if not any((folder / name).is_file() for name in (FILE, result.FILE)):
            return cls("new")
        try:
            ended = result.read_result(folder)
        except UserError:
            return cls("unfinished")
        if ended.status not in (*COMPLETE, "failed"):
            return cls("unfinished")
        if ended.status != "failed" and ended.val_accuracy is None:
            return cls("failed")  # no validation was run, or its score is NaN
        return cls(ended.status, ended.val_accuracy)


@contextmanager
def open_sweep(
    folder: Path, arguments: Sequence[str], params: dict[str, str], command: str = ""
) -> Iterator[None]:
    """Lock a sweep's folder, which is new or was made by the same arguments and ``params``.

    ``command`` runs the sweep now, for `command_of`; it may differ from earlier ones.

    Raises:
        UserError: Another process runs this sweep, or the folder holds another sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "sweep.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process runs the sweep in {folder}. Wait for it, or stop it (if there is "
            "none, as in a copy where files cannot be locked, remove sweep.lock). Several "
            "machines share one search with one hydra.sweeper.storage and a folder each "
            "(hydra.sweep.dir)."
        ) from None
    remove_temporary_files(folder, below=False)  # a job of a killed sweep may be running
    path = folder / SWEEP_FILE
    content = {"arguments": list(arguments), "params": dict(params)}
    try:
        differing = {}
        if path.exists():
            with json_content(path, VERSION, "", "move that folder away") as before:
                differing = {key: before[key] for key in content if before[key] != content[key]}
        if differing:
            lines = [f"{key} there: {old}; now: {content[key]}" for key, old in differing.items()]
            raise UserError(
                f"{folder} holds another sweep. Give this one its own name: "
                "hydra.sweeper.name=<name>\n" + "\n".join(lines)
            )
        write_json(path, {"version": VERSION, **content, "command": command})
        yield
    finally:
        lock.release()


def await_orphan(folder: Path) -> None:
    """Wait while another process still trains in a job's folder.

    A sweep that is killed may leave its jobs running, on this machine or in a cluster's queue.
    """
    if not (folder / JOB_LOCK).exists():
        return
    lock = FileLock(folder / JOB_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is still training in %s: waiting for it", folder)
        lock.acquire()
    lock.release()


def jobs_in(folder: Path) -> list[tuple[Job, Path, JobProgress]]:
    """List the jobs that have a folder, by number; damaged ones are logged and left out."""
    jobs = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            job = Job.read(path) if path.is_dir() else None
        except UserError as error:
            log.warning("%s", error)
            continue
        if job is not None:
            jobs.append((job, path, JobProgress.of(path)))
    return sorted(jobs, key=lambda item: item[0].number)


def command_of(folder: Path) -> str:
    """The command that last ran a sweep, which also continues it; "" if unknown."""
    try:
        with json_content(folder / SWEEP_FILE, VERSION, "", "") as content:
            command = content["command"]
    except UserError:
        return ""
    return command if isinstance(command, str) else ""


def train_again(overrides: Sequence[str], *changes: str) -> str:
    """The command that trains a job's settings outside its sweep, with some changes to them."""
    changes = (*changes, "hydra.mode=RUN")
    own = [text for text in overrides if bare_key(text) not in map(bare_key, changes)]
    return shlex.join([*COMMAND, *own, *changes])


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a folder is or is a job of."""
    return next((path for path in (folder, folder.parent) if (path / SWEEP_FILE).is_file()), None)


def rounded(value: str) -> str:
    """Round a sampled number to four significant digits."""
    try:
        return value if len(value) < 8 else f"{float(value):.4g}"
    except ValueError:
        return value
