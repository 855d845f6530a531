"""What checkpoints hold so that a resumed run is exact; the kills are in tests/training."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from stoppers import Shake
from tiny_siamese import STEPS, Data, Losses, configured, module, trainer
from torch import Tensor

from siamese_oneshot.callbacks.ema import EMA
from siamese_oneshot.callbacks.exact_resume import (
    ExactResume,
    rng_state,
    seed_all,
    set_rng_state,
    set_settings,
    settings_of,
)
from siamese_oneshot.models.optimizers import OptimizerSetup, adamw, paper_sgd
from siamese_oneshot.module import CHECKPOINT_VERSION

SGD = partial(paper_sgd, lr=0.01, momentum=0.9, decay=0.99, momentum_start=0.5, momentum_epochs=2)
ADAMW = partial(
    adamw, lr=1e-2, weight_decay=0.1, warmup=0.1, min_lr_ratio=0.1, betas=(0.9, 0.99)
)  # fmt: skip

CHOSEN = ("threshold", "reject_threshold", "temperature")  # on validation


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or type(value) in (int, float, str, bool, Tensor, torch.Size)


@pytest.mark.parametrize("make_optimizer", [SGD, ADAMW], ids=["paper_sgd", "adamw"])
def test_checkpoints_hold_plain_values(
    data: Data, tmp_path: Path, make_optimizer: Callable[..., OptimizerSetup]
) -> None:
    best, stopping, last = configured(tmp_path)
    fitted = module(make_optimizer=make_optimizer, metadata={"seed": 0})
    images = data()
    trainer([ExactResume(), best, stopping, last, EMA(0.9)]).fit(fitted, images)
    for path in (best.best_model_path, tmp_path / "last.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        assert is_plain(checkpoint)
        header = checkpoint["siamese_oneshot"]
        assert all(type(header[key]) is float for key in CHOSEN)
        assert header == {
            "version": CHECKPOINT_VERSION,
            "network": {"encoder": {"filters": [8, 8], "activation": "sigmoid"}, "seed": 0},
            "metadata": {"seed": 0, **images.training_metadata},
            **{key: header[key] for key in CHOSEN},
        }
        fitted.load_state_dict(checkpoint["state_dict"])


class Stop(pl.Callback):
    """Saves a checkpoint before a step, as `SignalHandler` does, and ends the training."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *args: Any) -> Any:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True
            raise KeyboardInterrupt
        return None


@pytest.mark.parametrize(
    ("step", "make_optimizer", "accumulate"),
    [(STEPS - 1, SGD, 1), (STEPS, ADAMW, 1), (STEPS + 1, SGD, 1), (STEPS + 1, ADAMW, 1),
     (1, ADAMW, 2), (2, SGD, 2)],
)  # fmt: skip
def test_a_run_resumed_at_any_step_has_the_same_losses(
    data: Data, tmp_path: Path, step: int, make_optimizer: Any, accumulate: int
) -> None:
    """With EMA and random numbers of all generators, within an epoch and at its end."""
    options: dict[str, Any] = {"max_epochs": 3, "accumulate_grad_batches": accumulate}

    def fit(callbacks: list[pl.Callback], checkpoint: Path | None = None) -> tuple[Any, Any]:
        seed_all(0)
        fitted, losses = module(make_optimizer=make_optimizer), Losses()
        run = trainer([*callbacks, ExactResume(), Shake(), EMA(0.9), losses], **options)
        try:
            run.fit(fitted, data(), ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # Lightning's way to end after a KeyboardInterrupt
            assert callbacks
        return losses.values, fitted.state_dict()

    path = tmp_path / "stopped.ckpt"
    expected, weights = fit([])
    first, _ = fit([Stop(step, path)])
    second, resumed = fit([], path)
    assert first + second == expected
    assert all(weights[name].equal(resumed[name]) for name in weights)


def test_training_time_is_summed_over_legs(data: Data, tmp_path: Path) -> None:
    path, seconds = tmp_path / "end.ckpt", []
    for epochs in (1, 2):
        exact = ExactResume()
        run = trainer([exact], max_epochs=epochs)
        run.fit(module(), data(), ckpt_path=path if epochs > 1 else None, weights_only=True)
        run.save_checkpoint(path)
        seconds.append(exact.seconds)
    saved = torch.load(path, weights_only=True)["exact_resume"]["seconds"]
    assert 0 < seconds[0] < seconds[1] == saved


def test_states_of_all_random_generators_are_restored() -> None:
    def draw() -> tuple[float, ...]:
        return float(torch.rand(1)), random.random(), np.random.normal(), random.gauss(0, 1)  # noqa: NPY002

    draw()
    state = rng_state()
    expected = draw()
    draw()
    set_rng_state(state)
    assert draw() == expected


@pytest.mark.parametrize(("new_lr", "expected"), [(0.1, 0.05), (0.01, 0.005)])
def test_new_settings_keep_the_progress_of_the_schedule(new_lr: float, expected: float) -> None:
    def optimizer(lr: float, decay: float) -> torch.optim.Optimizer:
        made = torch.optim.SGD([torch.zeros(1)], lr, momentum=0.9, weight_decay=decay)
        made.param_groups[0]["initial_lr"] = lr
        return made

    loaded = optimizer(0.1, 0.0)
    loaded.param_groups[0].update(lr=0.05, momentum=0.7)  # half of the schedule
    set_settings(loaded, settings_of(optimizer(new_lr, 0.3)))
    (group,) = loaded.param_groups
    assert group["lr"] == pytest.approx(expected)
    assert (group["momentum"], group["weight_decay"], group["initial_lr"]) == (0.7, 0.3, new_lr)
