"""The end of a training and of an evaluation on loggers: scores, published rows, checkpoint."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from siamese_oneshot.evaluation.model_evaluation import ModelResults
from siamese_oneshot.evaluation.published import Row, comparison, reference
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger
from siamese_oneshot.runs.result import RunResult
from siamese_oneshot.utils.tables import Table

# The published protocol that each of our scores is compared with.
_KOCH2015 = {"one_shot": "within_alphabet_20way", "verification": "verification"}


def log_result(loggers: Sequence[Logger], result: RunResult, folder: Path) -> None:
    """Log how a run ended; ``folder`` is the run's, and holds the checkpoint."""
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
    """Log the table ``comparison``."""
    columns = [field.name for field in dataclasses.fields(Row)]
    data = [[getattr(row, name) for name in columns] for row in rows]
    logger.log_table("comparison", columns=columns, data=data, step=step)


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
