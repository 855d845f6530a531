"""Checkpoints, schedules, layouts and precisions of the LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from tiny_siamese import STEPS, Data, Losses, configured, module, trainer

from siamese_oneshot.callbacks.ema import EMA
from siamese_oneshot.data.samplers import EpisodeSampler
from siamese_oneshot.models.losses import EpisodicCrossEntropyLoss
from siamese_oneshot.models.optimizers import OptimizerSetup, adam, adamw, paper_sgd
from siamese_oneshot.module import MONITOR as ERROR
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.utils.hardware import PRECISIONS


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(plain(one) for one in value)
    return value is None or type(value) in (int, float, str, bool, Tensor, torch.Size)


@pytest.mark.parametrize(
    "make_optimizer",
    [
        partial(
            paper_sgd, lr=0.01, momentum=0.9, decay=0.99, momentum_start=0.5, momentum_epochs=2
        ),
        partial(adamw, lr=1e-2, weight_decay=0.1, warmup=0.1, min_lr_ratio=0.1, betas=(0.9, 0.99)),
    ],
    ids=["paper", "adamw"],
)
def test_checkpoints_hold_plain_values(
    data: Data, tmp_path: Path, make_optimizer: Callable[..., OptimizerSetup]
) -> None:
    kept, stopping, latest = configured(tmp_path)
    fitted = module(make_optimizer=make_optimizer, metadata={"split": "lake"})
    trainer([kept, stopping, latest, EMA(0.9)]).fit(fitted, data())
    assert isinstance(kept, ModelCheckpoint)
    for path in (kept.best_model_path, tmp_path / "last.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        assert plain(checkpoint)
        thresholds = [checkpoint["siamese_oneshot"][k] for k in ("threshold", "reject_threshold")]
        assert checkpoint["siamese_oneshot"] == {
            "version": 1,
            "network": {"encoder": {"filters": [8, 8], "activation": "sigmoid"}, "seed": 0},
            "metadata": {"split": "lake"},
            "threshold": thresholds[0],
            "reject_threshold": thresholds[1],
        }
        assert all(type(one) is float for one in thresholds)
        fitted.load_state_dict(checkpoint["state_dict"])


def test_the_last_checkpoint_is_of_the_last_epoch_whether_it_was_better_or_not(
    data: Data, tmp_path: Path
) -> None:
    """A network that does not learn: only its first epoch is an improvement."""
    kept, _, latest = configured(tmp_path)
    fitted = module(make_optimizer=partial(adam, lr=0.0))
    trainer([kept, latest], max_epochs=3).fit(fitted, data())
    best, last = (
        torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("best", "last")
    )
    assert (best["global_step"], last["global_step"]) == (STEPS, 3 * STEPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_the_kept_weights_are_those_that_were_validated(data: Data, tmp_path: Path) -> None:
    """With an average of weights, too: encoder and similarity of the average, not a mix."""
    kept = ModelCheckpoint(tmp_path, monitor=ERROR, save_top_k=-1, filename="{epoch}")
    figures: list[dict[str, float]] = []

    class Throughput(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            metrics = trainer.callback_metrics
            figures.append({k: float(v) for k, v in metrics.items() if k.startswith("val/")})
            assert isinstance(pl_module, SiameseModule)
            assert pl_module.threshold is not None
            figures[-1]["threshold"] = pl_module.threshold

    made = data(EpisodeSampler(2, 5, 3, steps_per_epoch=STEPS))
    fitted = module(EpisodicCrossEntropyLoss(), partial(adam, lr=5e-2))
    trainer([kept, EMA(0.9), Throughput()]).fit(fitted, made)
    assert len(figures) == 2
    for epoch, during in enumerate(figures):
        state = torch.load(tmp_path / f"epoch={epoch}.ckpt", weights_only=True)["state_dict"]
        again = module()
        again.load_state_dict(state)
        (after,) = trainer().validate(again, made, verbose=False)
        assert {**after, "threshold": again.threshold} == pytest.approx(during)


def test_paper_schedule_steps_once_an_epoch(data: Data) -> None:
    """Fault 6: several steps an epoch, and η and μ stay until the epoch ends."""
    seen: list[tuple[int, dict[str, tuple[float, float]]]] = []

    class Throughput(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            groups = {g["name"]: (g["lr"], g["momentum"]) for g in optimizer.param_groups}
            seen.append((trainer.current_epoch, groups))

    targets = {"conv1": 0.9, "conv2": 0.7, "dense": 0.5, "output": 0.0}
    make_optimizer = partial(
        paper_sgd, lr={"default": 0.01, "conv1": 0.02}, momentum=targets, decay=0.99,
        momentum_start=0.5, momentum_epochs=4,
    )  # fmt: skip
    trainer([Throughput()], max_epochs=6).fit(module(make_optimizer=make_optimizer), data())
    assert [epoch for epoch, _ in seen] == [epoch for epoch in range(6) for _ in range(STEPS)]
    for epoch, groups in seen:
        for name, (rate, momentum) in groups.items():
            first = 0.02 if name == "conv1" else 0.01
            assert rate == pytest.approx(first * 0.99**epoch)
            assert momentum == pytest.approx(0.5 + min(epoch / 4, 1) * (targets[name] - 0.5))


def test_warm_up_steps_with_every_batch(data: Data) -> None:
    rates: list[float] = []

    class Throughput(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    make_optimizer = partial(
        adamw, lr=1.0, weight_decay=0.0, warmup=0.5, floor=0.0, betas=(0.9, 0.99)
    )
    trainer([Throughput()]).fit(module(make_optimizer=make_optimizer), data())
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0, 0.75, 0.25])  # 6 steps, 3 of them rise


def test_a_parameter_in_no_group_is_refused(data: Data) -> None:
    def forgetful(layers: dict[str, Any], total_steps: int) -> OptimizerSetup:
        return adam({name: one for name, one in layers.items() if name != "conv2"}, 1, 0.1)

    def doubled(layers: dict[str, Any], total_steps: int) -> OptimizerSetup:
        made = adam(layers, 1, 0.1)
        made.optimizer.param_groups.append(made.optimizer.param_groups[0])
        return made

    for make_optimizer in (forgetful, doubled):
        with pytest.raises(RuntimeError, match="in no group of the optimizer, or in two"):
            trainer().fit(module(make_optimizer=make_optimizer), data())


def test_channels_last_gives_the_same_result(data: Data) -> None:
    made = data()
    runs = []
    for channels_last in (False, True):
        losses = Losses()
        fitted = module(channels_last=channels_last)
        strides = fitted.network.encoder.layers["conv2"][0].weight.stride()  # type: ignore
        assert (strides[1] == 1) is channels_last
        trainer([losses]).fit(fitted, made)
        runs.append((losses.values, fitted.network.state_dict()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-4)
    for name, value in runs[0][1].items():
        torch.testing.assert_close(value, runs[1][1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", sorted({*PRECISIONS} - {"auto", "32-true", "16-mixed"}))
def test_other_precisions_train_alike(data: Data, precision: Any) -> None:
    """Whatever trainer.precision offers; 16-mixed is for GPUs."""
    made = data()
    runs = []
    for chosen in ("32-true", precision):
        losses = Losses()
        fitted = module()
        trainer([losses], precision=chosen).fit(fitted, made)
        assert fitted.eval_results is not None
        runs.append((losses.values, fitted.eval_results.verification.auroc))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=0.02)
    assert runs[0][1] == pytest.approx(runs[1][1], abs=0.1)


def test_sanity_check_leaves_no_eval_results(data: Data) -> None:
    seen: list[Any] = []

    class Throughput(pl.Callback):
        def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append((pl_module.eval_results, pl_module.threshold))

    fitted = module()
    trainer([Throughput()], num_sanity_val_steps=1, max_epochs=1).fit(fitted, data())
    assert seen == [(None, None)]
    assert fitted.eval_results is not None


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_a_fused_step_takes_gradients_unscaled(precision: str) -> None:
    """Else clipping is refused by Lightning, and norms are logged 65,536 times too large."""
    fitted = module(make_optimizer=partial(adam, lr=1e-3))
    fitted._trainer = SimpleNamespace(precision=precision, estimated_stepping_batches=10)  # type: ignore[assignment]
    made = fitted.configure_optimizers()["optimizer"]
    assert {group["fused"] for group in made.param_groups} == {True}
    assert not made._step_supports_amp_scaling


def test_gradients_are_clipped_in_bfloat16(data: Data) -> None:
    norms = list[float]()

    class Throughput(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            found = [w.grad.norm() for w in pl_module.parameters() if w.grad is not None]
            norms.append(float(torch.stack(found).norm()))

    fitted = module(make_optimizer=partial(adam, lr=1e-3))
    clipped = {"precision": "bf16-mixed", "gradient_clip_val": 1e-3, "max_steps": 2}
    trainer([Throughput()], **clipped).fit(fitted, data())
    assert norms == pytest.approx([1e-3] * 2, rel=1e-3)
