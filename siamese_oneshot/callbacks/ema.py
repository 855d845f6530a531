"""Exponential moving average (EMA) of the weights."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from siamese_oneshot.utils import check


class EMA(WeightAveraging):
    """Lightning's weight averaging; the decay after n steps is ``min(decay, (1 + n) / (10 + n))``.

    With a constant decay the random initial weights would keep a share of ``decay ** n``, which is
    most of the average in a short training. The average is validated, kept and tested.

    Args:
        decay: Share of the old average that each step keeps, 0 … 1.
    """

    def __init__(self, decay: float) -> None:
        self.decay = check.fraction("decay", decay)
        self._count: int | None = None  # steps in the average; None until it is read
        super().__init__(use_buffers=True)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Create the average. A checkpoint that is loaded later brings its own count of steps."""
        trainer.precision_plugin.convert_module(pl_module)  # else only after it has been copied
        super().setup(trainer, pl_module, stage)
        self._count = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Update the average. PyTorch's update reads the count from the GPU, which waits for it."""
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        if self._count is None:
            self._count = int(self._average_model.n_averaged)
        n = self._count
        averaged: tuple[list[Tensor], list[Tensor]] = [], []
        copied: tuple[list[Tensor], list[Tensor]] = [], []
        pairs = zip(_tensors(self._average_model.module), _tensors(pl_module), strict=True)
        for average, current in pairs:  # the first step, and counters of batch norm, are copied
            lists = averaged if n > 0 and average.is_floating_point() else copied
            lists[0].append(average)
            lists[1].append(current)
        if averaged[0]:
            torch._foreach_lerp_(*averaged, 1 - min(self.decay, (1 + n) / (10 + n)))
        if copied[0]:
            torch._foreach_copy_(*copied)
        self._count = n + 1
        self._average_model.n_averaged.fill_(self._count)
        self._latest_update_step = trainer.global_step

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the average in place for the module's hook, which compares embeddings next."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the training weights back, before checkpoints are written."""
        super().on_validation_epoch_end(trainer, pl_module)


def _tensors(module: torch.nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]
