"""Tiny twins, trainers and their losses, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.data.tasks import EvalTasks
from siamese_oneshot.evaluation.scoring import Embeddings
from siamese_oneshot.models.conv_encoder import ConvEncoder
from siamese_oneshot.models.losses import PairBCELoss
from siamese_oneshot.models.optimizers import OptimizerSetup, adam
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.module import SiameseModule

CALLBACKS = Path(__file__).parents[2] / "conf" / "callbacks"
STEPS = 3  # an epoch
Data = Callable[..., OneShotDataModule]


def network(**options: Any) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], units=16, **options)
    return build_network(encoder, WeightedL1, "torch", 0)  # type: ignore[arg-type]


def module(
    loss: Any = None, make_optimizer: Callable[..., OptimizerSetup] | None = None, **options: Any
) -> SiameseModule:
    return SiameseModule(
        options.pop("network", None) or network(),
        loss or PairBCELoss(),
        make_optimizer or partial(adam, lr=3e-3),
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


def embedded(net: SiameseNetwork, made: OneShotDataModule, eval_tasks: EvalTasks) -> Embeddings:
    net.eval()
    with torch.no_grad():
        return Embeddings(eval_tasks.indices, net.embed(made.images(eval_tasks.indices)))


class Losses(pl.Callback):
    """Notes every step's loss."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.values.append(float(outputs["loss"]))


def configured(tmp_path: Path) -> list[pl.Callback]:
    """The checkpoints and early stopping of conf/callbacks, as the job makes them."""
    settings = OmegaConf.load(CALLBACKS / "default.yaml")
    settings.checkpoint.dirpath = settings.latest.dirpath = str(tmp_path)
    return [instantiate(settings[name]) for name in ("checkpoint", "early_stopping", "latest")]
