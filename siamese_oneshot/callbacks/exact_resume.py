"""What a checkpoint must hold beside Lightning's own, so that a resumed run is the run itself."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from torch.optim import Optimizer

from siamese_oneshot.loggers.csv_logger import ResumableCSVLogger

_KEY = "continuity"


class ExactResume(Callback):
    """Makes a resumed run go on exactly as if it had not been stopped.

    Beside what Lightning keeps, a checkpoint gets the state of all chance and the last validation,
    and says of a step that was about to begin that it had not. What Lightning 2.6 would do on
    resume, and what is done here instead, has a method each below.
    """

    def __init__(self) -> None:
        self._found: dict[str, Any] | None = None
        self._patience: dict[EarlyStopping, int] = {}
        self._groups: list[list[dict[str, Any]]] = []

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what is missing."""
        scores = trainer.callback_metrics
        checkpoint[_KEY] = {
            "chance": rng(),
            "scores": {k: one.detach().cpu() for k, one in scores.items() if k.startswith("val/")},
        }
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for part in (progress["total"], progress["current"]):
            part["ready"] = part["started"] = part["processed"]
        progress["is_last_batch"] = False  # of the batch that was about to begin
        if progress["current"]["processed"] < trainer.num_training_batches:
            # Where the steps end within an epoch, more steps would go on in it.
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for part in (epochs["total"], epochs["current"]):
                part["processed"] = part["completed"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep what was added until all is set up."""
        self._found = checkpoint.get(_KEY, {"scores": {}})
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._patience = {one: one.patience for one in callbacks if isinstance(one, EarlyStopping)}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note how the optimizers are set, before the checkpoint's settings are loaded."""
        self._groups = [settings_of(made) for made in trainer.optimizers]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put everything where it was."""
        for logger in trainer.loggers:
            if isinstance(logger, ResumableCSVLogger):
                logger.rewind(trainer.global_step)
        if self._found is None:
            return
        self._begin_the_next_epoch(trainer)
        self._begin_the_data_anew(trainer)
        self._stay_stopped(trainer)
        self._take_the_settings_given_now(trainer)
        trainer.callback_metrics.update(self._found["scores"])
        if "chance" in self._found:
            set_rng(self._found["chance"])
        self._found = None

    def _begin_the_next_epoch(self, trainer: pl.Trainer) -> None:
        """Lightning would run through the end of an epoch that was over a second time."""
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop.epoch_progress.increment_completed()
            loop.reset_restart_stage()
            loop.epoch_loop.restarting = False
            loop.epoch_loop.reset_restart_stage()

    def _begin_the_data_anew(self, trainer: pl.Trainer) -> None:
        """Whoever asked for the number of steps, before the checkpoint was loaded, began with 0."""
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        iter(fetcher)

    def _stay_stopped(self, trainer: pl.Trainer) -> None:
        """Lightning would forget that it was to stop early; more patience given now goes on."""
        for callback, patience in self._patience.items():
            impatient = callback.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED
            if impatient and callback.wait_count < patience:
                callback.stopping_reason = EarlyStoppingReason.NOT_STOPPED
            callback.patience = patience
            if callback.stopping_reason.value:
                trainer.should_stop = True

    def _take_the_settings_given_now(self, trainer: pl.Trainer) -> None:
        """Lightning would take the checkpoint's rates, decay and betas."""
        for made, groups in zip(trainer.optimizers, self._groups, strict=True):
            set_settings(made, groups)
        for schedule in (one.scheduler for one in trainer.lr_scheduler_configs):
            if hasattr(schedule, "base_lrs"):
                groups = schedule.optimizer.param_groups
                schedule.base_lrs = [group["initial_lr"] for group in groups]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep Lightning's count for loggers in step: 2.6 counts one too many after a resume."""
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def settings_of(made: Optimizer) -> list[dict[str, Any]]:
    """What an optimizer's groups are set to, without the weights."""
    return [
        {key: value for key, value in group.items() if key != "params"}
        for group in made.param_groups
    ]


def set_settings(made: Optimizer, groups: list[dict[str, Any]]) -> None:
    """Give an optimizer's groups settings, but go on where a schedule has brought them.

    Args:
        made: the optimizer, as a checkpoint has left it, and as it stays with equal settings.
        groups: of ``settings_of``, of the same optimizer when it was new.
    """
    for group, wanted in zip(made.param_groups, groups, strict=True):
        then, now = group.get("initial_lr"), wanted.get("initial_lr")
        if now is None:  # no schedule moves it
            lr = wanted["lr"]
        elif now == then:
            lr = group["lr"]
        else:
            lr = group["lr"] * now / then if then else now
        momentum = group.get("momentum")  # the schedule's, too
        group.update(wanted, lr=lr)
        if momentum is not None:
            group["momentum"] = momentum


def seed_all(seed: int) -> None:
    """Seed all generators that a process has."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def rng() -> dict[str, Any]:
    """The state of all generators that a process has: tensors and plain values."""
    state = np.random.get_state()  # noqa: NPY002
    kind, keys, index, has_gauss, gauss = cast("tuple[str, Any, int, int, float]", state)
    version, numbers, second = random.getstate()
    found: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), index, has_gauss, gauss],
        "python": [version, torch.tensor(numbers), second],
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()  # this device's: all processes draw alike
    return found


def set_rng(state: dict[str, Any]) -> None:
    """Set all generators to what ``rng`` gave."""
    torch.set_rng_state(state["torch"])
    kind, keys, index, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), index, has_gauss, gauss))  # noqa: NPY002
    version, numbers, second = state["python"]
    random.setstate((version, tuple(numbers.tolist()), second))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
