"""Learning rate and momentum during training."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer

from siamese_oneshot.utils.distributed import is_logged


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
    """Rates by name; groups of one layer with and without weight decay count once."""
    by_layer: dict[str, dict[str, float]] = {"lr": {}, "momentum": {}}
    for group in optimizer.param_groups:
        layer = group["name"].partition(" ")[0]
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
