"""One training in several processes, one for each device."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from siamese_oneshot.loggers.wandb_mode import is_slurm_task
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.errors import Stopped, UserError
from siamese_oneshot.utils.text import bare_key, quoted

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


def gathered(indices: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """What all processes have embedded, the same in each.

    Args:
        indices: int64 ``(m,)``, this process's.
        vectors: ``(m, units)``.

    Returns:
        Both of all processes, by ascending indices; alone, what was given.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return indices, vectors
    all_indices = torch.cat(gather_all_tensors(indices))
    order = all_indices.argsort()
    return all_indices[order], torch.cat(gather_all_tensors(vectors))[order]


def any_of(trainer: pl.Trainer, *flags: bool) -> list[bool]:
    """Each flag: whether it is raised in any process; one exchange for all of them."""
    told = torch.tensor(flags, dtype=torch.int32, device=trainer.strategy.root_device)
    return [bool(one) for one in trainer.strategy.reduce(told, reduce_op="max").tolist()]


def least(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """The least that a scalar is in any process."""
    return trainer.strategy.reduce(value.clone(), reduce_op="min")


def end_others(launcher: Any, seconds: float = 10.0) -> None:
    """End the processes that Lightning has started, if they do not end by themselves.

    One that waits in NCCL for a process that has failed would keep its GPU for half an hour. For
    the very end of this process.

    Args:
        launcher: of the strategy, with ``procs``.
        seconds: to wait for them.
    """
    others = list(launcher.procs)
    launcher.procs.clear()  # else Lightning's observer kills this process, too
    until = time.monotonic() + seconds
    for process in others:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def check_started(devices: int, nodes: int, overrides: Sequence[str]) -> None:
    """Refuse processes of torchrun or srun that would not find together.

    Args:
        devices: of each machine.
        nodes: machines.
        overrides: of Hydra's own settings, as the command line has them.

    Raises:
        UserError: what to start, or to say, instead.
    """
    wanted, started = devices * nodes, None
    if "RANK" in os.environ:
        started = int(os.environ.get("WORLD_SIZE", 1))
    elif is_slurm_task() and wanted > 1:  # a script's tasks may be meant as cores
        started = int(os.environ["SLURM_NTASKS"])
    if started is None:
        return
    if started != wanted:
        raise UserError(
            f"{started} processes were started by torchrun or Slurm, but trainer.devices times "
            f"trainer.num_nodes is {wanted}: start as many (srun --ntasks={wanted}), or set both"
        )
    if started > 1 and not any(bare_key(one) == "hydra.run.dir" for one in overrides):
        raise UserError(
            f"{started} processes were started by torchrun or Slurm, each with a clock of its own: "
            "name the run's folder for all of them, hydra.run.dir=outputs/<name>"
        )


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
