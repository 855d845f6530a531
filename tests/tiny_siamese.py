"""A tiny network with data and trainers, shared by the tests of training and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import PairSampler
from siamese_oneshot.data.tasks import EvalConfig
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.losses import PairBCELoss
from siamese_oneshot.models.optimizers import OptimizerSetup, adam
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.module import SiameseModule

CALLBACKS = Path(__file__).parents[1] / "conf" / "callbacks"
STEPS = 3  # of an epoch
Data = Callable[..., OneShotDataModule]


def network(**options: Any) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], embedding_dim=16, **options)
    return build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]


def module(
    loss: Any = None, make_optimizer: Callable[..., OptimizerSetup] | None = None, **options: Any
) -> SiameseModule:
    model = options.pop("network", None) or network()
    model.description = {"encoder": {"filters": [8, 8], "activation": "sigmoid"}, "seed": 0}
    make_optimizer = make_optimizer or partial(adam, lr=3e-3)
    options = {"ema_decay": None, **options}
    return SiameseModule(model, loss or PairBCELoss(), make_optimizer, **options)


def trainer(callbacks: Sequence[pl.Callback] = (), **options: Any) -> pl.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": 2, "logger": False, "log_every_n_steps": 1,
        "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
    }  # fmt: skip
    return pl.Trainer(callbacks=list(callbacks), **(defaults | options))


class Losses(pl.Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.values.append(float(outputs["loss"]))


def configured(folder: Path) -> list[Any]:
    """Best checkpoint, early stopping and last checkpoint of conf/callbacks/default.yaml."""
    settings = OmegaConf.load(CALLBACKS / "default.yaml")
    settings.checkpoint.dirpath = settings.last_checkpoint.dirpath = str(folder)
    names = ("checkpoint", "early_stopping", "last_checkpoint")
    return [instantiate(settings[name]) for name in names]


@pytest.fixture
def data(dataset: CharacterDataset) -> Data:
    """The data module on blobs: 2 training alphabets, 1 for validation, 1 for the test."""

    def make(
        sampler: Any = None, cls: type[OneShotDataModule] = OneShotDataModule
    ) -> OneShotDataModule:
        config = EvalConfig(n_pairs=40, val_runs=6, test_runs=4, n_cross_episodes=20, way=5)
        sampler = sampler or PairSampler(16, steps_per_epoch=STEPS)
        loaded = cls(
            sampler=sampler, image_size=16, source=dataset, split="ratio_60_20_20", eval=config,
            eval_batch_size=7,
        )  # fmt: skip
        loaded.setup()
        return loaded

    return make
