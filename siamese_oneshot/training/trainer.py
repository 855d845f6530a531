"""The Lightning trainer that fits and examines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback, Checkpoint, ProgressBar
from pytorch_lightning.loggers import Logger

from siamese_oneshot.callbacks.checkpoint_io import AtomicCheckpointIO


def make_trainer(
    settings: DictConfig,
    folder: Path,
    accelerator: str,
    precision: str,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    max_steps: int = -1,
) -> pl.Trainer:
    """A trainer on a chosen device; without callbacks and loggers it leaves nothing behind.

    Args:
        settings: ``conf/trainer``.
        folder: of the run.
        accelerator, precision: in Lightning's words, chosen for this machine.
        callbacks: all of them: progress bar and checkpoints, too.
        loggers: all of them.
        max_steps: after which a fit ends; -1 for no bound.
    """
    return pl.Trainer(
        accelerator=accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        precision=precision,  # type: ignore[arg-type]
        max_steps=max_steps,
        max_epochs=settings.max_epochs,
        log_every_n_steps=settings.log_every_n_steps,
        gradient_clip_val=settings.gradient_clip_val,
        logger=list(loggers),
        callbacks=list(callbacks),
        default_root_dir=folder,
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=any(isinstance(one, ProgressBar) for one in callbacks),
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(one, Checkpoint) for one in callbacks),
        use_distributed_sampler=False,
        # Batch norm over the whole batch; PyTorch has it on GPUs only.
        sync_batchnorm=accelerator in ("gpu", "cuda"),
        num_sanity_val_steps=0,
    )
