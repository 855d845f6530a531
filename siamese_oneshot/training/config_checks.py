"""The settings of a training that go to Lightning and PyTorch, refused before anything is begun."""

from __future__ import annotations

import os
from typing import Any

import torch
from omegaconf import DictConfig

from siamese_oneshot.data.splits import Split
from siamese_oneshot.loggers.wandb_run import MODES
from siamese_oneshot.module import ERROR
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import choose_accelerator, choose_precision

_TRAINER = (
    "accelerator", "devices", "num_nodes", "precision", "channels_last", "max_steps", "max_epochs",
    "log_every_n_steps", "gradient_clip_val",
)  # fmt: skip
_LOGGER = (
    "mode", "project", "entity", "group", "name", "job_type", "tags", "checkpoint", "init_timeout",
    "finish_timeout",
)  # fmt: skip
_FEW = 8  # processes that a CPU is never too small for, as in a rehearsal of a larger machine


def check_settings(cfg: DictConfig) -> None:
    """Refuse what no constructor of ours will see.

    Args:
        cfg: the composed configuration of ``conf/``.

    Raises:
        UserError: the first bad setting, with what it may be.
    """
    check.seed("seed", cfg.seed)
    check.boolean("test", cfg.test)
    check.text("name", cfg.name)
    trainer = cfg.trainer
    check.known_keys("trainer", trainer, _TRAINER)
    accelerator = choose_accelerator(trainer.accelerator)
    choose_precision(trainer.precision, accelerator)
    _check_devices(trainer.devices, accelerator)
    check.integer("trainer.num_nodes", trainer.num_nodes, 1)
    check.boolean("trainer.channels_last", trainer.channels_last)
    for name in ("max_steps", "max_epochs"):
        check.integer(f"trainer.{name}", trainer[name], -1)
    check.integer("trainer.log_every_n_steps", trainer.log_every_n_steps, 1)
    if trainer.max_steps < 0 and trainer.max_epochs < 0:
        raise UserError("set trainer.max_steps or trainer.max_epochs: training needs an end")
    if trainer.gradient_clip_val is not None:
        check.number("trainer.gradient_clip_val", trainer.gradient_clip_val, above=0)
    for name in cfg.callbacks:
        check.mapping(f"callbacks.{name}", cfg.callbacks[name])
    for name in ("augmentation", "alphabet_augmentation"):
        check.mapping(f"sampler.{name}", cfg.sampler.get(name))
    _check_choice(cfg.callbacks.get("checkpoint"))
    stopping = cfg.callbacks.get("early_stopping")
    if stopping is not None and "patience" in stopping:
        check.integer("callbacks.early_stopping.patience", stopping.patience, 0)
    check_logger(cfg.logger)


def check_split(parts: Split, callbacks: DictConfig) -> None:
    """Refuse to choose by alphabets that are trained on.

    Args:
        parts: who trains on what.
        callbacks: of ``conf/callbacks``.

    Raises:
        UserError: what to set instead.
    """
    if parts.blind and (callbacks.checkpoint or callbacks.early_stopping):
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so nothing may be chosen "
            "by them: set callbacks=last"
        )
    if parts.blind and callbacks.get("pruning"):
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so nothing may be pruned "
            "or searched by them: choose with another split, and train one setting with "
            "callbacks.pruning=null"
        )


def check_logger(logger: DictConfig) -> None:
    """Refuse what W&B would take for something else, or be left out for.

    Args:
        logger: of ``conf/logger``.

    Raises:
        UserError: the first bad setting, with what it may be.
    """
    check.known_keys("logger", logger, _LOGGER)
    check.choice("logger.mode", logger.mode, MODES)
    check.names("logger.tags", logger.tags)
    for name in ("project", "job_type", "entity", "group", "name"):
        if logger[name] is not None or name in ("project", "job_type"):
            check.text(f"logger.{name}", logger[name])
    for name in ("init_timeout", "finish_timeout"):
        check.number(f"logger.{name}", logger[name], 0)


def _check_choice(best: DictConfig | None) -> None:
    """One checkpoint is kept, the best by one-shot validation: by it all go that read a run."""
    if best is None:
        return
    check.choice("callbacks.checkpoint.monitor", best.get("monitor", ERROR), (ERROR,))
    check.choice("callbacks.checkpoint.mode", best.get("mode", "min"), ("min",))
    check.integer("callbacks.checkpoint.save_top_k", best.get("save_top_k", 1), 1, 1)


def _check_devices(devices: Any, accelerator: str) -> None:
    """A number of devices or, of GPUs, a list of theirs; more processes than there are would hang.

    Lightning starts a process for each.
    """
    if devices == "auto" or (devices == -1 and accelerator != "cpu"):  # Lightning's words for all
        return
    processors = max(_FEW, os.cpu_count() or 1)
    there = processors if accelerator == "cpu" else max(1, torch.cuda.device_count())
    if accelerator != "cpu" and not isinstance(devices, int | str | float | None):
        check.integers("trainer.devices", list(devices), 0, there - 1)
        return
    check.integer("trainer.devices", devices, 1, there)
