"""Optimizers with settings per layer: the paper's SGD, Adam, and AdamW with warm-up and cosine.

Each function takes ``layers`` (the network's named layers), ``total_steps`` (the number of training
steps) and its settings, and returns an ``OptimizerSetup``. Any function of this form can take the
place of those below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from siamese_oneshot.models.siamese import LayerSetting, per_layer
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import build_option


@dataclass
class OptimizerSetup:
    """An optimizer, its schedule (None if constant), and when that steps: ``step`` or ``epoch``."""

    optimizer: Optimizer
    scheduler: LRScheduler | None = None
    interval: str = "epoch"


def build_optimizer(
    spec: str | Mapping[str, Any] = "adamw", **changes: Any
) -> Callable[[dict[str, nn.Module], int], OptimizerSetup]:
    """Choose an optimizer such as ``paper_sgd``, with the defaults of conf/optimizer.

    Arguments are those of `describe`; a description needs ``_partial_: true``. Returns a function
    of the network's named layers and the number of training steps.
    """
    return build_option("optimizer", spec, **changes)


class PaperSGD(Optimizer):
    """SGD with momentum as the paper writes it (Koch et al. 2015, section 3.2).

    ``Δw(T) = -η ∇w + μ Δw(T-1)``, with η and μ of each layer. Unlike in ``torch.optim.SGD``, the
    learning rate scales the gradient before it enters the running update; the two differ as soon
    as η changes. The L2 term is part of the loss.

    Args:
        groups: Parameter groups with ``lr`` and ``momentum``.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all weights that have a gradient; returns the value of ``closure``."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            updates = []
            for weight in weights:
                state = self.state[weight]
                if "delta" not in state:
                    state["delta"] = torch.zeros_like(weight)
                updates.append(state["delta"])
            torch._foreach_mul_(updates, group["momentum"])
            torch._foreach_add_(updates, [weight.grad for weight in weights], alpha=-group["lr"])
            torch._foreach_add_(weights, updates)
        return loss


class PaperSchedule(LRScheduler):
    """Per epoch, η decays geometrically and μ rises linearly to its target (section 3.2).

    Args:
        optimizer: Optimizer whose groups have ``momentum_target``.
        decay: Factor on the learning rate per epoch (paper: 0.99).
        start: Momentum of every layer in epoch 0 (paper: 0.5).
        epochs: Epoch, from 0, at which momentum reaches its target (not given in the paper).
    """

    def __init__(self, optimizer: Optimizer, decay: float, start: float, epochs: int) -> None:
        self.decay, self.start, self.epochs = decay, start, epochs
        super().__init__(optimizer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the checkpoint's epoch, with this schedule's own settings."""
        own = {"decay": self.decay, "start": self.start, "epochs": self.epochs}
        super().load_state_dict({**state_dict, **own})

    def get_lr(self) -> list[float | torch.Tensor]:
        """Set the momenta of epoch ``last_epoch`` and return its learning rates."""
        progress = 1.0 if self.epochs < 1 else min(self.last_epoch / self.epochs, 1.0)
        for group in self.optimizer.param_groups:
            group["momentum"] = self.start + progress * (group["momentum_target"] - self.start)
        return [lr * self.decay**self.last_epoch for lr in self.base_lrs]


def paper_sgd(
    layers: dict[str, nn.Module],
    total_steps: int,
    lr: LayerSetting,
    momentum: LayerSetting,
    decay: float,
    momentum_start: float,
    momentum_epochs: int,
) -> OptimizerSetup:
    """The paper's optimizer and schedule.

    Args:
        lr: η of each layer (the paper searches 1e-4 … 1e-1).
        momentum: μ of each layer (the paper searches 0 … 1).
        decay, momentum_start, momentum_epochs: ``decay``, ``start``, ``epochs`` of the schedule.
    """
    lrs = per_layer("lr", lr, layers)
    targets = per_layer("momentum", momentum, layers)
    for name, target in targets.items():
        check.fraction(f"momentum.{name}", target)
    check.fraction("decay", decay)
    check.fraction("momentum_start", momentum_start)
    check.integer("momentum_epochs", momentum_epochs, 0)
    optimizer = PaperSGD(
        {
            "params": list(layer.parameters()),
            "name": name,
            "lr": lrs[name],
            "momentum": momentum_start,
            "momentum_target": targets[name],
        }
        for name, layer in layers.items()
    )
    schedule = PaperSchedule(optimizer, decay, momentum_start, momentum_epochs)
    return OptimizerSetup(optimizer, schedule, "epoch")


def adam(layers: dict[str, nn.Module], total_steps: int, lr: LayerSetting) -> OptimizerSetup:
    """Adam with a constant learning rate for each layer (the 2019 replication: 6e-5)."""
    lrs = per_layer("lr", lr, layers)
    groups = [
        {"params": list(layer.parameters()), "name": name, "lr": lrs[name]}
        for name, layer in layers.items()
    ]
    return OptimizerSetup(torch.optim.Adam(groups, lr=0.0, fused=True))


def adamw(
    layers: dict[str, nn.Module],
    total_steps: int,
    lr: LayerSetting,
    weight_decay: float,
    warmup: float,
    min_lr_ratio: float,
    betas: tuple[float, float],
) -> OptimizerSetup:
    """AdamW with linear warm-up and a cosine schedule.

    Args:
        lr: Peak learning rate of each layer.
        weight_decay: Decay of weights; not of biases, norms and the similarity's weights.
        warmup: Fraction of the steps that warm up, in [0, 1].
        min_lr_ratio: Final learning rate as a fraction of the peak, in [0, 1].
        betas: Coefficients of AdamW.
    """
    lrs = per_layer("lr", lr, layers)
    check.number("weight_decay", weight_decay, 0)
    check.fraction("warmup", warmup)
    check.fraction("min_lr_ratio", min_lr_ratio)
    check.numbers("betas", betas, 2, 0, below=1)
    groups = []
    for name, layer in layers.items():
        parameters = list(layer.parameters())
        decayed = [p for p in parameters if p.ndim > 1 and name != "output"]
        ids = {id(p) for p in decayed}
        plain = [p for p in parameters if id(p) not in ids]
        for label, part, decay in (
            (name, decayed, weight_decay),
            (f"{name} without decay", plain, 0.0),
        ):
            if part:
                group = {"params": part, "name": label, "lr": lrs[name], "weight_decay": decay}
                groups.append(group)
    warmup_steps = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min((step - warmup_steps) / max(1, total_steps - warmup_steps), 1.0)
        return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(betas[0], betas[1]), fused=True)
    return OptimizerSetup(optimizer, LambdaLR(optimizer, factor), "step")
