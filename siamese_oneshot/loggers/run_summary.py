"""A run on loggers: its name, and at its end scores, published rows and the checkpoint."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.evaluation.model_evaluation import ModelResults
from siamese_oneshot.evaluation.published import Row, comparison, reference
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.runs.job import Job
from siamese_oneshot.runs.result import RunResult
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.run_info import of_training
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import short_keys

if TYPE_CHECKING:  # an evaluation without loggers does not load Lightning
    from pytorch_lightning.loggers import Logger

    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger

# The published protocol that each of our scores is compared with.
_KOCH2015 = {"one_shot": "within_alphabet_20way", "verification": "verification"}
_MAX_LENGTH = 96  # W&B cuts names at 128 characters
_IN_EXPERIMENT = ("experiment", "name")  # the name begins with the experiment


@dataclass(frozen=True)
class RunName:
    """How a run appears.

    Attributes:
        name: Readable, such as ``paper · lr 1e-3 · seed 2``.
        group: The sweep's folder name; None for a single run.
        wandb_dir: The folder that the runs of a group share.
    """

    name: str
    group: str | None
    wandb_dir: Path

    @classmethod
    def of(cls, folder: Path, experiment: str, seed: int, overrides: Sequence[str]) -> RunName:
        """The name of the training in a folder.

        Args:
            folder: Of the run; a job of a sweep has a ``job.json`` in it.
            experiment, seed: Of the configuration.
            overrides: Of the command line, for a run that is no job of a sweep.
        """
        try:
            job = Job.read(folder)
        except UserError:
            job = None
        if job is not None:
            name = name_of(experiment, job.settings, seed, job.number)
            return cls(name, folder.parent.name, folder.parent)
        pairs = [text.lstrip("+~").partition("=") for text in of_training(overrides)]
        own = {key: value for key, sign, value in pairs if sign and key not in _IN_EXPERIMENT}
        return cls(name_of(experiment, own, seed), None, folder)


def name_of(
    experiment: str, settings: Mapping[str, str], seed: int, number: int | None = None
) -> str:
    """A readable name.

    Args:
        experiment: Its name.
        settings: What distinguishes the run, by dotted key; the last ones are left out if the name
            gets too long.
        seed: Of the run.
        number: Of the job; part of the name if settings are left out.
    """
    kept = {key: value for key, value in settings.items() if key != "seed"}
    short = short_keys([*kept])
    parts = [f"{short[key]} {rounded(value)}" for key, value in kept.items()]
    name = " · ".join([experiment, *parts, f"seed {seed}"])
    start = experiment if number is None else f"{experiment} · job {number}"
    while parts and len(name) > _MAX_LENGTH:
        parts.pop()
        name = " · ".join([start, *parts, "…", f"seed {seed}"])
    return name


def rounded(value: str) -> str:
    """A number with four significant digits, a small one as ``1e-3``; other values unquoted."""
    value = value.strip("'\"")
    try:
        number = float(value)
    except ValueError:
        return value
    if 0 < abs(number) < 0.01:  # Hydra turns 1e-3 into 0.001
        digits, _, power = f"{number:.3e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return value if len(value) < 8 else f"{number:.4g}"


def log_result(loggers: Sequence[Logger], result: RunResult, folder: Path) -> None:
    """Log how a run ended; ``folder`` is the run's, and holds the checkpoint."""
    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger

    summary = summary_of(result)
    numbers = {key: value for key, value in summary.items() if isinstance(value, (int, float))}
    for logger in loggers:
        if not isinstance(logger, ResilientWandbLogger):
            logger.log_metrics(numbers, result.steps)
            continue
        run = logger.experiment
        logger.attempt(run.summary.update, summary)
        rows = compared(result)
        if rows:
            logger.attempt(_log_rows, logger, rows, result.steps)
        upload = logger.checkpoint == "always" or (logger.checkpoint == "auto" and not run.offline)
        if upload and result.status == "finished" and result.checkpoint is not None:
            logger.attempt(_log_checkpoint, run, result, folder / result.checkpoint)


