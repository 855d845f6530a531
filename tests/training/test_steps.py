"""Steps, schedules, precisions and validation of the module in a training on blobs."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from tiny_siamese import CALLBACKS, STEPS, Data, Losses, configured, module, network, trainer

from siamese_oneshot.callbacks.ema import EMA
from siamese_oneshot.callbacks.throughput import LayerRates, Throughput
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.samplers import EpisodeSampler, PairSampler
from siamese_oneshot.data.tasks import EvalTasks
from siamese_oneshot.evaluation.embeddings import Embeddings
from siamese_oneshot.evaluation.evaluator import (
    EvalResults,
    best_reject_threshold,
    evaluate_tasks,
)
from siamese_oneshot.models.losses import EpisodicCrossEntropyLoss, PairBCELoss
from siamese_oneshot.models.optimizers import OptimizerSetup, adam, adamw, paper_sgd
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.module import MONITOR
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import PRECISIONS


@pytest.mark.parametrize("kind", ["pairs", "episode"])
def test_training_reduces_the_loss(data: Data, kind: str) -> None:
    if kind == "pairs":
        datamodule, loss = data(PairSampler(32, steps_per_epoch=20)), PairBCELoss()
    else:
        sampler = EpisodeSampler(2, 5, 3, steps_per_epoch=20)
        datamodule, loss = data(sampler), EpisodicCrossEntropyLoss()  # type: ignore[assignment]
    losses = Losses()
    make_optimizer = partial(
        adamw, lr=1e-2, weight_decay=0.01, warmup=0.1, min_lr_ratio=0.1, betas=(0.9, 0.99)
    )
    trained = module(loss, make_optimizer, network=network(batch_norm=True))
    trainer([losses]).fit(trained, datamodule)
    assert len(losses.values) == 40
    first, last = sum(losses.values[:5]) / 5, sum(losses.values[-5:]) / 5
    assert last < 0.9 * first


def test_the_first_step_is_checked_although_it_is_not_logged(data: Data) -> None:
    net = network()
    with torch.no_grad():
        net.similarity.linear.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(UserError, match="loss is not finite at step 0: lower the learning rate"):
        trainer(log_every_n_steps=50).fit(module(network=net), data())


@pytest.mark.parametrize(("max_steps", "expected"), [(-1, [3, 7, 11]), (10, [3, 7, 9])])
def test_step_n_of_the_log_is_the_loss_of_step_n(
    data: Data, tmp_path: Path, max_steps: int, expected: list[int]
) -> None:
    losses, logger = Losses(), CSVLogger(tmp_path, name="", version="")
    callbacks = [losses, LayerRates(), Throughput()]
    trainer(callbacks, logger=logger, log_every_n_steps=4, max_steps=max_steps).fit(
        module(), data(PairSampler(16, steps_per_epoch=6))
    )
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    logged = {int(row["step"]): float(row["train/loss"]) for row in rows}
    assert sorted(logged) == expected  # every fourth step, counted over all epochs, and the last
    assert len({row["gradient_norm/all"] for row in rows}) == 3, "values are logged twice"
    assert logged == pytest.approx({step: losses.values[step] for step in logged}, rel=1e-4)


class Guarded(OneShotDataModule):
    """Reading anything of the test data is an error."""

    def test_dataloader(self) -> Any:
        raise AssertionError("the test loader was opened")

    @property
    def test(self) -> Any:
        raise AssertionError("the test tasks were read")

    @test.setter
    def test(self, tasks: EvalTasks) -> None:
        """`load` makes them."""


def test_selection_reads_validation_data_only(data: Data, tmp_path: Path) -> None:
    """Fault 8: a fit with the configured callbacks never opens the test data."""
    best, stopping, _ = configured(tmp_path)
    errors: list[float] = []

    class Probe(pl.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            metrics = trainer.callback_metrics
            assert not [name for name in metrics if name.startswith("test")]
            errors.append(float(metrics[MONITOR]))
            assert errors[-1] == pytest.approx(1 - pl_module.eval_results.results[0].accuracy)

    trainer([best, stopping, Probe()], max_epochs=4).fit(module(), data(cls=Guarded))
    assert len(errors) == 4
    assert len(set(errors)) > 1
    assert float(best.best_model_score) == float(stopping.best_score) == min(errors)


def test_every_configured_monitor_is_a_validation_metric() -> None:
    """Fault 8, in conf/."""
    monitors = {}
    for path in CALLBACKS.glob("*.yaml"):
        for name, callback in OmegaConf.load(path).items():
            if name != "defaults" and callback is not None and "monitor" in callback:
                monitors[f"{path.stem}.{name}"] = (callback.monitor, callback.mode)
    assert set(monitors) >= {"default.checkpoint", "default.early_stopping"}
    assert set(monitors.values()) == {("val/one_shot_error", "min")}
    assert MONITOR == "val/one_shot_error"


def test_early_stopping_follows_the_error(data: Data) -> None:
    """A network that does not learn stops after its patience."""
    stop = EarlyStopping(monitor=MONITOR, mode="min", patience=2)
    fit = trainer([stop], max_epochs=50)
    fit.fit(module(make_optimizer=partial(adam, lr=0.0)), data())
    assert fit.current_epoch == 3


def test_each_image_of_the_tasks_is_embedded_once(data: Data) -> None:
    datamodule, net = data(), network()
    counts: list[int] = []
    net.encoder.register_forward_hook(lambda m, images, out: counts.append(len(out)))
    evaluated, tester = module(network=net), trainer()
    tester.validate(evaluated, datamodule, verbose=False)
    episodes = datamodule.validation.episode_tasks[0].episodes
    assert sum(counts) == len(datamodule.validation.indices) < episodes.supports.numel()
    counts.clear()
    tester.test(evaluated, datamodule, verbose=False)
    assert sum(counts) == len(datamodule.test.indices)


def direct(
    net: SiameseNetwork, datamodule: OneShotDataModule, tasks: EvalTasks, *threshold: float
) -> EvalResults:
    """The results without Lightning."""
    net.eval()
    with torch.no_grad():
        _, images = datamodule.images_of(tasks.indices)
        return evaluate_tasks(tasks, Embeddings(tasks.indices, net.embed(images)), net, *threshold)


def answers(results: EvalResults | None) -> object:
    assert results is not None
    verification = results.verification
    return (
        verification.threshold,
        verification.accuracy,
        [(result.task.key, result.picks.tolist()) for result in results.results],
    )


def test_validation_and_test_equal_an_evaluation_without_lightning(data: Data) -> None:
    datamodule, net = data(), network()
    evaluated, tester = module(network=net), trainer()
    (scores,) = tester.validate(evaluated, datamodule, verbose=False)
    expected = direct(net, datamodule, datamodule.validation)
    assert answers(evaluated.eval_results) == answers(expected)
    episodes, verification = expected.results[0], expected.verification
    final = episodes.score("validation")  # of the table at the end: the same interval
    assert scores == pytest.approx(
        {
            "val/one_shot_accuracy": episodes.accuracy,
            "val/one_shot_ci_low": final.low,
            "val/one_shot_ci_high": final.high,
            "val/one_shot_error": 1 - episodes.accuracy,
            "val/verification_accuracy": verification.accuracy,
            "val/verification_auroc": verification.auroc,
            "val/verification_eer": verification.eer,
        }
    )
    threshold = verification.threshold
    assert evaluated.threshold == threshold
    assert evaluated.reject_threshold == pytest.approx(best_reject_threshold(episodes))
    (scores,) = tester.test(evaluated, datamodule, verbose=False)
    expected = direct(net, datamodule, datamodule.test, threshold)
    assert answers(evaluated.eval_results) == answers(expected)
    assert expected.verification.threshold == evaluated.threshold == threshold
    tasks = ("within_alphabet", "cross_alphabet", "koch_protocol")
    names = {f"test/verification_{name}" for name in ("accuracy", "auroc", "eer")}
    assert set(scores) == names | {f"test/{task}_accuracy" for task in tasks}
    assert scores["test/within_alphabet_accuracy"] == pytest.approx(expected.results[0].accuracy)
    assert [result.n for result in expected.results] == [4 * 5, 20, 20 * 5]


def test_a_test_without_validation_calls_pairs_the_same_above_one_half(data: Data) -> None:
    datamodule, net = data(), network()
    evaluated = module(network=net)
    trainer().test(evaluated, datamodule, verbose=False)
    assert answers(evaluated.eval_results) == answers(direct(net, datamodule, datamodule.test, 0.0))


def test_an_interrupted_validation_leaves_nothing_behind(data: Data) -> None:
    """Ctrl-C during a validation; the kept checkpoint is validated afterwards."""
    datamodule, evaluated = data(), module()

    class Break(pl.Callback):
        def on_validation_batch_end(self, *args: Any) -> None:
            raise UserError("interrupted")

    with pytest.raises(UserError, match="interrupted"):
        trainer([Break()]).validate(evaluated, datamodule, verbose=False)
    trainer().validate(evaluated, datamodule, verbose=False)
    assert evaluated.eval_results is not None
    assert evaluated.eval_results.verification.n == 40


def test_a_sanity_check_leaves_no_results(data: Data) -> None:
    seen: list[Any] = []

    class Probe(pl.Callback):
        def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append((pl_module.eval_results, pl_module.threshold))

    fitted = module()
    trainer([Probe()], num_sanity_val_steps=1, max_epochs=1).fit(fitted, data())
    assert seen == [(None, None)]
    assert fitted.eval_results is not None


def test_checkpoints_hold_the_weights_that_were_validated(data: Data, tmp_path: Path) -> None:
    """With EMA, too: encoder and similarity of the average, not a mixture."""
    kept = ModelCheckpoint(tmp_path, monitor=MONITOR, save_top_k=-1, filename="{epoch}")
    validations: list[dict[str, float]] = []

    class Probe(pl.Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            metrics = trainer.callback_metrics.items()
            validations.append({k: float(v) for k, v in metrics if k.startswith("val/")})
            validations[-1]["threshold"] = pl_module.threshold

    datamodule = data(EpisodeSampler(2, 5, 3, steps_per_epoch=STEPS))
    fitted = module(EpisodicCrossEntropyLoss(), partial(adam, lr=5e-2))
    trainer([kept, EMA(0.9), Probe()]).fit(fitted, datamodule)
    assert len(validations) == 2
    for epoch, during in enumerate(validations):
        state = torch.load(tmp_path / f"epoch={epoch}.ckpt", weights_only=True)["state_dict"]
        again = module()
        again.load_state_dict(state)
        (after,) = trainer().validate(again, datamodule, verbose=False)
        assert {**after, "threshold": again.threshold} == pytest.approx(during)


def rates(make_optimizer: Any, data: Data, epochs: int) -> list[dict[str, tuple[float, float]]]:
    """Learning rate and momentum of each group (by name) at each step."""
    seen: list[dict[str, tuple[float, float]]] = []

    class Probe(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            groups = optimizer.param_groups
            seen.append({g["name"]: (g["lr"], g.get("momentum", 0.0)) for g in groups})

    trainer([Probe()], max_epochs=epochs).fit(module(make_optimizer=make_optimizer), data())
    return seen


def test_the_papers_schedule_steps_once_an_epoch(data: Data) -> None:
    """Fault 6: with several steps an epoch, both stay until the epoch ends."""
    targets = {"conv1": 0.9, "conv2": 0.7, "dense": 0.5, "output": 0.0}
    make_optimizer = partial(
        paper_sgd, lr={"default": 0.01, "conv1": 0.02}, momentum=targets, decay=0.99,
        momentum_start=0.5, momentum_epochs=4,
    )  # fmt: skip
    seen = rates(make_optimizer, data, 6)
    assert len(seen) == 6 * STEPS
    for step, groups in enumerate(seen):
        epoch = step // STEPS
        assert set(groups) == set(targets)
        for name, (lr, momentum) in groups.items():
            assert lr == pytest.approx((0.02 if name == "conv1" else 0.01) * 0.99**epoch)
            assert momentum == pytest.approx(0.5 + min(epoch / 4, 1) * (targets[name] - 0.5))


def test_the_warm_up_steps_with_every_batch(data: Data) -> None:
    make_optimizer = partial(
        adamw, lr=1.0, weight_decay=0.0, warmup=0.5, min_lr_ratio=0.0, betas=(0.9, 0.99)
    )
    lrs = [next(iter(groups.values()))[0] for groups in rates(make_optimizer, data, 2)]
    assert lrs == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0, 0.75, 0.25])  # 3 of 6 steps rise


def test_a_parameter_in_no_group_or_in_two_is_refused(data: Data) -> None:
    def incomplete(layers: dict[str, Any], total_steps: int) -> OptimizerSetup:
        return adam({name: layer for name, layer in layers.items() if name != "conv2"}, 1, 0.1)

    def doubled(layers: dict[str, Any], total_steps: int) -> OptimizerSetup:
        setup = adam(layers, 1, 0.1)
        setup.optimizer.param_groups.append(setup.optimizer.param_groups[0])
        return setup

    for make_optimizer in (incomplete, doubled):
        with pytest.raises(RuntimeError, match="in no group of the optimizer, or in two"):
            trainer().fit(module(make_optimizer=make_optimizer), data())


def test_channels_last_gives_the_same_result(data: Data) -> None:
    datamodule, runs = data(), []
    for channels_last in (False, True):
        losses, fitted = Losses(), module(channels_last=channels_last)
        strides = fitted.network.encoder.layers["conv2"][0].weight.stride()  # type: ignore
        assert (strides[1] == 1) is channels_last
        trainer([losses]).fit(fitted, datamodule)
        runs.append((losses.values, fitted.network.state_dict()))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-4)
    for name, value in runs[0][1].items():
        torch.testing.assert_close(value, runs[1][1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", sorted({*PRECISIONS} - {"auto", "32-true", "16-mixed"}))
def test_other_precisions_train_alike(data: Data, precision: Any) -> None:
    """16-mixed is for GPUs."""
    datamodule, runs = data(), []
    for name in ("32-true", precision):
        losses, fitted = Losses(), module()
        trainer([losses], precision=name).fit(fitted, datamodule)
        assert fitted.eval_results is not None
        runs.append((losses.values, fitted.eval_results.verification.auroc))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=0.02)
    assert runs[0][1] == pytest.approx(runs[1][1], abs=0.1)


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_a_fused_step_takes_unscaled_gradients(precision: str) -> None:
    """Otherwise Lightning refuses to clip, and logged norms are 65,536 times too large."""
    fitted = module(make_optimizer=partial(adam, lr=1e-3))
    fitted._trainer = SimpleNamespace(precision=precision, estimated_stepping_batches=10)  # type: ignore[assignment]
    optimizer = fitted.configure_optimizers()["optimizer"]
    assert {group["fused"] for group in optimizer.param_groups} == {True}
    assert not optimizer._step_supports_amp_scaling


def test_gradients_are_clipped_in_bfloat16(data: Data) -> None:
    norms: list[float] = []

    class Probe(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
            parts = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            norms.append(float(torch.stack(parts).norm()))

    fitted = module(make_optimizer=partial(adam, lr=1e-3))
    clipped = {"precision": "bf16-mixed", "gradient_clip_val": 1e-3, "max_steps": 2}
    trainer([Probe()], **clipped).fit(fitted, data())
    assert norms == pytest.approx([1e-3] * 2, rel=1e-3)
