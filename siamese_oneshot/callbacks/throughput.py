"""What a training does beside its loss: images a second, waiting for data, gradients."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from siamese_oneshot.models.siamese import SiameseNetwork


class Throughput(Callback):
    """Logs, whenever Lightning logs, over the steps since the last time:

    ``speed/images_per_second`` of all processes, validation left out; ``speed/data_wait``, the
    share of that time spent waiting for a batch; ``gradient_norm/<layer>`` and
    ``gradient_norm/all`` of the step, before any clipping.
    """

    def __init__(self) -> None:
        self._mark = time.perf_counter()
        self._waited = self._worked = 0.0
        self._images = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave out what lay between two epochs."""
        self._mark = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave out what came before a run that is resumed within an epoch."""
        self._mark = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is here."""
        self._waited += self._lap()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """The step is done."""
        self._worked += self._lap()
        self._images += images_in(batch)
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        seconds = max(self._waited + self._worked, 1e-9)
        pl_module.log_dict(
            {
                "speed/pictures_per_second": self._images * trainer.world_size / seconds,
                "speed/data_wait": self._waited / seconds,
            }
        )
        self._waited = self._worked = 0.0
        self._images = 0

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """The gradients are whole."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        network: SiameseNetwork = pl_module.network  # type: ignore[assignment]
        norms = {name: _norm(layer) for name, layer in network.named_layers.items()}
        norms["all"] = torch.stack([*norms.values()]).norm()
        pl_module.log_dict({f"gradient_norm/{name}": norm for name, norm in norms.items()})

    def _lap(self) -> float:
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before


def images_in(batch: Any) -> int:
    """How many images ``(…, 1, side, side)`` a training batch holds."""
    images = [part for part in batch if part.ndim >= 4]
    return sum(part.numel() // (part.shape[-1] * part.shape[-2]) for part in images)


def _norm(layer: torch.nn.Module) -> torch.Tensor:
    return get_total_norm([weight.grad for weight in layer.parameters() if weight.grad is not None])