def log_evaluation(
    loggers: Sequence[Logger],
    all_results: Sequence[ModelResults],
    tables: Sequence[Table],
    plots: Mapping[str, Path],
) -> None:
    """Log an evaluation: scores to every logger, tables and plots, by name, to W&B."""
    if not loggers:
        return
    from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger

    values: dict[str, float] = {}
    for model_results in all_results:
        prefix = "" if len(all_results) == 1 else f"{model_results.model.name}/"
        for score in model_results.scores:
            values |= metrics_of(f"{prefix}{score.split}/{score.key}", score)
        for name, value in model_results.summary.items():
            values[f"{prefix}summary/{name}"] = value
    rows = comparison(model_results.compared for model_results in all_results)
    for logger in loggers:
        logger.log_metrics(values)
        if not isinstance(logger, ResilientWandbLogger):
            continue
        if rows:
            logger.attempt(_log_rows, logger, [row for part in rows.values() for row in part])
        for table in tables:
            headings = [heading.removeprefix(">") or " " for heading in table.headings]
            cells = [list(row) for row in table.rows]
            name = f"tables/{table.key}"
            logger.attempt(logger.log_table, name, columns=headings, data=cells)
        for name, path in plots.items():
            logger.attempt(logger.log_image, f"plots/{name}", [str(path)])


def summary_of(result: RunResult) -> dict[str, Any]:
    """Plain values to sort, filter and plot runs by.

    ``best_val/…`` are the validation scores of the kept checkpoint, ``test/…`` the test scores,
    each with its 95% interval; ``delta_vs_koch2015/…`` is the difference to the accuracy that the
    paper reports, in points.
    """
    summary: dict[str, Any] = {"status": result.status, "train_seconds": result.train_seconds}
    if result.val_accuracy is not None:
        summary["best_val/one_shot_accuracy"] = result.val_accuracy
    if result.checkpoint_step is not None:
        summary["best_val/step"] = result.checkpoint_step
    for score in result.scores:
        group = "best_val" if score.split == "validation" else score.split
        summary |= metrics_of(f"{group}/{score.key}", score)
    if result.data_source != "omniglot":
        return summary
    for kind, protocol in _KOCH2015.items():
        published = reference(protocol, "koch2015").value / 100
        summary[f"published/koch2015_{kind}_accuracy"] = published
        own = [score.value for score in result.scores if score.comparable_with == protocol]
        if own:
            summary[f"delta_vs_koch2015/{kind}"] = 100 * (own[0] - published)
    return summary


def metrics_of(name: str, score: Score) -> dict[str, float]:
    """A score as metrics: accuracy with its interval and, for verification, AUROC and EER."""
    values = {
        "accuracy": score.value, "ci_low": score.low, "ci_high": score.high, "auroc": score.auroc,
        "eer": score.eer,
    }  # fmt: skip
    return {f"{name}_{key}": value for key, value in values.items() if value is not None}


def compared(result: RunResult) -> list[Row]:
    """The run's test scores among the published ones; empty if no score is comparable."""
    model = result.experiment, result.trained_on, result.scores
    return [row for rows in comparison([model]).values() for row in rows]


def _log_rows(logger: ResilientWandbLogger, rows: Sequence[Row], step: int | None = None) -> None:
    """Log the table ``tables/comparison``."""
    columns = [field.name for field in dataclasses.fields(Row)]
    data = [[getattr(row, name) for name in columns] for row in rows]
    logger.log_table("tables/comparison", columns=columns, data=data, step=step)


def _log_checkpoint(run: Any, result: RunResult, path: Path) -> None:
    """Upload a checkpoint as an artifact, with the scores as metadata."""
    import wandb

    name = re.sub(r"[^\w.-]+", "-", f"{result.experiment}-{run.id}")  # valid for an artifact
    metadata = {key: value for key, value in summary_of(result).items() if value is not None}
    facts = ("experiment", "seed", "steps", "commit", "data_source", "data_digest", "data_split")
    metadata |= {key: getattr(result, key) for key in facts}
    artifact = wandb.Artifact(name, type="model", metadata=metadata)
    artifact.add_file(str(path))
    run.log_artifact(artifact, aliases=["best", "latest", f"seed-{result.seed}"])
