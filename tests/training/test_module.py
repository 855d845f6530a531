from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

from siamese_oneshot.data import datamodule
from siamese_oneshot.data.batches import EpisodeBatches, PairBatches
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import Exam, ExamSize
from siamese_oneshot.data.source import Loaded
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.examine import examine
from siamese_oneshot.evaluation.scoring import Embeddings
from siamese_oneshot.model.comparator import WeightedL1
from siamese_oneshot.model.encoder import ConvEncoder
from siamese_oneshot.model.network import TwinNetwork, build_network
from siamese_oneshot.model.objective import EpisodeObjective, PairObjective
from siamese_oneshot.model.optim import Optimisation, adam, adamw, paper_sgd
from siamese_oneshot.training.averaging import RampedAverage
from siamese_oneshot.training.hardware import PRECISIONS
from siamese_oneshot.training.module import ERROR, SiameseModule

CALLBACKS = Path(__file__).parents[2] / "conf" / "callbacks"
STEPS = 3  # an epoch
Data = Callable[..., OneShotDataModule]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small lose more to waking threads than they win."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(drawings: Drawings, monkeypatch: pytest.MonkeyPatch) -> Data:
    """The real data module on the look-alikes: 2 alphabets train, 1 validates, 1 tests."""
    monkeypatch.setattr(datamodule, "load_source", lambda *a, **k: Loaded(drawings, None))

    def make(
        batches: Any = None, cls: type[OneShotDataModule] = OneShotDataModule
    ) -> OneShotDataModule:
        exam = ExamSize(pairs=40, validation_runs=6, test_runs=4, across=20, way=5)
        made = cls(batches or PairBatches(16, steps=STEPS), 16, 0, exam=exam, chunk=7)
        made.load()
        return made

    return make


def network(**options: Any) -> TwinNetwork:
    tower = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], units=16, **options)
    return build_network(tower, WeightedL1, "torch", 0)  # type: ignore[arg-type]


def module(
    objective: Any = None, optimise: Callable[..., Optimisation] | None = None, **options: Any
) -> SiameseModule:
    return SiameseModule(
        options.pop("network", None) or network(),
        objective or PairObjective(),
        optimise or partial(adam, lr=3e-3),
        {"encoder": {"filters": [8, 8], "activation": "sigmoid"}, "seed": 0},
        **options,
    )


def trainer(callbacks: Sequence[pl.Callback] = (), **options: Any) -> pl.Trainer:
    usual: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": 2, "logger": False, "log_every_n_steps": 1,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks),
    }  # fmt: skip
    return pl.Trainer(callbacks=list(callbacks), **(usual | options))


def embedded(net: TwinNetwork, made: OneShotDataModule, exam: Exam) -> Embeddings:
    net.eval()
    with torch.no_grad():
        return Embeddings(exam.positions, net.embed(made.pictures(exam.positions)))


