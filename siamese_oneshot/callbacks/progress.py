"""Lightning's progress bar over the whole training, with the time left."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from siamese_oneshot.utils import check


class TrainingProgressBar(TQDMProgressBar):
    """One bar from the first step to the last, and a line for each validation.

    Args:
        refresh_rate: Steps between two updates of the bar; 0 hides it.
    """

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=check.integer("refresh_rate", refresh_rate, 0))

    def init_train_tqdm(self) -> Tqdm:
        """The bar; where the output is no terminal, it is drawn every 30 seconds."""
        return Tqdm(
            desc="training",
            total=int(self.trainer.estimated_stepping_batches),
            initial=self.trainer.global_step,
            unit="step",
            disable=self.is_disabled,
            dynamic_ncols=True,
            miniters=max(1, self.refresh_rate),
            mininterval=1.0 if sys.stderr.isatty() else 30.0,
        )

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

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The loss, which Lightning's hooks display, too."""
        metrics = trainer.callback_metrics
        return {"loss": f"{float(metrics['train/loss']):.3f}"} if "train/loss" in metrics else {}

    def on_exception(self, *args: Any, **kwargs: Any) -> None:
        """Close the bar, so that an error starts on a line of its own."""
        with suppress(TypeError):  # Lightning's, if training has not started
            self.train_progress_bar.close()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line with the scores of a validation."""
        super().on_validation_end(trainer, pl_module)
        scores = trainer.callback_metrics
        if trainer.sanity_checking or self.is_disabled or "val/one_shot_accuracy" not in scores:
            return
        self.print(
            f"step {trainer.global_step}: validation one-shot "
            f"{100 * float(scores['val/one_shot_accuracy']):.1f}%, verification "
            f"{100 * float(scores['val/verification_accuracy']):.1f}%"
        )
