"""Lightning's progress bar over the whole training, with the time left."""

from __future__ import annotations

import logging
import math
import sys
import time
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from siamese_oneshot.utils import check
from siamese_oneshot.utils.text import duration

_SILENCE = 30.0  # seconds between two lines where there is no bar
log = logging.getLogger(__name__)


class TrainingProgressBar(TQDMProgressBar):
    """One bar from the first step to the last, or lines, and a line for each validation.

    Args:
        refresh_rate: Steps between two updates of the bar; 0 hides it.
    """

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=check.integer("refresh_rate", refresh_rate, 0))
        self._began = self._said = 0.0  # seconds: the first step, and the last line
        self._first = 0

    def init_train_tqdm(self) -> Tqdm:
        """The bar; hidden where the output is no terminal, which gets lines instead."""
        total = self.trainer.estimated_stepping_batches
        return Tqdm(
            desc="training",
            total=None if math.isinf(total) else int(total),
            initial=self.trainer.global_step,
            unit="step",
            disable=self.is_disabled or not sys.stderr.isatty(),
            dynamic_ncols=True,
            miniters=max(1, self.refresh_rate),
            mininterval=1.0,
        )

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Start the clock of the lines."""
        super().on_train_start(trainer)
        self._began, self._first = time.monotonic(), trainer.global_step
        self._said = self._began

    def init_validation_tqdm(self) -> Tqdm:
        """A validation takes seconds and has no bar."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keep the bar, which counts the steps of the whole training."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Advance the bar. The loss is read only at logged steps: reading it waits for a GPU."""
        bar = self.train_progress_bar
        bar.update(trainer.global_step - bar.n)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every == 0:
            bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)
        if bar.disable and not self.is_disabled and time.monotonic() - self._said > _SILENCE:
            self._said = time.monotonic()
            log.info("%s", self._line(trainer, self.get_metrics(trainer, pl_module)))

    def _line(self, trainer: pl.Trainer, metrics: dict[str, Any]) -> str:
        """``step 120 of 3,240, 1.1 steps/s, 47 min left, loss 0.812``."""
        step, total = trainer.global_step, trainer.estimated_stepping_batches
        rate = (step - self._first) / (self._said - self._began)
        parts = [f"step {step:,}", f"{rate:.2g} steps/s"]
        if not math.isinf(total):
            parts[0] += f" of {int(total):,}"
            parts.append(f"{duration((total - step) / max(rate, 1e-9))} left")
        return ", ".join([*parts, *(f"{name} {value}" for name, value in metrics.items())])

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The loss, which Lightning's hooks display, too."""
        metrics = trainer.callback_metrics
        return {"loss": f"{float(metrics['train/loss']):.3f}"} if "train/loss" in metrics else {}

    def on_exception(self, *args: Any, **kwargs: Any) -> None:
        """Close the bar, so that an error starts on a line of its own."""
        with suppress(TypeError):  # Lightning's, if training has not started
            self.train_progress_bar.close()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log a line with the scores of a validation."""
        super().on_validation_end(trainer, pl_module)
        scores = trainer.callback_metrics
        if trainer.sanity_checking or self.is_disabled or "val/one_shot_accuracy" not in scores:
            return
        log.info(
            "step %s: validation one-shot %.1f%%, verification %.1f%%",
            f"{trainer.global_step:,}",
            100 * float(scores["val/one_shot_accuracy"]),
            100 * float(scores["val/verification_accuracy"]),
        )
