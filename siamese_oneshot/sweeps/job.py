"""One job of a sweep in its folder: what it is, how often it was begun, and how it ended."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import whole_file

FILE = "job.json"
VERSION = 1
ATTEMPTS = 3  # without a new checkpoint in between: the job kills its process
COMPLETE = ("finished", "pruned")  # of a result: nothing is left to do
_RESULT = "result.json"
_DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_LONGEST = 100  # of a folder's name, in characters; file systems take 255 bytes


@dataclass
class Job:
    """One job of a sweep.

    Attributes:
        number: in the sweep, from 0.
        overrides: of Hydra, all of the job's.
        swept: the keys among them that the sweep varies.
        attempts: how often it was begun since it last made a checkpoint.
        error: what went wrong, in a line.
        trial: of a search: ``storage``, ``study`` and ``number``.
    """

    number: int
    overrides: list[str]
    swept: list[str]
    attempts: int = 0
    error: str | None = None
    trial: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The folder's: the number, which makes it unique, and what is swept, shortened."""
        own = dict(text.lstrip("+~").split("=", 1) for text in self.overrides if "=" in text)
        short = short_keys(self.swept)
        parts = [f"{short[key]}={_rounded(own[key])}" for key in self.swept if key in own]
        while len(",".join(parts)) > _LONGEST:
            parts.pop()
        return folder_name([str(self.number), *parts]).replace(",", "_", 1)

    @classmethod
    def read(cls, folder: Path) -> Job | None:
        """The job whose folder this is; None where it says nothing of one.

        Raises:
            UserError: a file that is damaged or of another version.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text())
            found = content.pop("version")
            if found != VERSION:
                raise ValueError(f"version {found}, not {VERSION}")
            return cls(**{field.name: content[field.name] for field in fields(cls)})
        except _DAMAGE as problem:
            raise UserError(f"{path} is damaged ({problem}): remove that folder") from problem

    def write(self, folder: Path) -> None:
        """Write ``job.json``, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / FILE) as file:
            content = {"version": VERSION, **asdict(self)}
            file.write(json.dumps(content, indent=2).encode() + b"\n")

    def lost(self, folder: Path) -> int:
        """How many attempts have come to nothing: none where the last one made a checkpoint."""
        last, own = folder / "checkpoints" / "last.ckpt", folder / FILE
        if last.is_file() and own.is_file() and last.stat().st_mtime > own.stat().st_mtime:
            return 0
        return self.attempts

    def begin(self, folder: Path) -> None:
        """Count an attempt, from anew where the last one came to a checkpoint."""
        self.attempts = self.lost(folder) + 1
        self.error = None
        self.write(folder)

    def excuse(self, folder: Path) -> None:
        """Take back an attempt that was counted, but of which the folder shows no trace."""
        counted = (folder / FILE).stat().st_mtime_ns
        if all(one.stat().st_mtime_ns <= counted for one in folder.iterdir()):
            self.attempts -= 1
            self.write(folder)


@dataclass(frozen=True)
class Outcome:
    """How far a job has come.

    Attributes:
        status: ``new``, ``unfinished``, ``finished``, ``pruned`` or ``failed``.
        validation: the one-shot accuracy on validation trials, 0 … 1, where there is one.
    """

    status: str
    validation: float | None = None

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to do."""
        return self.status in COMPLETE

    @classmethod
    def of(cls, folder: Path) -> Outcome:
        """Read from the folder; a result that is half written counts for nothing."""
        if not (folder / FILE).is_file() and not (folder / _RESULT).is_file():
            return cls("new")
        try:
            content = json.loads((folder / _RESULT).read_text())
            status, value = content["status"], content["validation"]
        except (OSError, ValueError, TypeError, KeyError):
            return cls("unfinished")
        if status not in (*COMPLETE, "failed"):
            return cls("unfinished")
        if status != "failed" and value is None:
            return cls("failed")  # ended without a single validation, or with one that is NaN
        return cls(status, value)


def bare_key(override: str) -> str:
    """``optimizer.lr`` of ``+optimizer.lr=1``."""
    return override.partition("=")[0].lstrip("+~")


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Each key's last parts, as many as it takes to tell it from the others."""

    def ends(key: str) -> list[str]:
        parts = key.split(".")
        return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]

    taken = Counter(end for key in dict.fromkeys(keys) for end in ends(key))
    return {key: next((end for end in ends(key) if taken[end] == 1), key) for key in keys}


def _rounded(value: str) -> str:
    """A sampled number to four figures, for reading."""
    try:
        return value if len(value) < 8 else f"{float(value):.4g}"
    except ValueError:
        return value


def folder_name(overrides: Sequence[str]) -> str:
    """Overrides as a folder's name: readable, valid everywhere, different for different ones."""
    text = ",".join(override.lstrip("+~") for override in overrides)
    name = re.sub(r"[^\w.,=+\-\[\]]", "-", text.replace("'", "").replace('"', ""), flags=re.A)
    if name == text and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}~{sha256(text.encode()).hexdigest()[:8]}"
