"""Optimisers with settings a layer: the paper's SGD, Adam, and AdamW with warm-up and cosine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from siamese_oneshot import setting
from siamese_oneshot.model.layerwise import LayerSetting, by_layer


@dataclass
class Optimisation:
    """An optimiser, its schedule, and when that steps: every ``step`` or every ``epoch``."""

    optimizer: Optimizer
    scheduler: LRScheduler | None = None
    interval: str = "epoch"


class PaperSGD(Optimizer):
    """``Δw(T) = -η ∇w + μ Δw(T-1)`` with η and μ of each layer (paper, section 3.2).

    The learning rate scales the gradient when it enters the running step, not the whole step as in
    ``torch.optim.SGD``; the two differ as soon as η changes. The L2 term is in the objective.

    Args:
        groups: parameter groups with ``lr``, ``momentum`` and a ``name``.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            steps = []
            for weight in weights:
                state = self.state[weight]
                if "delta" not in state:
                    state["delta"] = torch.zeros_like(weight)
                steps.append(state["delta"])
            torch._foreach_mul_(steps, group["momentum"])
            torch._foreach_add_(steps, [weight.grad for weight in weights], alpha=-group["lr"])
            torch._foreach_add_(weights, steps)
        return loss


class PaperSchedule(LRScheduler):
    """Each epoch η falls to ``decay`` of itself and μ rises linearly from ``start`` (section 3.2).

    Args:
        optimizer: whose groups have ``momentum_target``.
        decay: of the learning rate; the paper's 0.99 is 1% an epoch.
        start: every layer's first momentum (paper: 0.5).
        epochs: the epoch, from 0, at which momentum arrives at its target and stays (the paper does
            not print it).
    """

    def __init__(self, optimizer: Optimizer, decay: float, start: float, epochs: int) -> None:
        self.decay, self.start, self.epochs = decay, start, epochs
        super().__init__(optimizer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a checkpoint's epoch, by this schedule's own settings."""
        own = {"decay": self.decay, "start": self.start, "epochs": self.epochs}
        super().load_state_dict({**state_dict, **own})

    def get_lr(self) -> list[float | torch.Tensor]:
        """Set the momenta of epoch ``last_epoch`` and give its learning rates."""
        share = 1.0 if self.epochs < 1 else min(self.last_epoch / self.epochs, 1.0)
        for group in self.optimizer.param_groups:
            group["momentum"] = self.start + share * (group["momentum_target"] - self.start)
        return [rate * self.decay**self.last_epoch for rate in self.base_lrs]


def paper_sgd(
    layers: dict[str, nn.Module],
    total_steps: int,
    lr: LayerSetting,
    momentum: LayerSetting,
    decay: float,
    momentum_start: float,
    momentum_epochs: int,
) -> Optimisation:
    """The paper's optimiser and schedule.

    Args:
        layers: the network's named layers.
        total_steps: of the whole training; not used here.
        lr: η of each layer (searched in 1e-4 … 1e-1).
        momentum: μ of each layer (searched in 0 … 1).
        decay, momentum_start, momentum_epochs: see ``PaperSchedule``.
    """
    rates = by_layer(lr, layers, "optim.lr")
    targets = by_layer(momentum, layers, "optim.momentum")
    for name, target in targets.items():
        setting.share(f"optim.momentum.{name}", target)
    setting.share("optim.decay", decay)
    setting.share("optim.momentum_start", momentum_start)
    setting.whole("optim.momentum_epochs", momentum_epochs, 0)
    optimizer = PaperSGD(
        {
            "params": list(layer.parameters()),
            "name": name,
            "lr": rates[name],
            "momentum": momentum_start,
            "momentum_target": targets[name],
        }
        for name, layer in layers.items()
    )
    return Optimisation(
        optimizer, PaperSchedule(optimizer, decay, momentum_start, momentum_epochs), "epoch"
    )


def adam(layers: dict[str, nn.Module], total_steps: int, lr: LayerSetting) -> Optimisation:
    """Adam at a constant rate for each layer (the replication: 6e-5 for all)."""
    rates = by_layer(lr, layers, "optim.lr")
    groups = [
        {"params": list(layer.parameters()), "name": name, "lr": rates[name]}
        for name, layer in layers.items()
    ]
    return Optimisation(torch.optim.Adam(groups, lr=0.0, fused=True))


def adamw(
    layers: dict[str, nn.Module],
    total_steps: int,
    lr: LayerSetting,
    weight_decay: float,
    warmup: float,
    floor: float,
    betas: tuple[float, float],
) -> Optimisation:
    """AdamW; the rate rises linearly for a share of the steps, then falls along a cosine.

    Args:
        layers: the network's named layers.
        total_steps: of the whole training.
        lr: the highest rate of each layer.
        weight_decay: of weights; biases, norms and the comparator's weights are left alone.
        warmup: share of the steps spent rising, 0 … 1.
        floor: share of the highest rate that the cosine ends at.
        betas: of AdamW.
    """
    rates = by_layer(lr, layers, "optim.lr")
    setting.number("optim.weight_decay", weight_decay, 0)
    setting.share("optim.warmup", warmup)
    setting.share("optim.floor", floor)
    setting.numbers("optim.betas", betas, 2, 0, below=1)
    groups = []
    for name, layer in layers.items():
        weights = list(layer.parameters())
        heavy = [weight for weight in weights if weight.ndim > 1 and name != "output"]
        kept = {id(weight) for weight in heavy}
        light = [weight for weight in weights if id(weight) not in kept]
        for label, part, decay in (
            (name, heavy, weight_decay),
            (f"{name} without decay", light, 0.0),
        ):
            if part:
                groups.append(
                    {"params": part, "name": label, "lr": rates[name], "weight_decay": decay}
                )
    rising = max(1, round(warmup * total_steps))

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        progress = min((step - rising) / max(1, total_steps - rising), 1.0)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(betas[0], betas[1]), fused=True)
    return Optimisation(optimizer, LambdaLR(optimizer, share), "step")
