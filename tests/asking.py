"""Runs an entry point that must refuse its settings, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.cli.hydra_app import Task
from siamese_oneshot.evaluate import evaluate_task
from siamese_oneshot.predict import predict_task
from siamese_oneshot.train import train_task
from siamese_oneshot.utils.errors import UserError

TASKS: dict[str, tuple[str, Callable[[DictConfig], Any]]] = {
    "train": ("config", train_task),
    "predict": ("predict", predict_task),
    "evaluate": ("evaluate", evaluate_task),
}
SMALL = {  # a training of two steps on generated alphabets, and an evaluation as short
    "train": (
        "data=synthetic", "logger=none", "data.synthetic.n_alphabets=3",
        "data.synthetic.n_characters=[5,5]",
        "data.synthetic.n_drawers=3", "data.eval.way=3", "data.eval.n_pairs=20",
        "data.eval.val_runs=2", "data.eval.test_runs=2", "data.eval.koch_runs=2",
        "data.eval.n_cross_episodes=20", "model.encoder.image_size=24",
        "model.encoder.filters=[2,2,2]",
        "model.encoder.embedding_dim=4", "trainer.max_steps=2", "trainer.precision=32-true",
        "callbacks.validation_plots=null", "sampler.steps_per_epoch=2",
    ),
    "evaluate": (
        "data=synthetic", "logger=none", "data.synthetic.n_alphabets=3",
        "data.synthetic.n_characters=[5,5]",
        "data.synthetic.n_drawers=3", "data.eval.way=3", "mnist=false", "plots=false",
    ),
    "predict": ("support=support", "query=query", "output_dir=out"),
}  # fmt: skip
EPISODES = ("sampler.n_alphabets=1", "sampler.n_way=3", "sampler.n_drawers=2")


def ask(command: str, line: Sequence[str], folder: Path) -> str:
    """Run a command in ``folder`` that must be refused; returns its message.

    Args:
        command: of ``TASKS``.
        line: settings beyond ``SMALL``. Groups come first.
        folder: of the run.

    Raises:
        AssertionError: it was not refused.
        Exception: it failed otherwise.
    """
    parsed = OverridesParser.create().parse_overrides(list(line))
    groups = tuple(text for text, o in zip(line, parsed, strict=True) if _chooses(o))
    cfg = _composed(command, groups).copy()
    OmegaConf.set_struct(cfg, False)
    for override in parsed:
        if not _chooses(override):
            OmegaConf.update(cfg, override.key_or_group, override.value(), merge=False)
    cfg.hydra.runtime.output_dir, cfg.hydra.job.num = str(folder), 0
    cfg.hydra.mode = RunMode.RUN
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        task = Task(TASKS[command][1])
        task(cfg)
    finally:
        HydraConfig.instance().cfg = before
    if isinstance(task.error, UserError):
        return str(task.error)
    if task.error is not None:
        raise task.error
    raise AssertionError(f"{command} {' '.join(line)} was not refused")


def _chooses(override: Any) -> bool:
    return override.key_or_group in ("loss", "optimizer", "model", "sampler", "logger", "callbacks")


@cache
def _composed(command: str, groups: tuple[str, ...]) -> DictConfig:
    own = () if command != "train" or "loss=bce_pairs" in groups else EPISODES
    chosen = {text.partition("=")[0] for text in groups}
    small = [text for text in SMALL[command] if text.partition("=")[0] not in chosen]
    if "model=dense" in groups:
        small = [text for text in small if "filters" not in text]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(TASKS[command][0], [*groups, *small, *own], return_hydra_config=True)
