"""Learning rates and momenta as they are logged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from siamese_oneshot.callbacks.lr_monitor import LayerRates, layer_rates
from siamese_oneshot.models.optimizers import adamw, paper_sgd

LAYERS: dict[str, nn.Module] = {"conv1": nn.Conv2d(1, 1, 3), "output": nn.Linear(2, 1)}


def test_layers_with_different_rates_are_logged_each() -> None:
    lr, momentum = {"conv1": 0.1, "output": 0.2}, {"default": 0.9}
    optimizer = paper_sgd(LAYERS, 10, lr, momentum, 0.99, 0.5, 2).optimizer
    assert layer_rates(optimizer) == {"lr/conv1": 0.1, "lr/output": 0.2, "momentum": 0.5}


def test_equal_rates_are_logged_once() -> None:
    optimizer = adamw(LAYERS, 10, 1e-3, 0.05, 0.0, 0.01, (0.8, 0.99)).optimizer
    assert len(optimizer.param_groups) == 3, "with and without weight decay"
    assert layer_rates(optimizer) == {"lr": 1e-3, "momentum": 0.8}


def test_it_logs_every_log_every_n_steps() -> None:
    logged: list[dict[str, Any]] = []
    module = SimpleNamespace(log_dict=logged.append)
    optimizer = torch.optim.SGD([{"params": LAYERS["conv1"].parameters(), "name": "conv1"}], 0.3)
    for step in range(4):
        trainer = SimpleNamespace(global_step=step, log_every_n_steps=2, max_steps=-1)
        LayerRates().on_before_optimizer_step(trainer, module, optimizer)  # type: ignore[arg-type]
    assert logged == [{"lr": 0.3, "momentum": 0.0}] * 2
