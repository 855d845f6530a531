from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
from tqdm import tqdm

from siamese_oneshot.callbacks.progress import TrainingProgress
from siamese_oneshot.data import datamodule
from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import PairSampler
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.tasks import EvalConfig
from siamese_oneshot.models.encoders import DenseEncoder
from siamese_oneshot.models.losses import PairBCELoss
from siamese_oneshot.models.optimizers import adam
from siamese_oneshot.models.siamese import build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.utils.errors import UserError


class Failing(pl.Callback):
    def on_train_batch_end(self, *args: Any) -> None:
        raise UserError("enough")


def fit(
    dataset: CharacterDataset,
    monkeypatch: pytest.MonkeyPatch,
    *callbacks: pl.Callback,
    **options: Any,
) -> pl.Trainer:
    monkeypatch.setattr(datamodule, "load_source", lambda *a, **k: LoadedData(dataset, None))
    eval_tasks = EvalConfig(n_pairs=20, val_runs=2, test_runs=1, n_cross_episodes=5, way=4)
    data = OneShotDataModule(PairSampler(8, steps_per_epoch=5), 16, 0, eval=eval_tasks)
    encoder = partial(DenseEncoder, 16, [], 4)
    network = build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]
    module = SiameseModule(network, PairBCELoss(), partial(adam, lr=0.01), {})
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        num_sanity_val_steps=0, callbacks=list(callbacks), log_every_n_steps=1, **options,
    )  # fmt: skip
    trainer.fit(module, data)
    return trainer


@pytest.mark.parametrize(
    ("length", "steps"), [({"max_steps": 12, "max_epochs": -1}, 12), ({"max_epochs": 3}, 15)]
)
def test_the_bar_counts_all_steps_and_closes(
    dataset: CharacterDataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    length: dict[str, int],
    steps: int,
) -> None:
    bar = TrainingProgress(refresh=0.0)
    seen: list[tuple[int, float | None]] = []

    class Throughput(pl.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            assert isinstance(bar.bar, tqdm)
            seen.append((bar.bar.n, bar.bar.total))

    trainer = fit(dataset, monkeypatch, bar, Throughput(), **length)
    assert seen == [(n, steps) for n in range(1, steps + 1)]
    assert bar.bar is None
    printed = capsys.readouterr()
    assert f"{steps}/{steps}" in printed.err
    assert "loss=" in printed.err
    lines = [line for line in printed.out.splitlines() if "validation one-shot" in line]
    looks = sorted({*range(5, steps + 1, 5), steps})  # after each epoch and at the end
    assert [line.split(":")[0] for line in lines] == [f"step {n}" for n in looks]
    share = 100 * float(trainer.callback_metrics["val/one_shot_accuracy"])
    assert f"validation one-shot {share:.1f}%" in lines[-1]


def test_a_silenced_bar_says_nothing(
    dataset: CharacterDataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bar = TrainingProgress()
    bar.disable()
    fit(dataset, monkeypatch, bar, max_epochs=1)
    printed = capsys.readouterr()
    assert "step" not in printed.out + printed.err


def test_the_bar_closes_when_training_fails(
    dataset: CharacterDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = TrainingProgress()
    with pytest.raises(UserError, match="enough"):
        fit(dataset, monkeypatch, bar, Failing(), max_epochs=1)
    assert bar.bar is None
