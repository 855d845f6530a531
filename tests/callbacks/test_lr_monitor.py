"""Rates and momenta as a callback logs them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from siamese_oneshot.callbacks.lr_monitor import LayerRates, rates_of
from siamese_oneshot.models.optimizers import adamw, paper_sgd

LAYERS: dict[str, nn.Module] = {"conv1": nn.Conv2d(1, 1, 3), "output": nn.Linear(2, 1)}


def test_the_papers_layers_each_have_their_own() -> None:
    made = paper_sgd(
        LAYERS, 10, {"conv1": 0.1, "output": 0.2}, {"default": 0.9}, 0.99, 0.5, 2
    ).optimizer
    assert rates_of(made) == {
        "lr/conv1": 0.1, "momentum/conv1": 0.5, "lr/output": 0.2, "momentum/output": 0.5,
    }  # fmt: skip


def test_groups_of_one_layer_are_one_entry() -> None:
    made = adamw(LAYERS, 10, 1e-3, 0.05, 0.0, 0.01, (0.8, 0.99)).optimizer
    assert len(made.param_groups) == 3
    assert rates_of(made) == {
        "lr/conv1": 1e-3, "momentum/conv1": 0.8, "lr/output": 1e-3, "momentum/output": 0.8,
    }  # fmt: skip


def test_it_logs_when_lightning_does() -> None:
    seen: list[dict[str, Any]] = []
    module = SimpleNamespace(log_dict=seen.append)
    optimizer = torch.optim.SGD([{"params": LAYERS["conv1"].parameters(), "name": "conv1"}], 0.3)
    for step in range(4):
        trainer = SimpleNamespace(global_step=step, log_every_n_steps=2)
        LayerRates().on_before_optimizer_step(trainer, module, optimizer)  # type: ignore[arg-type]
    assert seen == [{"lr/conv1": 0.3, "momentum/conv1": 0.0}] * 2
