"""Signals: a training ends between two steps, with a checkpoint of the last one."""

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
from siamese_oneshot.utils.errors import Stopped

log = logging.getLogger(__name__)

_BY_HAND = 0.5  # seconds between two presses of Ctrl-C; some wrappers pass one on twice
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class StopTraining(Exception):
    """Ends Lightning's loops where all of the last step is done."""


class SignalHandler(Callback):
    """Notes signals while a run goes on, and ends its training at the next step.

    Ctrl-C, SIGTERM and SIGHUP end it; a second Ctrl-C ends the process at once. The signals by
    which Slurm announces that it takes the machine away, SIGUSR1 and SIGUSR2, end it and queue the
    job again. A SIGTERM that submitit has taken over makes a checkpoint, and training goes on.

    A context, within which signals are noted; one that comes when nothing is trained raises
    ``Stopped``. To be the first of a trainer's callbacks: what others do as a step begins is of
    that step, and not of the checkpoint before it.

    Attributes:
        asked: the signal that asked for the end; None so far.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._keep = self._training = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        """Note signals from here on."""
        for name in (*_ENDING, "SIGUSR1", "SIGUSR2"):
            signum = getattr(signal, name, None)
            if signum is None or threading.current_thread() is not threading.main_thread():
                continue
            before = signal.getsignal(signum)
            mine = name in _ENDING or callable(before) or slurm.job() is not None
            if mine and before not in (signal.SIG_IGN, None):
                self._before[signum] = before
        self._install()
        return self

    def __exit__(self, *problem: object) -> None:
        """Leave signals to whom they belonged."""
        for signum, before in self._before.items():
            signal.signal(signum, before)

    def _install(self) -> None:
        for signum in self._before:
            signal.signal(signum, self._note)

    @property
    def requeues(self) -> bool:
        """Whether the signal says that the job is to be queued again."""
        return self.asked is not None and signal.Signals(self.asked).name not in _ENDING

    def end(self) -> None:
        """End the process's work as the signal asks for.

        Raises:
            Stopped: with the signal's exit code.
            SystemExit: by submitit, which has queued the job again.
        """
        signum = self.asked or signal.SIGINT
        if self.requeues:
            before = self._before.get(signum)
            if callable(before):
                before(signum, None)
            else:
                slurm.requeue()
        raise Stopped(signum)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        name, before = signal.Signals(signum).name, self._before[signum]
        if signum == signal.SIGTERM and slurm.is_taken(before):
            before(signum, frame)
            self._keep = True
        elif self.asked is not None:
            by_hand = signum == signal.SIGINT
            if by_hand and time.monotonic() - self._since > _BY_HAND:
                print("stopped at once", file=sys.stderr, flush=True)
                os._exit(Stopped(signum).code)
        else:
            self.asked, self._since = int(signum), time.monotonic()
            if not self._training:
                raise Stopped(signum)
            again = "; Ctrl-C again to stop at once" if signum == signal.SIGINT else ""
            log.info("%s: stopping after this step%s", name, again)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back, of which Lightning has taken some."""
        self._training = True
        self._install()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """All of the last step is done, and the next one has not begun: the time to stop."""
        latest = [one for one in trainer.callbacks if isinstance(one, LastCheckpoint)]  # type: ignore[attr-defined]
        asked = self.asked is not None
        keep = asked or self._keep or any(one.is_due for one in latest)
        if trainer.world_size > 1:  # processes must agree, or they wait for each other
            asked, keep = any_of(trainer, asked, keep)
        if keep:
            self._keep = False
            for callback in latest:
                callback.keep(trainer)
        if asked:
            self._agree(trainer)
            raise StopTraining

    def _agree(self, trainer: pl.Trainer) -> None:
        """Have all processes stop for one reason: a signal may reach one of them a step late."""
        requeues = self.requeues
        if trainer.world_size > 1:
            (requeues,) = any_of(trainer, requeues)
        if requeues and not self.requeues:
            self.asked = int(signal.SIGUSR1)
        self.asked = self.asked or int(signal.SIGTERM)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """There is no next step any more."""
        self._training = False

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """There is no next step any more."""
        self._training = False
