"""What a training leaves behind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from siamese_oneshot.callbacks.checkpoints import best_validation, kept_checkpoint
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.runs.result import RunResult


class Training(Protocol):
    """What a training knows of itself; ``Run`` is one."""

    cfg: DictConfig
    folder: Path
    data: OneShotDataModule
    environment: dict[str, Any]
    machine: dict[str, Any]
    precision: str
    started: float
    seconds: float


def result_of(
    run: Training, trainer: pl.Trainer, status: str, scores: Sequence[Score]
) -> RunResult:
    """All that is known of a run.

    Args:
        run: the training.
        trainer: that has fitted it, as far as it came.
        status: how that ended.
        scores: of the kept checkpoint; none where it was not examined.
    """
    kept, data = kept_checkpoint(trainer, run.folder), run.data
    eval_tasks = {"validation": data.validation, "test": data.test}
    return RunResult(
        status=status,
        experiment=run.cfg.name,
        seed=run.cfg.seed,
        data_source=data.dataset.source,
        data_digest=data.digest,
        data_split=data.parts.name,
        trained_on=data.learned,
        scores=list(scores),
        val_accuracy=scores[0].value if scores else best_validation(trainer),
        checkpoint=None if kept is None else _within(kept, run.folder),
        steps=trainer.global_step,
        epochs=trainer.global_step // len(data.stream),  # type: ignore[arg-type]
        train_seconds=run.seconds,
        total_seconds=time.monotonic() - run.started,
        overrides=list(HydraConfig.get().overrides.task),
        warnings=list(data.warnings),
        precision=run.precision,
        machine=run.machine,
        task_digests={
            f"{split}/{key}": digest
            for split, eval_tasks in eval_tasks.items()
            for key, digest in eval_tasks.digests.items()
        },
        **run.environment,
    )


def _within(path: Path, folder: Path) -> str:
    """From the folder to the path, also where links lead to either."""
    return os.path.relpath(path.resolve(), folder.resolve())
