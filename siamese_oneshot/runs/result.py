"""What a run leaves behind: ``result.json``, and the table that a person reads."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import shlex
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.git_info import commit
from siamese_oneshot.utils.io import whole_file

VERSION = 2
FILE = "result.json"
PACKAGES = (
    "siamese-oneshot", "torch", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf",
    "numpy", "scipy", "pillow", "wandb",
)  # fmt: skip


@dataclass(frozen=True)
class RunResult:
    """All that is known of a run at its end, in plain values.

    Attributes:
        status: ``finished``, ``pruned``, ``interrupted`` or ``failed``.
        experiment, seed: what was run.
        data_source, data_digest, data_split: on what.
        trained_on: what the training learned from, in words.
        scores: the figures; the first is the one that was chosen by.
        validation: that figure, 0 … 1, of a pruned run the best on its way; None where there is
            none.
        checkpoint: the kept one, relative to the run's folder.
        steps, epochs: how far it came; whole epochs.
        seconds, seconds_total: of this process: training, and all.
        precision: of the arithmetic.
        overrides: of the command line.
        warnings: what a reader of the figures must know.
        command, python, packages, commit, hardware: where and with what; see ``environment``.
        machine: what else the last bit depends on; see ``tracking.machine``.
        lists: the hashes of the frozen lists of episodes and pairs, opened or not.
    """

    status: str
    experiment: str
    seed: int
    data_source: str
    data_digest: str
    data_split: str
    scores: list[Score]
    validation: float | None
    checkpoint: str | None
    steps: int
    epochs: int
    seconds: float
    seconds_total: float
    precision: str
    overrides: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    command: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    hardware: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
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


def environment(module: str = "train", gpus: int | None = None) -> dict[str, Any]:
    """Command, Python, packages, git commit (with ``+`` where files differ) and hardware.

    Args:
        module: the entry point.
        gpus: how many are used; None where all may be.
    """
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "unknown"
    return {
        "command": shlex.join(["python", "-m", f"siamese_oneshot.{module}", *sys.argv[1:]]),
        "python": platform.python_version(),
        "packages": packages,
        "commit": commit(),
        "hardware": _hardware(gpus),
    }


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
        f"{result.status} after {result.steps:,} steps, {result.seconds:.0f} s of training in "
        f"{result.precision} on {result.hardware}",
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


def _hardware(gpus: int | None) -> str:
    import torch

    if gpus is None:
        gpus = torch.cuda.device_count()
    if gpus and torch.cuda.is_available():
        return f"{gpus} x {torch.cuda.get_device_name()}"
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    return f"{torch.get_num_threads()} threads of {name}"
