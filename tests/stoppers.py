"""Callbacks that end or disturb a training, for the tests of interruption and resume."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from siamese_oneshot.callbacks.signals import SignalHandler


class StopAfterOneEpoch(pl.Callback):
    """Ends the training after its first epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


class PressCtrlC(pl.Callback):
    """Interrupts the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


class PressCtrlCLate(pl.Callback):
    """Interrupts after three more epochs."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch >= 3:
            raise KeyboardInterrupt


class FailsToLoad(pl.Callback):
    """Cannot take over what a checkpoint knows."""

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        raise KeyError("no such thing")


class Shake(pl.Callback):
    """Adds noise from all global random generators to the weights, as dropout and others would."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        scale = np.random.rand() + random.random()  # noqa: NPY002
        with torch.no_grad():
            for weight in pl_module.parameters():
                weight.add_(torch.rand_like(weight) * 1e-3 * scale)


class Poison(pl.Callback):
    """Makes weights NaN after a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(iter(pl_module.network.parameters())).fill_(float("nan"))


class Stall(pl.Callback):
    """Makes the second step take ten minutes."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == 2:
            time.sleep(600)


class Hold(pl.Callback):
    """Waits in one step until a signal arrives or the file ``held`` of the run is removed."""

    def __init__(self, step=12):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step != self.step:
            return
        held, deadline = Path(trainer.default_root_dir, "held"), time.monotonic() + 600
        held.touch()
        (signals,) = (c for c in trainer.callbacks if isinstance(c, SignalHandler))
        while held.exists() and signals.received is None and time.monotonic() < deadline:
            time.sleep(0.01)


class Told(Logger):
    """Keeps the settings that it is told."""

    name, version = "told", 0
    settings: ClassVar[list[Any]] = []

    def __init__(self, **_):
        super().__init__()

    def log_hyperparams(self, params, *_, **__):
        self.settings.append(params)

    def log_metrics(self, metrics, step=None):
        pass


class Slow(pl.Callback):
    """Delays every step, so that a signal can arrive between any two."""

    def on_train_batch_end(self, *args):
        time.sleep(0.02)


class Trouble(pl.Callback):
    """Calls a function after the second step; a test sets it."""

    act = staticmethod(lambda: None)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            type(self).act()
