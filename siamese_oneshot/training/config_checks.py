"""Checks of a training's configuration that no constructor makes, before anything is written."""

from __future__ import annotations

import os
from typing import Any

import torch
from omegaconf import DictConfig

from siamese_oneshot.data.splits import Split
from siamese_oneshot.loggers import check_loggers
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import choose_accelerator, choose_precision

_MIN_CPU_PROCESSES = 8  # any CPU may run as many, to rehearse a larger machine


def check_settings(cfg: DictConfig) -> None:
    """Check the settings that no constructor checks.

    Args:
        cfg: The composed configuration.

    Raises:
        UserError: With the first bad setting and what it may be.
    """
    check.seed("seed", cfg.seed)
    check.boolean("test", cfg.test)
    check.boolean("channels_last", cfg.channels_last)
    check.text("name", cfg.name)
    trainer = cfg.trainer
    accelerator = choose_accelerator(trainer.accelerator)
    choose_precision(trainer.precision, accelerator)
    _check_devices(trainer.devices, accelerator)
    check.integer("trainer.num_nodes", trainer.num_nodes, 1)
    for name in ("max_steps", "max_epochs"):
        check.integer(f"trainer.{name}", trainer[name], -1)
    check.integer("trainer.log_every_n_steps", trainer.log_every_n_steps, 1)
    if trainer.max_steps < 0 and trainer.max_epochs < 0 and not trainer.get("max_time"):
        raise UserError("Training needs an end: set trainer.max_steps or trainer.max_epochs")
    if trainer.gradient_clip_val is not None:
        check.number("trainer.gradient_clip_val", trainer.gradient_clip_val, above=0)
    for name in cfg.callbacks:
        check.mapping(f"callbacks.{name}", cfg.callbacks[name])
    for name in ("augmentation", "alphabet_augmentation"):
        check.mapping(f"sampler.{name}", cfg.sampler.get(name))
    stopping = cfg.callbacks.get("early_stopping")
    if stopping is not None and "patience" in stopping:
        check.integer("callbacks.early_stopping.patience", stopping.patience, 0)
    check_loggers(cfg.get("logger"))


def check_split(parts: Split, callbacks: DictConfig) -> None:
    """Refuse model selection on alphabets that are trained on.

    Args:
        parts: The split.
        callbacks: ``cfg.callbacks``.

    Raises:
        UserError: With what to set instead.
    """
    if not parts.trains_on_validation:
        return
    if callbacks.checkpoint or callbacks.early_stopping:
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so no checkpoint can be "
            "selected on them: set callbacks=last"
        )
    if callbacks.get("pruning"):
        raise UserError(
            f"data.split={parts.name} trains on its validation alphabets, so nothing can be "
            "searched or pruned on them: search with another split, then train one setting with "
            "callbacks.pruning=null"
        )


def _check_devices(devices: Any, accelerator: str) -> None:
    """Check the number of devices: Lightning would start a process for each and hang."""
    if devices == "auto" or (devices == -1 and accelerator != "cpu"):  # all devices
        return
    processors = max(_MIN_CPU_PROCESSES, os.cpu_count() or 1)
    available = processors if accelerator == "cpu" else max(1, torch.cuda.device_count())
    if accelerator != "cpu" and not isinstance(devices, int | str | float | None):
        check.integers("trainer.devices", list(devices), 0, available - 1)
        return
    check.integer("trainer.devices", devices, 1, available)
