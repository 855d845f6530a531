"""One training in several processes, one for each device."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from siamese_oneshot.cli.paths import quoted
from siamese_oneshot.errors import Stopped, UserError
from siamese_oneshot.sweeping.job import bare_key
from siamese_oneshot.tracking.result import read_result
from siamese_oneshot.tracking.wandb_mode import is_slurm_task

log = logging.getLogger(__name__)


def number_of(devices: int | str | Sequence[int], accelerator: str) -> int:
    """How many processes a training on these devices takes.

    Args:
        devices: Lightning's: a number, -1 or ``auto`` for all, or a list of them.
        accelerator: ``cpu``, ``gpu`` …; what is not a GPU has one device where all are asked for.
    """
    if isinstance(devices, str) and devices.lstrip("-").isdecimal():
        devices = int(devices)
    if devices in ("auto", -1):
        return max(1, torch.cuda.device_count()) if accelerator in ("gpu", "cuda") else 1
    return devices if isinstance(devices, int) else len(devices)


def launched_from_outside() -> bool:
    """Whether torchrun or Slurm has started this process beside others."""
    return is_slurm_task() or any(name in os.environ for name in ("RANK", "LOCAL_RANK"))


def gathered(positions: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """What all processes have embedded, the same in each.

    Args:
        positions: int64 ``(m,)``, this process's.
        vectors: ``(m, units)``.

    Returns:
        Both of all processes, by ascending positions; alone, what was given.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return positions, vectors
    all_positions = torch.cat(gather_all_tensors(positions))
    order = all_positions.argsort()
    return all_positions[order], torch.cat(gather_all_tensors(vectors))[order]


def train_apart(folder: Path, overrides: Sequence[str] = ()) -> float:
    """Run a job of a sweep, whose overrides Hydra has recorded, as a command of its own.

    A training in several processes starts them by its own command line, and leaves its environment
    changed: neither will do for the next job of a sweep.

    Args:
        folder: the job's.
        overrides: of Hydra's own settings, of which the job's overrides tell nothing; a pruner's
            acts in the job.

    Returns:
        The validation score.

    Raises:
        UserError: the command failed.
        KeyboardInterrupt: it was stopped by Ctrl-C.
        Stopped: this process was stopped by another signal, and has passed it on.
    """
    pruner = [one for one in overrides if bare_key(one).startswith("hydra.sweeper.pruner")]
    line = [sys.executable, "-m", "siamese_oneshot.train", f"resume={quoted(folder)}", *pruner]
    log.info("in processes of its own: %s", shlex.join(line[1:]))
    with subprocess.Popen(line) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt as stop:
            # The terminal sends Ctrl-C to the command, too; nobody else does so with a signal.
            if isinstance(stop, Stopped) and stop.args[0] != signal.SIGINT:
                process.send_signal(stop.args[0])
            process.wait()
            raise
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"the job's processes ended with exit code {code}: see {folder}/train.log")
    value = read_result(folder).validation
    return float("nan") if value is None else value
