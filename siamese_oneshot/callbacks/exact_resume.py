"""What Lightning's checkpoints lack so that a resumed run is bit-exact."""

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
    """Makes a resumed run continue bit for bit as if it had not been stopped.

    It adds to a checkpoint the states of all random generators, the metrics of the last validation
    and the training time. Each private method corrects one thing that Lightning 2.6 does on resume.

    Attributes:
        settings: What is learned with, plain values by key; kept in the checkpoint, as are
        legs: what each start of the run was asked for, see `TrainingRun`, and
        validation: the digests of the lists that checkpoints are selected on.
        seconds_before: Training time of the earlier legs. Where the result of the last one is
            known, set it: a leg goes on after its last checkpoint.
    """

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.legs: list[dict[str, Any]] = []
        self.validation: dict[str, str] = {}
        self.seconds_before = 0.0
        self._loaded: dict[str, Any] | None = None
        self._patience: dict[EarlyStopping, int] = {}
        self._groups: list[list[dict[str, Any]]] = []
        self._start = self._end = 0.0

    @property
    def seconds(self) -> float:
        """Training time, summed over all legs of a resumed run."""
        if not self._start:
            return self.seconds_before
        return self.seconds_before + (self._end or time.monotonic()) - self._start

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the states, and count only steps that are complete."""
        metrics = trainer.callback_metrics
        checkpoint[_KEY] = {
            "rng": rng_state(),
            "metrics": {k: v.detach().cpu() for k, v in metrics.items() if k.startswith("val/")},
            "seconds": self.seconds,
            "settings": self.settings,
            "legs": self.legs,
            "validation": self.validation,
        }
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for part in (progress["total"], progress["current"]):
            part["ready"] = part["started"] = part["processed"]
        progress["is_last_batch"] = False  # of the batch that was about to start
        if progress["current"]["processed"] < trainer.num_training_batches:
            # If max_steps ends within an epoch, a larger max_steps continues that epoch.
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for part in (epochs["total"], epochs["current"]):
                part["processed"] = part["completed"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the states until training starts."""
        self._loaded = checkpoint.get(_KEY, {"metrics": {}})
        saved = float(self._loaded.get("seconds", 0.0))
        self.seconds_before = max(self.seconds_before, saved)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._patience = {c: c.patience for c in callbacks if isinstance(c, EarlyStopping)}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember the configured settings of the optimizers; the checkpoint overwrites them."""
        self._start, self._end = time.monotonic(), 0.0
        self._groups = [settings_of(optimizer) for optimizer in trainer.optimizers]

    def on_fit_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop the clock."""
        self._end = time.monotonic()

    on_exception = on_fit_end

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states."""
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
        """Lightning would repeat the end of an epoch that is complete."""
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop.epoch_loop.restarting = False
            loop.epoch_loop.reset_restart_stage()

    def _restart_data(self, trainer: pl.Trainer) -> None:
        """Lightning starts the data loader at batch 0, before it loads the checkpoint."""
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        iter(fetcher)

    def _stay_stopped(self, trainer: pl.Trainer) -> None:
        """Lightning forgets that early stopping has stopped; a larger patience now continues."""
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

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Correct the step of loggers: Lightning counts one too many after a resume."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def settings_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Settings of the parameter groups, without the parameters."""
    return [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def set_settings(optimizer: Optimizer, groups: list[dict[str, Any]]) -> None:
    """Apply `settings_of` a new optimizer to a loaded one, and keep the schedule's progress."""
    for group, new in zip(optimizer.param_groups, groups, strict=True):
        old_lr, new_lr = group.get("initial_lr"), new.get("initial_lr")
        if new_lr is None:  # no schedule
            lr = new["lr"]
        elif new_lr == old_lr:
            lr = group["lr"]
        else:
            lr = group["lr"] * new_lr / old_lr if old_lr else new_lr
        momentum = group.get("momentum")  # the schedule changes it, too
        group.update(new, lr=lr)
        if momentum is not None:
            group["momentum"] = momentum


def seed_all(seed: int) -> None:
    """Seed all global random generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """States of all global random generators, as tensors and plain values."""
    state = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = cast("tuple[str, Any, int, int, float]", state)
    version, numbers, next_gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(numbers), next_gauss],
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()  # of this device; all processes draw alike
    return states


def set_rng_state(states: dict[str, Any]) -> None:
    """Restore the states of `rng_state`."""
    torch.set_rng_state(states["torch"])
    kind, keys, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, numbers, next_gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), next_gauss))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
