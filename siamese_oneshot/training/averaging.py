"""An exponential average of the weights that forgets its first steps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from siamese_oneshot.setting import share


class RampedAverage(WeightAveraging):
    """Lightning's weight averaging with the decay rising to ``decay`` as ``(1 + n) / (10 + n)``.

    Without the ramp the random start would weigh ``decay ** n`` after n steps, which for short
    trainings is most of the average. The average is what is validated, kept and tested.

    Args:
        decay: the share of the old average that stays at each step, in the long run.
    """

    def __init__(self, decay: float) -> None:
        share("callbacks.averaging.decay", decay)

        def blend(averages: list[Tensor], currents: list[Tensor], count: Tensor | int) -> None:
            n = int(count)
            if averages[0].is_floating_point():  # each call brings tensors of one type
                keep = min(decay, (1 + n) / (10 + n))
                torch._foreach_lerp_(averages, currents, 1 - keep)
            else:  # counters of batch norm
                torch._foreach_copy_(averages, currents)

        options: dict[str, Any] = {"multi_avg_fn": blend}
        super().__init__(use_buffers=True, **options)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in place: the module's own hook, which comes next, scores the exam."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give training its own weights back, before checkpoints are written."""
        super().on_validation_epoch_end(trainer, pl_module)
