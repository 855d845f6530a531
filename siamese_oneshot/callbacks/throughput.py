"""Throughput: images per second, time spent waiting for data, gradient norms."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


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

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do not count the time before training."""
        self._time = time.perf_counter()

    on_train_epoch_start = on_train_start  # nor the time between two epochs

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch has arrived."""
        self._waiting += self._lap()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """The step is done."""
        self._computing += self._lap()
        self._images += images_in(batch)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
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

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log the gradient norms."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        layers: dict[str, torch.nn.Module] = pl_module.network.named_layers  # type: ignore
        norms = {f"gradient_norm/{name}": _norm(layer) for name, layer in layers.items()}
        norms["gradient_norm/all"] = torch.stack([*norms.values()]).norm()
        pl_module.log_dict(norms)

    def _lap(self) -> float:
        before, self._time = self._time, time.perf_counter()
        return self._time - before


def images_in(batch: Any) -> int:
    """Number of images ``(..., 1, image_size, image_size)`` in a training batch."""
    images = [part for part in batch if part.ndim >= 4]
    return sum(part.numel() // (part.shape[-1] * part.shape[-2]) for part in images)


def _norm(layer: torch.nn.Module) -> torch.Tensor:
    return get_total_norm([p.grad for p in layer.parameters() if p.grad is not None])
