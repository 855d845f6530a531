"""Speed and gradient norms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.callbacks import throughput
from siamese_oneshot.callbacks.throughput import LayerRates, Throughput, images_in, layer_rates
from siamese_oneshot.models.optimizers import adamw, paper_sgd

LAYERS: dict[str, nn.Module] = {"conv1": nn.Conv2d(1, 1, 3), "output": nn.Linear(2, 1)}


class Module:
    """What the callback uses of a module."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.network = SimpleNamespace(named_layers=layers)
        self.logged: dict[str, Any] = {}

    def log_dict(self, metrics: dict[str, Any]) -> None:
        self.logged |= metrics


def test_images_of_pairs_and_of_episodes_are_counted() -> None:
    images = torch.zeros(7, 1, 5, 5)
    assert images_in((images, images, torch.zeros(7))) == 14
    assert images_in((torch.zeros(2, 3, 4, 1, 5, 5),)) == 24


def test_speed_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of 3 s after 1 s of waiting each; 100 s between the epochs do not count."""
    now = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])
    callback, module = Throughput(), Module({})
    trainer: Any = SimpleNamespace(global_step=0, log_every_n_steps=2, max_steps=-1, world_size=3)
    batch, pl_module = (torch.zeros(6, 1, 5, 5),), module
    for step in (1, 2):
        now[0] += 100
        callback.on_train_epoch_start(trainer, pl_module)  # type: ignore[arg-type]
        now[0] += 1
        callback.on_train_batch_start(trainer, pl_module, batch, 0)  # type: ignore[arg-type]
        now[0] += 3
        trainer.global_step = step
        callback.on_train_batch_end(trainer, pl_module, None, batch, 0)  # type: ignore[arg-type]
        assert bool(module.logged) == (step == 2)
    assert module.logged == pytest.approx(
        {"speed/images_per_second": 3 * 12 / 8, "speed/data_wait": 2 / 8}
    )


def test_gradient_norms_of_layers_and_of_all() -> None:
    conv, output = nn.Linear(2, 1), nn.Linear(1, 1, bias=False)
    conv.weight.grad, conv.bias.grad = torch.tensor([[1.0, 2.0]]), torch.tensor([2.0])
    output.weight.grad = torch.tensor([[4.0]])
    callback, module = Throughput(), Module({"conv1": conv, "output": output})
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=2, max_steps=-1)
    callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert not module.logged, "the first step is not logged"
    trainer.global_step = 1
    callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert {name: float(norm) for name, norm in module.logged.items()} == pytest.approx(
        {"gradient_norm/conv1": 3.0, "gradient_norm/output": 4.0, "gradient_norm/all": 5.0}
    )


def test_a_layer_without_gradients_has_no_norm() -> None:
    """PyTorch's norm of no tensors is on the CPU, where a GPU's cannot be added to it."""
    conv, frozen = nn.Linear(1, 1, bias=False), nn.Linear(1, 1).requires_grad_(False)
    conv.weight.grad = torch.tensor([[3.0]])
    module = Module({"conv1": conv, "frozen": frozen, "output": nn.Identity()})
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=1, max_steps=-1)
    Throughput().on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert module.logged == {"gradient_norm/conv1": 3.0, "gradient_norm/all": 3.0}


def test_groups_without_names_are_told_apart_by_number() -> None:
    conv, output = (list(layer.parameters()) for layer in LAYERS.values())
    assert layer_rates(torch.optim.SGD([*conv, *output], 0.1)) == {"lr": 0.1, "momentum": 0.0}
    groups = [{"params": conv, "lr": 0.1}, {"params": output, "lr": 0.2}]
    rates = {"lr/group0": 0.1, "lr/group1": 0.2, "momentum": 0.0}
    assert layer_rates(torch.optim.SGD(groups)) == rates


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
