"""Whether W&B is online, offline or left out: decided without a prompt and without a network."""

from __future__ import annotations

import logging
import os
from typing import Any

from siamese_oneshot.utils.errors import UserError

log = logging.getLogger(__name__)

MODES = ("auto", "online", "offline", "disabled")


def is_first_process() -> bool:
    """Whether this is the one that writes, where one training runs in several processes."""
    of = os.environ.get
    rank = of("RANK") or (of("SLURM_PROCID") if is_slurm_task() else None)
    return rank == "0" if rank else (of("LOCAL_RANK") or "0") == (of("NODE_RANK") or "0") == "0"


def is_slurm_task() -> bool:
    """Whether Slurm has started this process as one of a job's, by srun, as Lightning sees it.

    In an interactive shell, and in a batch script that calls no srun, Slurm's variables are those
    of the shell, and Lightning starts the processes.
    """
    return "SLURM_NTASKS" in os.environ and not in_slurm_shell()


def in_slurm_shell() -> bool:
    """Whether Slurm's job is an interactive shell, by the names that Lightning knows them by."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")


def choose_mode(mode: str) -> str:
    """Resolve ``auto``.

    Raises:
        UserError: an unknown mode.
    """
    if mode not in MODES:
        raise UserError(f"logger.mode={mode} is unknown; there are {', '.join(MODES)}")
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "")
    if wish:
        return {"dryrun": "offline", "run": "online"}.get(wish, wish)
    return "online" if has_login() else "offline"


def has_login(**settings: Any) -> bool:
    """Whether a key is at hand: in the environment, netrc or W&B's settings; for these settings."""
    try:
        import wandb

        # Unless silent, login asks the server whose key it is, to print the name.
        wandb.setup(wandb.Settings(silent=True, **settings))
        return bool(wandb.login(prompt=False, verify=False))
    except Exception as problem:  # a damaged key or settings file is no reason not to train
        log.warning("the W&B login cannot be used: %s", problem)
        return False