class Losses(pl.Callback):
    """Notes every step's loss."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.values.append(float(outputs["loss"]))


@pytest.mark.parametrize("kind", ["pairs", "episode"])
def test_training_reduces_the_loss(data: Data, kind: str) -> None:
    if kind == "pairs":
        made, objective = data(PairBatches(32, steps=20)), PairObjective()
    else:
        made, objective = data(EpisodeBatches(2, 5, 3, steps=20)), EpisodeObjective()
    losses = Losses()
    optimise = partial(adamw, lr=1e-2, weight_decay=0.01, warmup=0.1, floor=0.1, betas=(0.9, 0.99))
    trainer([losses]).fit(module(objective, optimise, network=network(batch_norm=True)), made)
    assert len(losses.values) == 40
    first, last = sum(losses.values[:5]) / 5, sum(losses.values[-5:]) / 5
    assert last < 0.9 * first


def test_a_loss_that_is_not_finite_stops_with_a_user_error(data: Data) -> None:
    net = network()
    with torch.no_grad():
        net.comparator.linear.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(UserError, match=r"the loss is nan at step 0: lower optim\.lr"):
        trainer(log_every_n_steps=50).fit(module(network=net), data())


def test_what_the_log_calls_step_n_is_the_loss_of_step_n(data: Data, tmp_path: Path) -> None:
    losses, logger = Losses(), CSVLogger(tmp_path, name="", version="")
    trainer([losses], logger=logger, log_every_n_steps=4).fit(
        module(), data(PairBatches(16, steps=6))
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
        raise AssertionError("the test exam was read")

    @test.setter
    def test(self, exam: Exam) -> None:
        """Made by load(); nobody may look at it."""


def configured(tmp_path: Path) -> list[pl.Callback]:
    """The checkpoint and early stopping of conf/callbacks, as the job makes them."""
    settings = OmegaConf.load(CALLBACKS / "default.yaml")
    settings.checkpoint.dirpath = str(tmp_path)
    return [instantiate(settings[name]) for name in ("checkpoint", "early_stopping")]


def test_selection_reads_validation_only(data: Data, tmp_path: Path) -> None:
    """Fault 8: fitting with the configured callbacks never opens the test part."""
    kept, stopping = configured(tmp_path)
    assert isinstance(kept, ModelCheckpoint)
    assert isinstance(stopping, EarlyStopping)
    seen: list[tuple[float, float]] = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            metrics = trainer.callback_metrics
            assert not [name for name in metrics if name.startswith("test")]
            assert isinstance(pl_module, SiameseModule)
            assert pl_module.findings is not None
            (answered,) = pl_module.findings.answered
            seen.append((float(metrics[ERROR]), answered.accuracy))

    made = data(cls=Guarded)
    trainer([kept, stopping, Watch()], max_epochs=4).fit(module(), made)
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
    fitting.fit(module(optimise=partial(adam, lr=0.0)), data())
    assert fitting.current_epoch == 3


def test_each_picture_is_embedded_once_an_exam(data: Data) -> None:
    made, net = data(), network()
    counts: list[int] = []
    net.encoder.register_forward_hook(lambda m, given, out: counts.append(len(out)))
    examined = module(network=net)
    tester = trainer()
    tester.validate(examined, made, verbose=False)
    asked = made.validation.questions[0].trials.supports.numel()
    assert sum(counts) == len(made.validation.positions) < asked
    counts.clear()
    tester.test(examined, made, verbose=False)
    assert sum(counts) == len(made.test.positions)


def test_exams_equal_direct_ones(data: Data) -> None:
    made, net = data(), network()
    examined = module(network=net)
    tester = trainer()
    (scores,) = tester.validate(examined, made, verbose=False)
    direct = examine(made.validation, embedded(net, made, made.validation), net.score)
    assert examined.findings == direct
    assert scores == {
        "val/one_shot_accuracy": pytest.approx(direct.answered[0].accuracy),
        "val/one_shot_error": pytest.approx(1 - direct.answered[0].accuracy),
        "val/verification_accuracy": pytest.approx(direct.verified.accuracy),
        "val/verification_auroc": pytest.approx(direct.verified.auroc),
    }
    threshold = direct.verified.threshold
    assert examined.threshold == threshold
    (scores,) = tester.test(examined, made, verbose=False)
    direct = examine(made.test, embedded(net, made, made.test), net.score, threshold)
    assert examined.findings == direct
    assert examined.findings.verified.threshold == examined.threshold == threshold
    assert set(scores) == {
        "test/yardstick_accuracy", "test/across_accuracy",
        "test/verification_accuracy", "test/verification_auroc",
    }  # fmt: skip
    assert scores["test/yardstick_accuracy"] == pytest.approx(direct.answered[0].accuracy)
    assert [one.trials for one in direct.answered] == [4 * 5, 20]


def test_testing_needs_validations_threshold(data: Data) -> None:
    with pytest.raises(RuntimeError, match="validate before testing"):
        trainer().test(module(), data(), verbose=False)


def test_an_exam_that_was_broken_off_leaves_nothing_behind(data: Data) -> None:
    """Ctrl-C in the middle of a validation; the kept checkpoint is validated afterwards."""
    made, examined = data(), module()

    class Break(pl.Callback):
        def on_validation_batch_end(self, *args: Any) -> None:
            raise UserError("broken off")

    with pytest.raises(UserError, match="broken off"):
        trainer([Break()]).validate(examined, made, verbose=False)
    trainer().validate(examined, made, verbose=False)
    assert examined.findings is not None
    assert examined.findings.verified.trials == 40


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(plain(one) for one in value)
    return value is None or type(value) in (int, float, str, bool, Tensor, torch.Size)


@pytest.mark.parametrize(
    "optimise",
    [
        partial(
            paper_sgd, lr=0.01, momentum=0.9, decay=0.99, momentum_start=0.5, momentum_epochs=2
        ),
        partial(adamw, lr=1e-2, weight_decay=0.1, warmup=0.1, floor=0.1, betas=(0.9, 0.99)),
    ],
    ids=["paper", "adamw"],
)
def test_checkpoints_hold_plain_values(
    data: Data, tmp_path: Path, optimise: Callable[..., Optimisation]
) -> None:
    kept, stopping = configured(tmp_path)
    fitted = module(optimise=optimise)
    trainer([kept, stopping, RampedAverage(0.9)]).fit(fitted, data())
    assert isinstance(kept, ModelCheckpoint)
    for path in (kept.best_model_path, kept.last_model_path):
        checkpoint = torch.load(path, weights_only=True)
        assert plain(checkpoint)
        assert checkpoint["siamese_oneshot"] == {
            "version": 1,
            "network": {"encoder": {"filters": [8, 8], "activation": "sigmoid"}, "seed": 0},
        }
        fitted.load_state_dict(checkpoint["state_dict"])


def test_the_kept_weights_are_those_that_were_validated(data: Data, tmp_path: Path) -> None:
    """With an average of weights, too: tower and comparator of the average, not a mix."""
    kept = ModelCheckpoint(tmp_path, monitor=ERROR, save_top_k=-1, filename="{epoch}")
    figures: list[dict[str, float]] = []

    class Watch(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            metrics = trainer.callback_metrics
            figures.append({k: float(v) for k, v in metrics.items() if k.startswith("val/")})
            assert isinstance(pl_module, SiameseModule)
            assert pl_module.threshold is not None
            figures[-1]["threshold"] = pl_module.threshold

    made = data(EpisodeBatches(2, 5, 3, steps=STEPS))
    fitted = module(EpisodeObjective(), partial(adam, lr=5e-2))
    trainer([kept, RampedAverage(0.9), Watch()]).fit(fitted, made)
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

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            groups = {g["name"]: (g["lr"], g["momentum"]) for g in optimizer.param_groups}
            seen.append((trainer.current_epoch, groups))

    targets = {"conv1": 0.9, "conv2": 0.7, "dense": 0.5, "output": 0.0}
    optimise = partial(
        paper_sgd, lr={"default": 0.01, "conv1": 0.02}, momentum=targets, decay=0.99,
        momentum_start=0.5, momentum_epochs=4,
    )  # fmt: skip
    trainer([Watch()], max_epochs=6).fit(module(optimise=optimise), data())
    assert [epoch for epoch, _ in seen] == [epoch for epoch in range(6) for _ in range(STEPS)]
    for epoch, groups in seen:
        for name, (rate, momentum) in groups.items():
            first = 0.02 if name == "conv1" else 0.01
            assert rate == pytest.approx(first * 0.99**epoch)
            assert momentum == pytest.approx(0.5 + min(epoch / 4, 1) * (targets[name] - 0.5))


def test_warm_up_steps_with_every_batch(data: Data) -> None:
    rates: list[float] = []

    class Watch(pl.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    optimise = partial(adamw, lr=1.0, weight_decay=0.0, warmup=0.5, floor=0.0, betas=(0.9, 0.99))
    trainer([Watch()]).fit(module(optimise=optimise), data())
    assert rates == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0, 0.75, 0.25])  # 6 steps, 3 of them rise


def test_a_parameter_in_no_group_is_refused(data: Data) -> None:
    def forgetful(layers: dict[str, Any], total_steps: int) -> Optimisation:
        return adam({name: one for name, one in layers.items() if name != "conv2"}, 1, 0.1)

    def doubled(layers: dict[str, Any], total_steps: int) -> Optimisation:
        made = adam(layers, 1, 0.1)
        made.optimizer.param_groups.append(made.optimizer.param_groups[0])
        return made

    for optimise in (forgetful, doubled):
        with pytest.raises(RuntimeError, match="in no group of the optimiser, or in two"):
            trainer().fit(module(optimise=optimise), data())


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
        assert fitted.findings is not None
        runs.append((losses.values, fitted.findings.verified.auroc))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=0.02)
    assert runs[0][1] == pytest.approx(runs[1][1], abs=0.1)


def test_sanity_check_leaves_no_findings(data: Data) -> None:
    seen: list[Any] = []

    class Watch(pl.Callback):
        def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
            seen.append((pl_module.findings, pl_module.threshold))

    fitted = module()
    trainer([Watch()], num_sanity_val_steps=1, max_epochs=1).fit(fitted, data())
    assert seen == [(None, None)]
    assert fitted.findings is not None
