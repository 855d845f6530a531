"""How a training ended, on W&B: figures, the literature beside them, the best checkpoint."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.literature import (
    ComparedModel,
    Row,
    comparison,
    koch2015_value,
    training_data,
)
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.loggers.wandb_logger import ResilientWandbLogger
from siamese_oneshot.runs.result import RunResult
from siamese_oneshot.utils.errors import UserError

CHECKPOINT = ("auto", "always", "never")
# The protocols whose published figure a run is measured against; the first such score counts.
_AGAINST = {
    "one_shot": "within_alphabet_20way",
    "verification": "verification",
}


def check_choice(checkpoint: str) -> None:
    """Refuse a wrong ``logger.checkpoint`` before the training.

    Raises:
        UserError: with the right ones.
    """
    if checkpoint not in CHECKPOINT:
        raise UserError(
            f"logger.checkpoint={checkpoint} is unknown; there are {', '.join(CHECKPOINT)}"
        )


def log_result(
    logger: ResilientWandbLogger, result: RunResult, folder: Path, checkpoint: str
) -> None:
    """Log the end of a run; a failure of W&B is a warning.

    Args:
        logger: of the run.
        result: what came out.
        folder: where the checkpoint lies.
        checkpoint: ``auto`` uploads the best one of a finished run where W&B is online; ``always``
            also stages it offline, for `wandb sync`; ``never``.
    """
    run = logger.experiment
    logger.attempt(run.summary.update, summary_of(result))
    rows = compared(result)
    if rows:
        logger.attempt(log_comparison, logger, rows, result.steps)
    wanted = checkpoint == "always" or (checkpoint == "auto" and not run.offline)
    if wanted and result.status == "finished" and result.checkpoint is not None:
        logger.attempt(_log_checkpoint, run, result, folder / result.checkpoint)


def summary_of(result: RunResult) -> dict[str, Any]:
    """Plain figures to sort, filter and plot runs by.

    ``best_val/…`` are validation's of the kept checkpoint, ``test/…`` those of the test lists, each
    with its 95% interval; ``delta_vs_koch2015/…`` is the distance to the paper's figure in points.
    """
    figures: dict[str, Any] = {"status": result.status, "train_seconds": result.train_seconds}
    if result.val_accuracy is not None:
        figures["best_val/one_shot_accuracy"] = result.val_accuracy
    for score in result.scores:
        name = f"{'best' if score.split == 'validation' else score.split}/{score.key}"
        figures |= interval_of(name, score)
    for name, value in _papers(result).items():
        figures[f"published/koch2015_{name}_accuracy"] = value
        ours = _against(result, name)
        if ours is not None:
            figures[f"delta_vs_koch2015/{name}"] = 100 * (ours.value - value)
    return figures


def interval_of(name: str, score: Score) -> dict[str, float]:
    """The accuracy with its interval, 0 … 1, under a metric's name."""
    return {
        f"{name}_accuracy": score.value,
        f"{name}_low": score.low,
        f"{name}_high": score.high,
    }


def compared(result: RunResult) -> list[Row]:
    """The run among the published figures; nothing where it is not of Omniglot's test lists."""
    tested = any(score.split == "test" for score in result.scores)
    if result.data_source != "omniglot" or not tested:
        return []
    words = training_data(result.data_source, result.data_split, result.trained_on)
    compared_model = ComparedModel(result.experiment, words, result.scores)
    return [row for rows in comparison([compared_model]).values() for row in rows]


def log_comparison(
    logger: ResilientWandbLogger, rows: Sequence[Row], step: int | None = None
) -> None:
    """Log rows as the table ``comparison``."""
    columns = [field.name for field in dataclasses.fields(Row)]
    data = [[getattr(row, name) for name in columns] for row in rows]
    logger.log_table("comparison", columns=columns, data=data, step=step)


def _papers(result: RunResult) -> dict[str, float]:
    if result.data_source != "omniglot":
        return {}
    return {name: koch2015_value(protocol) for name, protocol in _AGAINST.items()}


def _against(result: RunResult, name: str) -> Score | None:
    return next((one for one in result.scores if one.comparable_with == _AGAINST[name]), None)


def _log_checkpoint(run: Any, result: RunResult, path: Path) -> None:
    """The checkpoint as an artifact of its own collection, with the scores as metadata."""
    import wandb

    name = re.sub(r"[^\w.-]+", "-", f"{result.experiment}-{run.id}")
    about = {
        **{key: value for key, value in summary_of(result).items() if value is not None},
        **{key: getattr(result, key) for key in ("experiment", "seed", "steps", "commit")},
        **{key: getattr(result, key) for key in ("data_source", "data_digest", "data_split")},
    }
    artifact = wandb.Artifact(name, type="model", metadata=about)
    artifact.add_file(str(path))
    run.log_artifact(artifact, aliases=["best", "latest", f"seed-{result.seed}"])
