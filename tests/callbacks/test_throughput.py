"""Speed and gradients: what is logged against what was done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.callbacks.throughput import Throughput, images_in
from siamese_oneshot.training import watch


class Logged:
    """As much of a module as is asked for."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.network = SimpleNamespace(named_layers=layers)
        self.figures: dict[str, Any] = {}

    def log_dict(self, figures: dict[str, Any]) -> None:
        self.figures |= figures


def test_images_of_pairs_and_of_alphabets_are_counted() -> None:
    pair = torch.zeros(7, 1, 5, 5)
    assert images_in((pair, pair, torch.zeros(7))) == 14
    assert images_in((torch.zeros(2, 3, 4, 1, 5, 5),)) == 24


def test_speed_and_waiting_by_a_made_up_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of 3 s, each waited for by 1 s; 100 s between the epochs do not count."""
    now = [0.0]
    monkeypatch.setattr(watch.time, "perf_counter", lambda: now[0])
    callback, module = Throughput(), Logged({})
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=2, world_size=1)
    batch = (torch.zeros(6, 1, 5, 5),)
    for step in (1, 2):
        now[0] += 100
        callback.on_train_epoch_start(trainer, module)  # type: ignore[arg-type]
        now[0] += 1
        callback.on_train_batch_start(trainer, module, batch, 0)  # type: ignore[arg-type]
        now[0] += 3
        trainer.global_step = step
        callback.on_train_batch_end(trainer, module, None, batch, 0)  # type: ignore[arg-type]
        assert bool(module.figures) == (step == 2)
    assert module.figures == pytest.approx(
        {"speed/pictures_per_second": 12 / 8, "speed/data_wait": 2 / 8}
    )


def test_gradient_norms_a_layer_and_in_all() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(1, 1, bias=False)
    one.weight.grad, one.bias.grad = torch.tensor([[1.0, 2.0]]), torch.tensor([2.0])
    other.weight.grad = torch.tensor([[4.0]])
    callback, module = Throughput(), Logged({"conv1": one, "output": other})
    trainer = SimpleNamespace(global_step=0, log_every_n_steps=2)
    callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert not module.figures, "the first step is not logged"
    trainer.global_step = 1
    callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert {name: float(norm) for name, norm in module.figures.items()} == pytest.approx(
        {"gradient_norm/conv1": 3.0, "gradient_norm/output": 4.0, "gradient_norm/all": 5.0}
    )
