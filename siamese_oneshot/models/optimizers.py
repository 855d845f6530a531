"""Optimizers with settings a layer: the paper's SGD, Adam, and AdamW with warm-up and cosine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from siamese_oneshot.models.per_layer import LayerSetting, by_layer
from siamese_oneshot.utils import check


@dataclass
class OptimizerSetup:
    """An optimizer, its schedule, and when that steps: every ``step`` or every ``epoch``."""

    optimizer: Optimizer
    scheduler: LRScheduler | None = None
    interval: str = "epoch"


class PaperSGD(Optimizer):
    """``Δw(T) = -η ∇w + μ Δw(T-1)`` with η and μ of each layer (paper, section 3.2).

    The learning rate scales the gradient when it enters the running step, not the whole step as in
    ``torch.optim.SGD``; the two differ as soon as η changes. The L2 term is in the loss.

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
) -> OptimizerSetup:
    """The paper's optimizer and schedule.

    Args:
        layers: the network's named layers.
        total_steps: of the whole training; not used here.
        lr: η of each layer (searched in 1e-4 … 1e-1).
        momentum: μ of each layer (searched in 0 … 1).
        decay, momentum_start, momentum_epochs: see ``PaperSchedule``.
    """
    rates = by_layer(lr, layers, "optimizer.lr")
    targets = by_layer(momentum, layers, "optimizer.momentum")
    for name, target in targets.items():
        check.fraction(name, target)
    check.fraction("decay", decay)
    check.fraction("momentum_start", momentum_start)
    check.integer("momentum_epochs", momentum_epochs, 0)
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
    return OptimizerSetup(
        optimizer, PaperSchedule(optimizer, decay, momentum_start, momentum_epochs), "epoch"
    )


def adam(layers: dict[str, nn.Module], total_steps: int, lr: LayerSetting) -> OptimizerSetup:
    """Adam at a constant rate for each layer (the replication: 6e-5 for all)."""
    rates = by_layer(lr, layers, "optimizer.lr")
    groups = [
        {"params": list(layer.parameters()), "name": name, "lr": rates[name]}
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
    """AdamW; the rate rises linearly for a share of the steps, then falls along a cosine.

    Args:
        layers: the network's named layers.
        total_steps: of the whole training.
        lr: the highest rate of each layer.
        weight_decay: of weights; biases, norms and the similarity's weights are left alone.
        warmup: share of the steps spent rising, 0 … 1.
        min_lr_ratio: share of the highest rate that the cosine ends at.
        betas: of AdamW.
    """
    rates = by_layer(lr, layers, "optimizer.lr")
    check.number("weight_decay", weight_decay, 0)
    check.fraction("warmup", warmup)
    check.fraction("min_lr_ratio", min_lr_ratio)
    check.numbers("betas", betas, 2, 0, below=1)
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
        return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(betas[0], betas[1]), fused=True)
    return OptimizerSetup(optimizer, LambdaLR(optimizer, share), "step")
