"""Rates of a training: learning rate and momentum, images per second, gradient norms."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from siamese_oneshot.utils.distributed import is_logged


class Throughput(Callback):
    """Logs every ``log_every_n_steps`` steps:

    - ``speed/images_per_second``: training images of all processes, without validation;
    - ``speed/data_wait``: share of the time spent waiting for batches, 0 … 1;
    - ``gradient_norm/<layer>`` and ``gradient_norm/all``: of this step, before clipping; a layer
      without gradients has none.
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
            f"gradient_norm/{name}": get_total_norm(gradients)
            for name, layer in layers.items()
            if (gradients := [p.grad for p in layer.parameters() if p.grad is not None])
        }
        norms["gradient_norm/all"] = get_total_norm([*norms.values()])
        pl_module.log_dict(norms)

    def _lap(self) -> float:
        before, self._time = self._time, time.perf_counter()
        return self._time - before


def images_in(batch: Any) -> int:
    """Number of images ``(..., 1, image_size, image_size)`` in a training batch."""
    images = [part for part in batch if part.ndim >= 4]
    return sum(part.numel() // (part.shape[-1] * part.shape[-2]) for part in images)


class LayerRates(Callback):
    """Logs ``lr`` and ``momentum``, or ``lr/<layer>`` and ``momentum/<layer>`` if layers differ.

    Lightning's LearningRateMonitor logs each parameter group, which gives twelve equal curves for
    most trainings. Adam's momentum is its first beta.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log the rates of the step that is about to be made, every ``log_every_n_steps`` steps."""
        if is_logged(trainer, trainer.global_step + 1):
            pl_module.log_dict(layer_rates(optimizer))


def layer_rates(optimizer: Optimizer) -> dict[str, float]:
    """Rates by name; groups of one layer with and without weight decay count once.

    A group without a name counts as a layer by its number.
    """
    by_layer: dict[str, dict[str, float]] = {"lr": {}, "momentum": {}}
    for number, group in enumerate(optimizer.param_groups):
        layer = group.get("name", f"group{number}").partition(" ")[0]
        by_layer["lr"].setdefault(layer, float(group["lr"]))
        momentum = group.get("momentum", group.get("betas", (None,))[0])
        if momentum is not None:
            by_layer["momentum"].setdefault(layer, float(momentum))
    rates = {}
    for name, values in by_layer.items():
        if len(set(values.values())) == 1:
            rates[name] = next(iter(values.values()))
        else:
            rates |= {f"{name}/{layer}": value for layer, value in values.items()}
    return rates
