"""Callbacks that end a training early, for the tests of interruption and resume."""

from __future__ import annotations

import pytorch_lightning as pl


class StopAfterOneEpoch(pl.Callback):
    """Ends the training after its first epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


class PressCtrlC(pl.Callback):
    """Interrupts the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


class Trouble(pl.Callback):
    """Does something to the surroundings after the second of six steps."""

    act = staticmethod(lambda: None)  # what; a test sets it

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 2:
            type(self).act()
