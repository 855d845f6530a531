"""Checkpoint content, beside Lightning's own, that makes a resumed run bit-exact."""

from __future__ import annotations

import random
import time
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from torch.optim import Optimizer

from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger

_KEY = "exact_resume"


class ExactResume(Callback):
    """Makes a resumed run continue exactly as if it had not been stopped.

    A checkpoint also gets the state of all random generators, the metrics of the last validation
    and the training time so far. Each private method below replaces
    something that Lightning 2.6 does differently on resume.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._patience: dict[EarlyStopping, int] = {}
        self._groups: list[list[dict[str, Any]]] = []
        self._seconds_before, self._began, self._ended = 0.0, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Training time, summed over all parts of a resumed run."""
        if not self._began:
            return self._seconds_before
        return self._seconds_before + (self._ended or time.monotonic()) - self._began

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what is missing."""
        metrics = trainer.callback_metrics
        checkpoint[_KEY] = {
            "rng": rng_state(),
            "metrics": {k: v.detach().cpu() for k, v in metrics.items() if k.startswith("val/")},
            "seconds": self.seconds,
        }
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for part in (progress["total"], progress["current"]):
            part["ready"] = part["started"] = part["processed"]
        progress["is_last_batch"] = False  # of the batch that was about to start
        if progress["current"]["processed"] < trainer.num_training_batches:
            # Where max_steps ends within an epoch, more steps would continue in that epoch.
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for part in (epochs["total"], epochs["current"]):
                part["processed"] = part["completed"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what was added until everything is set up."""
        self._loaded = checkpoint.get(_KEY, {"metrics": {}})
        self._seconds_before = float(self._loaded.get("seconds", 0.0))
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._patience = {c: c.patience for c in callbacks if isinstance(c, EarlyStopping)}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the settings of the optimizers before the checkpoint's are loaded."""
        self._began, self._ended = time.monotonic(), 0.0
        self._groups = [settings_of(optimizer) for optimizer in trainer.optimizers]

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._ended = time.monotonic()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop the clock."""
        self._ended = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore everything."""
        for logger in trainer.loggers:
            if isinstance(logger, ResumableCSVLogger):
                logger.rewind(trainer.global_step)
        if self._loaded is None:
            return
        self._start_next_epoch(trainer)
        self._restart_data(trainer)
        self._stay_stopped(trainer)
        self._apply_current_settings(trainer)
        trainer.callback_metrics.update(self._loaded["metrics"])
        if "rng" in self._loaded:
            set_rng_state(self._loaded["rng"])
        self._loaded = None

    def _start_next_epoch(self, trainer: pl.Trainer) -> None:
        """Lightning would repeat the end of an epoch that was complete."""
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop.epoch_loop.restarting = False
            loop.epoch_loop.reset_restart_stage()

    def _restart_data(self, trainer: pl.Trainer) -> None:
        """The data loader was started at batch 0, before the checkpoint was loaded."""
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        iter(fetcher)

    def _stay_stopped(self, trainer: pl.Trainer) -> None:
        """Lightning forgets that it was to stop early. A larger patience given now continues."""
        for callback, patience in self._patience.items():
            exhausted = callback.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED
            if exhausted and callback.wait_count < patience:
                callback.stopping_reason = EarlyStoppingReason.NOT_STOPPED
            callback.patience = patience
            if callback.stopping_reason.value:
                trainer.should_stop = True

    def _apply_current_settings(self, trainer: pl.Trainer) -> None:
        """Lightning would use the checkpoint's learning rates, weight decay and betas."""
        for optimizer, groups in zip(trainer.optimizers, self._groups, strict=True):
            set_settings(optimizer, groups)
        for schedule in (config.scheduler for config in trainer.lr_scheduler_configs):
            if hasattr(schedule, "base_lrs"):
                groups = schedule.optimizer.param_groups
                schedule.base_lrs = [group["initial_lr"] for group in groups]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Correct the step that loggers get: Lightning 2.6 counts one too many after a resume."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def settings_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """The settings of the parameter groups, without the parameters."""
    return [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def set_settings(optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
    """Set the parameter groups, but keep how far the schedule has moved them.

    Args:
        optimizer: As a checkpoint has left it; equal settings change nothing.
        groups: What ``settings_of`` gave for the same optimizer when it was new.
    """
    for group, wanted in zip(optimizer.param_groups, groups, strict=True):
        before, now = group.get("initial_lr"), wanted.get("initial_lr")
        if now is None:  # no schedule
            lr = wanted["lr"]
        elif now == before:
            lr = group["lr"]
        else:
            lr = group["lr"] * now / before if before else now
        momentum = group.get("momentum")  # moved by the schedule, too
        group.update(wanted, lr=lr)
        if momentum is not None:
            group["momentum"] = momentum


def seed_all(seed: int) -> None:
    """Seed every global random generator of the process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """The state of every global random generator, as tensors and plain values."""
    state = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = cast("tuple[str, Any, int, int, float]", state)
    version, numbers, second = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(numbers), second],
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()  # of this device: all processes draw alike
    return states


def set_rng_state(states: dict[str, Any]) -> None:
    """Set every global random generator to what ``rng_state`` gave."""
    torch.set_rng_state(states["torch"])
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, numbers, second = states["python"]
    random.setstate((version, tuple(numbers.tolist()), second))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
