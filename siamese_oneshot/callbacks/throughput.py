"""Speed: images per second, time spent waiting for data, gradient norms, length of the training."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm

from siamese_oneshot.utils import check
from siamese_oneshot.utils.distributed import is_logged
from siamese_oneshot.utils.text import duration

log = logging.getLogger(__name__)


class Throughput(Callback):
    """Logs every ``log_every_n_steps`` steps:

    - ``speed/images_per_second``: training images of all processes, without validation;
    - ``speed/data_wait``: share of the time spent waiting for batches, 0 … 1;
    - ``gradient_norm/<layer>`` and ``gradient_norm/all``: of this step, before clipping.
    """

    def __init__(self) -> None:
        self._time = time.perf_counter()
        self._waiting = self._computing = 0.0  # seconds since the last log
        self._images = 0

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        """Do not count the time between two epochs."""
        self._time = time.perf_counter()

    on_validation_end = on_train_epoch_start  # nor a validation within an epoch

    def on_train_batch_start(self, *_: Any) -> None:
        """The batch has arrived."""
        self._waiting += self._lap()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is done."""
        self._computing += self._lap()
        self._images += images_in(batch)
        if not is_logged(trainer, trainer.global_step):
            return
        seconds = max(self._waiting + self._computing, 1e-9)
        pl_module.log_dict(
            {
                "speed/images_per_second": self._images * trainer.world_size / seconds,
                "speed/data_wait": self._waiting / seconds,
            }
        )
        self._waiting = self._computing = 0.0
        self._images = 0

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Log the gradient norms."""
        if not is_logged(trainer, trainer.global_step + 1):
            return
        layers: dict[str, torch.nn.Module] = pl_module.network.named_layers
        norms = {
            f"gradient_norm/{name}": get_total_norm(
                [p.grad for p in layer.parameters() if p.grad is not None]
            )
            for name, layer in layers.items()
        }
        norms["gradient_norm/all"] = torch.stack([*norms.values()]).norm()
        pl_module.log_dict(norms)

    def _lap(self) -> float:
        before, self._time = self._time, time.perf_counter()
        return self._time - before


class TimeEstimate(Callback):
    """Logs the length of a training: its steps at the start, and the time that they will take.

    The time is estimated from the first steps, apart from the very first one, without validations.

    Args:
        n_steps: Steps to measure.
        min_hours: An estimate below this is not logged.
        shorter: Overrides of a shorter training, named beside the estimate.
    """

    def __init__(
        self, n_steps: int = 20, min_hours: float = 1.0, shorter: Sequence[str] = ()
    ) -> None:
        self.n_steps = check.integer("n_steps", n_steps, 1)
        self.min_hours = check.number("min_hours", min_hours, 0)
        self.shorter = check.names("shorter", shorter)
        self._first_step, self._measured = 0, False
        self._start: float | None = None  # the end of the first step
        self._paused = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the number of steps and epochs."""
        self._first_step, self._measured, self._start = trainer.global_step, False, None
        total = trainer.estimated_stepping_batches
        if not trainer.is_global_zero or math.isinf(total):  # it ends by trainer.max_time
            return
        batches = trainer.num_training_batches
        per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        done = f", {trainer.global_step:,} of them done" if trainer.global_step else ""
        epochs = f"{total / per_epoch:.4g} epochs" if total >= per_epoch else "less than an epoch"
        log.info("at most %s steps%s: %s of %s", f"{total:,}", done, epochs, f"{per_epoch:,}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock again."""
        if self._start is not None:
            self._start += time.perf_counter() - self._paused

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Log the estimate, once, after ``1 + n_steps`` steps."""
        steps = trainer.global_step - self._first_step
        if self._measured or steps < 1 or (self._start is not None and steps < self.n_steps):
            return
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._start is None:
            self._start, self._first_step = now, trainer.global_step
            return
        self._measured = True
        rate = steps / max(now - self._start, 1e-9)
        left = trainer.estimated_stepping_batches - trainer.global_step
        if not trainer.is_global_zero or math.isinf(left) or left / rate < 3600 * self.min_hours:
            return
        shorter = f"; a shorter training: add {' '.join(self.shorter)}" if self.shorter else ""
        log.info(
            "%s steps at %.3g steps/s: about %s and the validations%s",
            f"{left:,}", rate, duration(left / rate), shorter,
        )  # fmt: skip


def images_in(batch: Any) -> int:
    """Number of images ``(..., 1, image_size, image_size)`` in a training batch."""
    images = [part for part in batch if part.ndim >= 4]
    return sum(part.numel() // (part.shape[-1] * part.shape[-2]) for part in images)
