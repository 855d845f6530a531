"""Callbacks that end a training early, for the tests of interruption and resume."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

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


class Shake(pl.Callback):
    """Shakes the weights by all of a process's generators, as dropout and others would."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        shift = np.random.rand() + random.random()  # noqa: NPY002
        with torch.no_grad():
            for weight in pl_module.parameters():
                weight.add_(torch.rand_like(weight) * 1e-3 * shift)


class Poison(pl.Callback):
    """Spoils the weights after so many steps, between two that are logged."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(iter(pl_module.network.parameters())).fill_(float("nan"))


class Stall(pl.Callback):
    """A step that takes ten minutes, whatever comes."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == 2:
            time.sleep(600)


class Hold(pl.Callback):
    """Waits in one step until a signal has come, or the run's file ``held`` is removed.

    So it is there that something happens, however fast the machine is.
    """

    def __init__(self, step=12):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step != self.step:
            return
        held, until = Path(trainer.default_root_dir, "held"), time.monotonic() + 600
        held.touch()
        (stopping,) = (one for one in trainer.callbacks if isinstance(one, SignalHandler))
        while held.exists() and stopping.asked is None and time.monotonic() < until:
            time.sleep(0.01)


class Slow(pl.Callback):
    """Takes its time over every step, so that a signal can come between any two."""

    def on_train_batch_end(self, *args):
        time.sleep(0.02)


class Trouble(pl.Callback):
    """Does something to the surroundings after the second of six steps."""

    act = staticmethod(lambda: None)  # what; a test sets it

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            type(self).act()
