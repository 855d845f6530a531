"""What a run leaves behind: ``result.json``, and the table that a person reads."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import whole_file

VERSION = 2
FILE = "result.json"


@dataclass(frozen=True)
class RunResult:
    """All that is known of a run at its end, in plain values.

    Attributes:
        status: ``finished``, ``pruned``, ``interrupted`` or ``failed``.
        experiment, seed: what was run.
        data_source, data_digest, data_split: on what.
        trained_on: what the training learned from, in words.
        scores: the figures; the first is the one that was chosen by.
        val_accuracy: One-shot accuracy on validation episodes, from 0 to 1, of the kept checkpoint;
            of a pruned run the best one so far; None if there is none.
        checkpoint: the kept one, relative to the run's folder.
        steps, epochs: how far it came; whole epochs.
        train_seconds, total_seconds: Wall-clock time: of all training legs, and of this process.
        precision: of the arithmetic.
        overrides: of the command line.
        warnings: what a reader of the figures must know.
        command, python, packages, commit, hardware: where and with what; see ``environment``.
        machine: what else the last bit depends on; see ``run_info.machine``.
        task_digests: Hashes of the frozen lists of episodes and pairs, by ``split/key``.
    """

    status: str
    experiment: str
    seed: int
    data_source: str
    data_digest: str
    data_split: str
    scores: list[Score]
    val_accuracy: float | None
    checkpoint: str | None
    steps: int
    epochs: int
    train_seconds: float
    total_seconds: float
    precision: str
    overrides: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    command: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    hardware: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    task_digests: dict[str, str] = field(default_factory=dict)
    trained_on: str = ""


def write_result(folder: Path, result: RunResult) -> Path:
    """Write ``result.json`` as a whole or not at all; what is not a number becomes null."""
    path = folder / FILE
    content = {"version": VERSION, **_finite(dataclasses.asdict(result))}
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")
    return path


def read_result(folder: Path) -> RunResult:
    """Read what ``write_result`` wrote.

    Raises:
        UserError: no such file, not JSON, or of another version.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        found = content.pop("version")
        if found != VERSION:
            raise UserError(f"{path} is of version {found}; this package reads {VERSION}")
        scores = [Score(**score) for score in content.pop("scores")]
        return RunResult(scores=scores, **content)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: has the run ended?") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise UserError(f"{path} is damaged ({problem}): run that job again") from problem


def print_result(result: RunResult, folder: Path, console: Console | None = None) -> None:
    """Show the figures with their episodes and intervals, and how to go on.

    Args:
        result: of a run.
        folder: where it lies.
        console: where to print; standard output where None.
    """
    console = console or Console()
    for warning in result.warnings:
        console.print(Panel(escape(warning), style="bold red"))
    if result.scores:
        title = f"{result.experiment}, seed {result.seed}, split {result.data_split}"
        table = Table(title=escape(title))
        table.add_column("score", overflow="fold")
        for heading in ("%", "95% interval", "n"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("protocol", overflow="fold")
        for score in result.scores:
            table.add_row(
                escape(score.name),
                f"{100 * score.value:.2f}",
                f"{100 * score.low:.1f}-{100 * score.high:.1f}",
                f"{score.n:,}",
                escape(score.protocol),
            )
        console.print(table)
    lines = [
        f"{result.status} after {result.steps:,} steps, {result.train_seconds:.0f} s of training "
        f"in {result.precision} on {result.hardware}",
        f"everything is in {folder}",
    ]
    if result.checkpoint is not None:
        lines.append(f"the kept checkpoint is {result.checkpoint} in there")
    if result.status != "finished":
        lines.append(f"go on with: {resume_line(folder)}")
    for line in lines:  # a folder may hold [brackets], which rich would read as a style
        console.print(line, soft_wrap=True, markup=False)


def resume_line(folder: Path) -> str:
    """The command that goes on with the run in this folder."""
    return shlex.join(["python", "-m", "siamese_oneshot.train", f"resume={folder}"])


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
