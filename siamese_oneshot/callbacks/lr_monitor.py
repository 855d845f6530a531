"""Learning rate and momentum of each layer as the training goes."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim import Optimizer


class LayerRates(Callback):
    """Logs ``lr/<layer>`` and ``momentum/<layer>`` of the step, whenever Lightning logs.

    Adam's momentum is its first beta.
    """

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Read them off the groups as they will be used."""
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pl_module.log_dict(rates_of(optimizer))


def rates_of(optimizer: Optimizer) -> dict[str, float]:
    """By ``lr/<layer>`` and ``momentum/<layer>``; a layer's groups differ in their decay alone."""
    found: dict[str, float] = {}
    for group in optimizer.param_groups:
        layer = group["name"].partition(" ")[0]
        found.setdefault(f"lr/{layer}", float(group["lr"]))
        momentum = group.get("momentum", group.get("betas", (None,))[0])
        if momentum is not None:
            found.setdefault(f"momentum/{layer}", float(momentum))
    return found
