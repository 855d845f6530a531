"""The git checkout that the code runs from: its commit, and what differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from siamese_oneshot.utils.io import whole_file

PATCH = "changes.patch"
_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("siamese_oneshot", "conf")  # where a new file acts although git does not know it yet
_LARGEST = 10_000_000  # bytes of a patch that is kept
_FAULTS = (OSError, subprocess.SubprocessError)


def commit() -> str | None:
    """The commit of the code that runs, with ``+`` where files differ or are new.

    Returns:
        None where the code is not a checkout's own.
    """
    try:
        _check_own()
        found = _git("rev-parse", "HEAD").decode().strip()
        differs = _git("status", "--porcelain", "-uno") or _new()
    except _FAULTS:
        return None
    return found + ("+" if differs else "")


def keep_changes(folder: Path) -> Path | None:
    """Write what the code differs in from its commit as ``changes.patch``.

    Args:
        folder: of the run.

    Returns:
        The file; None where there is nothing that differs, or no repository.
    """
    path = folder / PATCH
    try:
        _check_own()
        changes = _git("diff", "--binary", "HEAD")
        for name in _new():
            line = ("diff", "--binary", "--no-index", "--", "/dev/null", name)
            changes += _git(*line, codes=(0, 1))  # 1: they differ
        if not changes or len(changes) > _LARGEST:
            return None
        with whole_file(path) as file:
            file.write(changes)
    except _FAULTS:
        return None
    return path


def _check_own() -> None:
    """An installed copy may lie inside somebody else's repository, which does not track it."""
    _git("ls-files", "--error-unmatch", __file__)


def _new() -> list[str]:
    """Files of the code that git neither tracks nor ignores."""
    found = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE)
    return [name for name in found.decode(errors="surrogateescape").split("\0") if name]


def _git(*line: str, codes: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run(["git", *line], cwd=_ROOT, capture_output=True, timeout=10, check=False)
    if done.returncode not in codes:
        raise subprocess.CalledProcessError(done.returncode, line)
    return done.stdout
