"""Start and end of the processes of a training."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig

from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils import slurm
from siamese_oneshot.utils.errors import Stopped, UserError
from siamese_oneshot.utils.text import bare_key, quoted

log = logging.getLogger(__name__)


def number_of(devices: int | str | Sequence[int], accelerator: str) -> int:
    """Number of processes on one machine, of Lightning's ``devices``; "all" CPUs are one."""
    if isinstance(devices, str) and devices.lstrip("-").isdecimal():
        devices = int(devices)
    if devices in ("auto", -1):
        return max(1, torch.cuda.device_count()) if accelerator in ("gpu", "cuda") else 1
    return devices if isinstance(devices, int) else len(devices)


def launched_from_outside() -> bool:
    """Whether torchrun or Slurm started this process as one of several."""
    return slurm.is_task() or any(name in os.environ for name in ("RANK", "LOCAL_RANK"))


def check_started(devices: int, nodes: int, overrides: Sequence[str]) -> None:
    """Refuse processes of torchrun or srun that would wait for each other forever.

    Args:
        devices: Number of processes on each machine.
        nodes: Number of machines.
        overrides: Overrides of Hydra's own settings on the command line.

    Raises:
        UserError: With what to start or set instead.
    """
    wanted, started = devices * nodes, None
    if "RANK" in os.environ:
        started = int(os.environ.get("WORLD_SIZE", 1))
    elif slurm.is_task() and (wanted > 1 or slurm.tasks_of_step() > 1):
        started = int(os.environ["SLURM_NTASKS"])  # of a batch script they may be meant as cores
    if started is None:
        return
    if started != wanted:
        raise UserError(
            f"{started} processes were started by torchrun or Slurm, but trainer.devices times "
            f"trainer.num_nodes is {wanted}: start as many (srun --ntasks={wanted}), or set both"
        )
    if started > 1 and not any(bare_key(text) == "hydra.run.dir" for text in overrides):
        raise UserError(
            f"{started} processes were started by torchrun or Slurm, and each would name the run's "
            "folder after its own clock: set hydra.run.dir=outputs/<name> for all of them"
        )


def train_apart(folder: Path, overrides: Sequence[str] = ()) -> float:
    """Run a job of a sweep as a separate command, with the overrides that Hydra has recorded.

    Lightning starts further processes from the command line of the first one and changes its
    environment. Both would affect the next job of the sweep.

    Args:
        folder: The job's folder.
        overrides: Overrides of Hydra's own settings; the job uses those of the pruner.

    Returns:
        Validation one-shot accuracy, 0 … 1.

    Raises:
        UserError: If the command failed.
        KeyboardInterrupt: After Ctrl-C, which the terminal sends to the command, too, or another
            signal, which is passed on to it.
    """
    keys = ("hydra.sweeper.pruner", "hydra/sweeper/pruner")
    pruner = [text for text in overrides if bare_key(text).startswith(keys)]
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    conf = [f"--config-dir={one.path}" for one in sources if one.provider == "command-line"]
    line = [sys.executable, "-m", "siamese_oneshot.train", *conf]
    line += [f"resume={quoted(folder)}", "trust=true", *pruner]  # of this command's own settings
    log.info("started: %s", shlex.join(line[1:]))
    with subprocess.Popen(line) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt as stop:
            # The terminal sends Ctrl-C to the command, too. Other signals reach only this process.
            if isinstance(stop, Stopped) and stop.args[0] != signal.SIGINT:
                process.send_signal(stop.args[0])
            process.wait()
            raise
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"the job's processes ended with exit code {code}: see {folder}/train.log")
    accuracy = read_result(folder).val_accuracy
    return float("nan") if accuracy is None else accuracy


def end_others(launcher: Any, seconds: float = 10.0) -> None:
    """At the end of the first process, end those that Lightning's launcher started as ``procs``.

    One that waits in NCCL for a failed one would keep its GPU for half an hour; it is killed after
    so many seconds.
    """
    others = list(launcher.procs)
    launcher.procs.clear()  # otherwise Lightning's observer kills this process, too
    deadline = time.monotonic() + seconds
    for process in others:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def quieten() -> None:
    """Silence messages of Lightning that do not apply here."""
    logging.raiseExceptions = False  # no stack trace for each line of a log on a full disk
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*could not find the monitored key.*",  # a training may end within its first epoch
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.*",
        ".*The number of training batches.*",
        ".*sync_dist=True.*",  # every process evaluates the same embeddings, see `gathered`
        ".*checkpoint that ended before the epoch ended.*",  # batches are counted over epochs
        ".*You're using the WeightAveraging callback, but loading a checkpoint outside.*",
    ):
        warnings.filterwarnings("ignore", message=message)
