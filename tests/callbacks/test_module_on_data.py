"""Training steps and exams of the LightningModule."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from tiny_siamese import CALLBACKS, Data, Losses, configured, embedded, module, network, trainer

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.samplers import EpisodeSampler, PairSampler
from siamese_oneshot.data.tasks import EvalTasks
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.evaluation.evaluator import EvalResults, best_reject_threshold, evaluate_tasks
from siamese_oneshot.models.losses import EpisodicCrossEntropyLoss, PairBCELoss
from siamese_oneshot.models.optimizers import adam, adamw
from siamese_oneshot.module import MONITOR as ERROR
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.utils.errors import UserError


@pytest.mark.parametrize("kind", ["pairs", "episode"])
def test_training_reduces_the_loss(data: Data, kind: str) -> None:
    if kind == "pairs":
        made, loss = data(PairSampler(32, steps_per_epoch=20)), PairBCELoss()
    else:
        made, loss = data(EpisodeSampler(2, 5, 3, steps_per_epoch=20)), EpisodicCrossEntropyLoss()
    losses = Losses()
    make_optimizer = partial(
        adamw, lr=1e-2, weight_decay=0.01, warmup=0.1, min_lr_ratio=0.1, betas=(0.9, 0.99)
    )
    trainer([losses]).fit(module(loss, make_optimizer, network=network(batch_norm=True)), made)
    assert len(losses.values) == 40
    first, last = sum(losses.values[:5]) / 5, sum(losses.values[-5:]) / 5
    assert last < 0.9 * first


def test_a_loss_that_is_not_finite_stops_with_a_user_error(data: Data) -> None:
    net = network()
    with torch.no_grad():
        net.similarity.linear.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(UserError, match=r"the loss is not finite at step 0: lower optim\.lr"):
        trainer(log_every_n_steps=50).fit(module(network=net), data())


def test_what_the_log_calls_step_n_is_the_loss_of_step_n(data: Data, tmp_path: Path) -> None:
    losses, logger = Losses(), CSVLogger(tmp_path, name="", version="")
    trainer([losses], logger=logger, log_every_n_steps=4).fit(
        module(), data(PairSampler(16, steps_per_epoch=6))
    )
    logged = read_csv(tmp_path / "metrics.csv", "train/loss")
    assert sorted(logged) == [3, 7, 11]  # every fourth step, counted over all epochs
    for step, value in logged.items():
        assert value == pytest.approx(losses.values[step], rel=1e-4)


def read_csv(path: Path, column: str) -> dict[int, float]:
    with path.open() as lines:
        return {
            int(row["step"]): float(row[column]) for row in csv.DictReader(lines) if row[column]
        }


class Guarded(OneShotDataModule):
    """Opening anything of the test part is an error."""

    def test_dataloader(self) -> Any:
        raise AssertionError("the test loader was opened")

    @property
    def test(self) -> Any:
        raise AssertionError("the test evaluation tasks was read")

    @test.setter
    def test(self, eval_tasks: EvalTasks) -> None:
        """Made by load(); nobody may look at it."""


def test_selection_reads_validation_only(data: Data, tmp_path: Path) -> None:
    """Fault 8: fitting with the configured callbacks never opens the test part."""
    kept, stopping, _ = configured(tmp_path)
    assert isinstance(kept, ModelCheckpoint)
    assert isinstance(stopping, EarlyStopping)
    seen: list[tuple[float, float]] = []

    class Throughput(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            metrics = trainer.callback_metrics
            assert not [name for name in metrics if name.startswith("test")]
            assert isinstance(pl_module, SiameseModule)
            assert pl_module.eval_results is not None
            (results,) = pl_module.eval_results.results
            seen.append((float(metrics[ERROR]), results.accuracy))

    made = data(cls=Guarded)
    trainer([kept, stopping, Throughput()], max_epochs=4).fit(module(), made)
    assert len(seen) == 4
    assert all(error == pytest.approx(1 - accuracy) for error, accuracy in seen)
    assert len({error for error, _ in seen}) > 1
    assert float(kept.best_model_score) == min(error for error, _ in seen)
    assert float(stopping.best_score) == min(error for error, _ in seen)


def test_every_configured_monitor_is_a_validation_figure() -> None:
    """Fault 8, in conf/: whatever stops, keeps or reports goes by val/…"""
    monitors = {}
    for path in CALLBACKS.glob("*.yaml"):
        for name, callback in OmegaConf.load(path).items():
            if name != "defaults" and callback is not None and "monitor" in callback:
                monitors[f"{path.stem}.{name}"] = (callback.monitor, callback.mode)
    assert set(monitors) >= {"default.checkpoint", "default.early_stopping"}
    assert set(monitors.values()) == {("val/one_shot_error", "min")}
    assert ERROR == "val/one_shot_error"


def test_early_stopping_follows_the_error_not_the_accuracy(data: Data) -> None:
    """A network that does not learn stops after its patience."""
    stop = EarlyStopping(monitor=ERROR, mode="min", patience=2)
    fitting = trainer([stop], max_epochs=50)
    fitting.fit(module(make_optimizer=partial(adam, lr=0.0)), data())
    assert fitting.current_epoch == 3


def test_each_image_is_embedded_once_an_eval_tasks(data: Data) -> None:
    made, net = data(), network()
    counts: list[int] = []
    net.encoder.register_forward_hook(lambda m, given, out: counts.append(len(out)))
    examined = module(network=net)
    tester = trainer()
    tester.validate(examined, made, verbose=False)
    asked = made.validation.episode_tasks[0].n.supports.numel()
    assert sum(counts) == len(made.validation.indices) < asked
    counts.clear()
    tester.test(examined, made, verbose=False)
    assert sum(counts) == len(made.test.indices)


def plain(eval_results: EvalResults | None) -> object:
    assert eval_results is not None
    return eval_results.verification, [
        (one.task.key, one.picks.tolist()) for one in eval_results.results
    ]


def test_eval_tasks_equal_direct_ones(data: Data) -> None:
    made, net = data(), network()
    examined = module(network=net)
    tester = trainer()
    (scores,) = tester.validate(examined, made, verbose=False)
    direct = evaluate_tasks(made.validation, embedded(net, made, made.validation), net.score)
    assert plain(examined.eval_results) == plain(direct)
    low, high = wilson(direct.results[0].correct, direct.results[0].n)
    assert scores == {
        "val/one_shot_accuracy": pytest.approx(direct.results[0].accuracy),
        "val/one_shot_ci_low": pytest.approx(low),
        "val/one_shot_ci_high": pytest.approx(high),
        "val/one_shot_error": pytest.approx(1 - direct.results[0].accuracy),
        "val/verification_accuracy": pytest.approx(direct.verification.accuracy),
        "val/verification_auroc": pytest.approx(direct.verification.auroc),
    }
    threshold = direct.verification.threshold
    assert examined.threshold == threshold
    assert examined.reject_threshold == pytest.approx(best_reject_threshold(direct.results[0]))
    (scores,) = tester.test(examined, made, verbose=False)
    direct = evaluate_tasks(made.test, embedded(net, made, made.test), net.score, threshold)
    assert plain(examined.eval_results) == plain(direct)
    assert direct.verification.threshold == examined.threshold == threshold
    assert set(scores) == {
        "test/within_alphabet_accuracy", "test/cross_alphabet_accuracy", "test/koch_protocol_accuracy",
        "test/verification_accuracy", "test/verification_auroc",
    }  # fmt: skip
    assert scores["test/within_alphabet_accuracy"] == pytest.approx(direct.results[0].accuracy)
    assert [one.episodes for one in direct.results] == [4 * 5, 20, 20 * 5]


def test_testing_needs_validations_threshold(data: Data) -> None:
    with pytest.raises(RuntimeError, match="validate before testing"):
        trainer().test(module(), data(), verbose=False)


def test_an_eval_tasks_that_was_broken_off_leaves_nothing_behind(data: Data) -> None:
    """Ctrl-C in the middle of a validation; the kept checkpoint is validated afterwards."""
    made, examined = data(), module()

    class Break(pl.Callback):
        def on_validation_batch_end(self, *args: Any) -> None:
            raise UserError("broken off")

    with pytest.raises(UserError, match="broken off"):
        trainer([Break()]).validate(examined, made, verbose=False)
    trainer().validate(examined, made, verbose=False)
    assert examined.eval_results is not None
    assert examined.eval_results.verification.n == 40
