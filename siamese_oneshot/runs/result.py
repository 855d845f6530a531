"""The result of a run: ``result.json``, and the table that is printed."""

from __future__ import annotations

import dataclasses
import math
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils import check
from siamese_oneshot.utils.io import json_content, previous, write_json
from siamese_oneshot.utils.tables import Table, text_of
from siamese_oneshot.utils.text import duration, near

VERSION = 2
FILE = "result.json"


@dataclass(frozen=True)
class RunResult:
    """Everything known about a run at its end; for the rest see `run_info.environment`."""

    status: str  # finished, pruned, interrupted or failed
    experiment: str
    seed: int
    data_source: str
    data_digest: str
    data_split: str
    scores: list[Score]  # of the kept checkpoint; the first is the validation accuracy behind it
    val_accuracy: float | None  # one-shot, 0 … 1, of the kept checkpoint; of a pruned run the best
    checkpoint: str | None  # the kept one, relative to the run's folder
    steps: int
    epochs: int  # whole ones
    train_seconds: float  # of all legs of a resumed run
    total_seconds: float  # of the last process
    precision: str  # Lightning's name of the arithmetic
    overrides: list[str] = field(default_factory=list)  # of the command line
    warnings: list[str] = field(default_factory=list)  # what a reader of the scores must know
    command: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    hardware: str = ""
    machine: dict[str, Any] = field(default_factory=dict)  # see `run_info.machine`
    task_digests: dict[str, str] = field(default_factory=dict)  # of frozen lists by ``split/key``
    trained_on: str = ""
    # What each start of the run was asked for, and what it changed: step, overrides, changes, …
    legs: list[dict[str, Any]] = field(default_factory=list)
    # Splits whose scores are of an earlier result, with its steps: the run was prolonged since.
    earlier_scores: dict[str, int] = field(default_factory=dict)
    checkpoint_step: int | None = None  # training steps of the kept checkpoint, where evaluated


def write_result(folder: Path, result: RunResult, keep: bool = True) -> Path:
    """Write ``result.json`` completely or not at all; NaN and infinity become null.

    The one before is kept as ``result.previous.json`` if ``keep``.
    """
    path = folder / FILE
    content = {"version": VERSION, **_finite(dataclasses.asdict(result))}
    return write_json(path, content, keep=previous(path) if keep else None)


def with_earlier(result: RunResult, earlier: RunResult | None) -> RunResult:
    """A result with the scores of splits that only the ``earlier`` one of the same run has.

    A warning says of which step they are.
    """
    if earlier is None:
        return result
    own = {score.split for score in result.scores}
    kept = [score for score in earlier.scores if score.split not in own]
    steps = {one.split: earlier.earlier_scores.get(one.split, earlier.steps) for one in kept}
    older = {split: step for split, step in steps.items() if step != result.steps}
    return dataclasses.replace(
        result,
        scores=sorted([*result.scores, *kept], key=lambda score: score.split != "validation"),
        val_accuracy=earlier.val_accuracy if result.val_accuracy is None else result.val_accuracy,
        checkpoint=earlier.checkpoint if result.checkpoint is None else result.checkpoint,
        earlier_scores=older,
        task_digests={
            **result.task_digests,
            **{key: d for key, d in earlier.task_digests.items() if key.split("/")[0] in steps},
        },
        warnings=[
            *result.warnings,
            *(
                f"the {split} scores are of step {step:,}: the run was continued since then"
                for split, step in older.items()
            ),
        ],
    )


def read_result(folder: Path) -> RunResult:
    """Read ``result.json``; a UserError if it is missing, damaged or of another version."""
    missing, damaged = "a run writes it when it ends", "run that job again"
    with json_content(folder / FILE, VERSION, missing, damaged) as content:
        scores = [Score.from_dict(row) for row in content.pop("scores")]
        result = RunResult(scores=scores, **content)
        check.plain_fields(result)
        return result


def result_text(result: RunResult, folder: Path) -> str:
    """The scores with their intervals, what to know about them, and what to do next."""
    parts: list[Table | str] = []
    if result.scores:
        trained = f", trained on {result.trained_on}" if result.trained_on else ""
        title = f"{result.experiment}, seed {result.seed}{trained}, split {result.data_split}"
        table = Table(title, ["score", ">%", ">95% interval", ">n"])
        for score in result.scores:
            interval = f"{100 * score.low:.1f}-{100 * score.high:.1f}"
            of = "" if score.name.startswith(score.split) else f"{score.split} "
            table.add(of + score.name, f"{100 * score.value:.2f}", interval, f"{score.n:,}")
        parts.append(table)
    parts += [f"note: {warning}" for warning in result.warnings]
    parts += [
        f"resumed at step {leg['step']:,} with {key}: {change}"
        for leg in result.legs
        for key, change in leg["changes"].items()
    ]
    parts.append(
        f"{result.status} after {result.steps:,} step{'' if result.steps == 1 else 's'} and "
        f"{duration(result.train_seconds)} with validation, {result.precision}, {result.hardware}"
    )
    if result.checkpoint is not None:
        kind = "last" if Path(result.checkpoint).stem == "last" else "best"
        of = "" if result.checkpoint_step is None else f" of step {result.checkpoint_step:,}"
        parts.append(f"{kind} checkpoint{of}: {result.checkpoint}")
    if result.status != "finished":
        parts.append(f"resume with: {resume_line(Path(near(folder)))}")
    elif result.checkpoint is not None:
        kept = folder / result.checkpoint
        is_inside = kept.resolve().is_relative_to(folder.resolve())  # evaluate follows no other
        named = near(folder if is_inside else kept)
        parts.append(f"every protocol: {command_line('evaluate', named)}")
    return text_of(*parts)


def command_line(command: str, *words: str) -> str:
    """A command of this package, to be copied to a shell."""
    return shlex.join(["python", "-m", f"siamese_oneshot.{command}", *words])


def resume_line(folder: Path) -> str:
    """The command that resumes the run in this folder."""
    return command_line("train", f"resume={folder}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
