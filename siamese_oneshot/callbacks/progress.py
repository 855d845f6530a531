"""A progress bar of the whole training: steps, time left, loss, and the last validation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm

from siamese_oneshot.utils import check


class TrainingProgress(ProgressBar):
    """One bar from the first step to the last, with the time left; a line for each validation.

    Args:
        refresh: seconds between two images of the bar.
    """

    def __init__(self, refresh: float = 1.0) -> None:
        super().__init__()
        self.refresh, self.enabled = check.number("refresh", refresh, 0), True
        self.bar: tqdm[Any] | None = None

    def disable(self) -> None:
        """Show nothing (Lightning calls this on all processes but the first)."""
        self.enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step that training goes on from."""
        self.bar = tqdm(
            total=int(trainer.estimated_stepping_batches),
            initial=trainer.global_step,
            desc="training",
            unit="step",
            disable=not self.enabled,
            mininterval=self.refresh,
            dynamic_ncols=True,
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Go on by a step."""
        if self.bar is None:
            return
        self.bar.update(trainer.global_step - self.bar.n)
        # Only where the loss is new: reading it waits for a GPU.
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % every == 0 and "train/loss" in trainer.callback_metrics:
            loss = float(trainer.callback_metrics["train/loss"])
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print a line that stays."""
        scores = trainer.callback_metrics
        if self.bar is None or trainer.sanity_checking or "val/one_shot_accuracy" not in scores:
            return
        if self.enabled:
            self.bar.write(
                f"step {trainer.global_step}: validation one-shot "
                f"{100 * float(scores['val/one_shot_accuracy']):.1f}%, verification "
                f"{100 * float(scores['val/verification_accuracy']):.1f}%"
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar if it is open."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
