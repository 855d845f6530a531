"""Signals: a training ends between two steps, with a checkpoint of the last step."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from siamese_oneshot.callbacks.checkpoints import LastCheckpoint
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.distributed import any_of
from siamese_oneshot.utils.errors import Stopped, raise_stopped

log = logging.getLogger(__name__)

_DOUBLE = 0.5  # seconds; some wrappers pass a single Ctrl-C on twice
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_REQUEUING = ("SIGUSR1", "SIGUSR2")


class StopTraining(Exception):
    """Leaves Lightning's loops between two steps."""


class SignalHandler(Callback):
    """Ends a training between two steps when a signal arrives.

    Ctrl-C, SIGTERM and SIGHUP end the run; a second Ctrl-C ends the process at once. SIGUSR1 and
    SIGUSR2, with which Slurm announces a preemption, end the run and requeue the job. If submitit
    handles SIGTERM, that signal saves a checkpoint and training continues.

    Use it as a context manager around the run. Outside of training, a signal raises `Stopped`. It
    must be the trainer's first callback, because what other callbacks do at the start of a step
    belongs to that step and not to the checkpoint before it.

    Attributes:
        received: The signal that ends the run; None before it.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._save_requested = self._is_training = False
        self._time = 0.0  # when the signal arrived
        self._previous: dict[int, Any] = {}  # the handlers that were installed before

    def __enter__(self) -> SignalHandler:
        """Install the handlers."""
        for name in (*_ENDING, *_REQUEUING):
            signum = getattr(signal, name, None)
            if signum is None or threading.current_thread() is not threading.main_thread():
                continue
            handler = signal.getsignal(signum)
            handled = name in _ENDING or callable(handler) or slurm.job() is not None
            if handled and handler not in (signal.SIG_IGN, None):
                self._previous[signum] = handler
        self._install()
        return self

    def __exit__(self, *problem: object) -> None:
        """Restore the previous handlers."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _install(self) -> None:
        for signum in self._previous:
            signal.signal(signum, self._handle)

    @property
    def requeues(self) -> bool:
        """Whether the job is to be queued again."""
        return self.received is not None and signal.Signals(self.received).name in _REQUEUING

    def end(self) -> None:
        """End the process as the signal demands.

        Raises:
            Stopped: With the signal's exit code.
            SystemExit: By submitit, after it has requeued the job.
        """
        signum = self.received or signal.SIGINT
        if self.requeues:
            handler = self._previous.get(signum)
            if callable(handler):
                handler(signum, None)
            else:
                slurm.requeue()
        raise Stopped(signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        handler = self._previous[signum]
        if signum == signal.SIGTERM and slurm.is_taken(handler):
            handler(signum, frame)
            self._save_requested = True
        elif self.received is not None:
            if signum == signal.SIGINT and time.monotonic() - self._time > _DOUBLE:
                print("stopped at once", file=sys.stderr, flush=True)
                os._exit(Stopped(signum).code)
        else:
            self.received, self._time = int(signum), time.monotonic()
            if not self._is_training:
                raise_stopped(signum, frame)
                self.received = None  # it will be sent again
                return
            again = "; press Ctrl-C again to stop at once" if signum == signal.SIGINT else ""
            log.info("%s: stopping after this step%s", signal.Signals(signum).name, again)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers again, because Lightning has replaced some."""
        self._is_training = True
        self._install()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop between two steps: the last one is complete, the next has not begun."""
        if batch_idx % trainer.accumulate_grad_batches:  # a checkpoint has no gradients
            return
        checkpoints = [c for c in trainer.callbacks if isinstance(c, LastCheckpoint)]  # type: ignore[attr-defined]
        stop = self.received is not None
        save = stop or self._save_requested or any(c.is_due for c in checkpoints)
        if trainer.world_size > 1:  # processes that disagree would wait for each other
            stop, save = any_of(trainer, stop, save)
        if save:
            self._save_requested = False
            for checkpoint in checkpoints:
                checkpoint.save(trainer)
        if stop:
            self._agree(trainer)
            raise StopTraining

    def _agree(self, trainer: pl.Trainer) -> None:
        """Agree on one reason in all processes; a signal may reach one of them a step late."""
        requeues = self.requeues
        if trainer.world_size > 1:
            (requeues,) = any_of(trainer, requeues)
        if requeues and not self.requeues:
            self.received = int(signal.SIGUSR1)
        self.received = self.received or int(signal.SIGTERM)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """From here on, and after an error, signals raise `Stopped`."""
        self._is_training = False

    on_exception = on_train_end
