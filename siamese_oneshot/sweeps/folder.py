"""A sweep's folder: one sweep, one process that drives it, and a folder for each job."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from siamese_oneshot.sweeps.job import Job, Outcome
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import whole_file

log = logging.getLogger(__name__)

FILE = "sweep.json"
JOB_LOCK = "run.lock"  # held by whoever trains in the job's folder
VERSION = 1


@contextmanager
def open_sweep(
    folder: Path, arguments: Sequence[str], params: dict[str, str], command: str = ""
) -> Iterator[None]:
    """Hold a sweep's folder, new or begun earlier by the same command.

    Args:
        folder: of the sweep; made where it is missing.
        arguments: of the command line, less Hydra's own settings.
        params: what the sweep varies, as in ``hydra.sweeper.params``.
        command: that drives the sweep now, for `command_of`; it may differ from the earlier ones.

    Raises:
        UserError: another process drives this sweep, or the folder holds another sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "sweep.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is driving the sweep in {folder}. Wait for it, or stop it; several "
            "machines search together with one hydra.sweeper.storage and a folder each "
            "(hydra.sweep.dir)."
        ) from None
    try:
        asked = {"arguments": list(arguments), "params": dict(params)}
        _check_same(folder, asked)
        with whole_file(folder / FILE) as file:
            content = {"version": VERSION, **asked, "command": command}
            file.write(json.dumps(content, indent=2).encode() + b"\n")
        yield
    finally:
        lock.release()


def _check_same(folder: Path, asked: dict[str, Any]) -> None:
    path = folder / FILE
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text())
        differing = [key for key, value in asked.items() if found[key] != value]
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise UserError(f"{path} is damaged ({problem}): move that folder away") from problem
    if differing:
        lines = [f"{key} there: {found[key]}; now: {asked[key]}" for key in differing]
        raise UserError(
            f"{folder} holds another sweep. Give this one a name of its own: "
            "hydra.sweeper.name=<name>\n" + "\n".join(lines)
        )


def await_orphan(folder: Path) -> None:
    """Wait while another process still trains in a job's folder.

    A driver that is killed may leave its jobs running, on this machine or in a cluster's queue.
    """
    if not (folder / JOB_LOCK).exists():
        return
    lock = FileLock(folder / JOB_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s is still being trained by another process: waiting for it", folder)
        lock.acquire()
    lock.release()


def forget_failure(folder: Path) -> None:
    """A failed result of an earlier attempt must not be taken for that of this one."""
    if Outcome.of(folder).status == "failed":
        (folder / "result.json").unlink(missing_ok=True)


def jobs_in(folder: Path) -> list[tuple[Job, Path, Outcome]]:
    """The jobs that have a folder, by number; damaged ones are named in the log and left out."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            job = Job.read(path) if path.is_dir() else None
        except UserError as problem:
            log.warning("%s", problem)
            continue
        if job is not None:
            found.append((job, path, Outcome.of(path)))
    return sorted(found, key=lambda item: item[0].number)


def command_of(folder: Path) -> str:
    """The command that drove a sweep last, which goes on with it; empty where it is not known."""
    try:
        command = json.loads((folder / FILE).read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
    return command if isinstance(command, str) else ""


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a folder is, or is a job of."""
    return next((one for one in (folder, folder.parent) if (one / FILE).is_file()), None)
