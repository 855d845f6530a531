"""An exponential average of the weights that forgets its first steps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from siamese_oneshot.utils import check


class EMA(WeightAveraging):
    """Lightning's weight averaging with the decay rising to ``decay`` as ``(1 + n) / (10 + n)``.

    Without the ramp the random start would weigh ``decay ** n`` after n steps, which for short
    trainings is most of the average. The average is what is validated, kept and tested.

    Args:
        decay: the share of the old average that stays at each step, in the long run.
    """

    def __init__(self, decay: float) -> None:
        self.decay = check.fraction("decay", decay)
        self._count: int | None = None
        super().__init__(use_buffers=True)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Make the average; how many steps are in it is known when a checkpoint has been loaded."""
        super().setup(trainer, pl_module, stage)
        self._count = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take a step's weights in, without asking a GPU how many there were, as PyTorch's does."""
        if trainer.global_step <= self._latest_update_step:
            return
        assert self._average_model is not None
        if self._count is None:
            self._count = int(self._average_model.n_averaged)
        n = self._count
        parts: dict[bool, tuple[list[Tensor], list[Tensor]]] = {True: ([], []), False: ([], [])}
        pairs = zip(_tensors(self._average_model.module), _tensors(pl_module), strict=True)
        for average, current in pairs:  # the first step, and counters of batch norm, are copied
            averages, currents = parts[n > 0 and average.is_floating_point()]
            averages.append(average)
            currents.append(current)
        if parts[True][0]:
            keep = min(self.decay, (1 + n) / (10 + n))
            torch._foreach_lerp_(*parts[True], 1 - keep)
        if parts[False][0]:
            torch._foreach_copy_(*parts[False])
        self._count = n + 1
        self._average_model.n_averaged.fill_(self._count)
        self._latest_update_step = trainer.global_step

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the average in place for the module's hook, which compares the embeddings next."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give training its own weights back, before checkpoints are written."""
        super().on_validation_epoch_end(trainer, pl_module)


def _tensors(module: torch.nn.Module) -> list[Tensor]:
    return [one.detach() for one in (*module.parameters(), *module.buffers())]
