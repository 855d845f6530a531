"""Learning rate and momentum during training."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer


class LayerRates(Callback):
    """Logs ``lr`` and ``momentum``; ``lr/<layer>`` and ``momentum/<layer>`` where layers differ.

    Lightning's LearningRateMonitor logs each parameter group, which gives twelve equal curves for
    most trainings. Adam's momentum is its first beta.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Read the rates of the step about to be made, when Lightning logs."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pl_module.log_dict(rates_of(optimizer))


def rates_of(optimizer: Optimizer) -> dict[str, float]:
    """Rates by name; a layer's groups with and without weight decay count as one."""
    rates: dict[str, dict[str, float]] = {"lr": {}, "momentum": {}}
    for group in optimizer.param_groups:
        layer = group["name"].partition(" ")[0]
        rates["lr"].setdefault(layer, float(group["lr"]))
        momentum = group.get("momentum", group.get("betas", (None,))[0])
        if momentum is not None:
            rates["momentum"].setdefault(layer, float(momentum))
    found = {}
    for name, values in rates.items():
        if len(set(values.values())) == 1:
            found[name] = next(iter(values.values()))
        else:
            found |= {f"{name}/{layer}": value for layer, value in values.items()}
    return found
