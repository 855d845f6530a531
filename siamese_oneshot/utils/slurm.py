"""Slurm and submitit, as far as a training needs to know them."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from typing import Any

log = logging.getLogger(__name__)


def job() -> str | None:
    """The id of this process's Slurm job; None outside of Slurm and in an interactive shell."""
    environment = os.environ
    number = environment.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in environment and "SLURM_ARRAY_TASK_ID" in environment:
        number = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return None if is_interactive() or not re.fullmatch(r"\d+(_\d+)?", number or "") else number


def is_interactive() -> bool:
    """Whether the Slurm job is an interactive shell, by the job names that Lightning checks."""
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")


def is_task() -> bool:
    """Whether srun started this process as one task of a job, by the rule that Lightning uses.

    In an interactive shell and in a batch script without srun, Slurm's variables describe the
    shell, and Lightning starts the processes.
    """
    return "SLURM_NTASKS" in os.environ and not is_interactive()


def tasks_of_step() -> int:
    """Number of processes that srun started as this one; 1 in a batch script without srun."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return int(os.environ["SLURM_NTASKS"])
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1") or "1")


def is_restarted() -> bool:
    """Whether Slurm runs this job again after a requeue or a node failure."""
    return job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def requeue() -> bool:
    """Requeue this job; whether that worked."""
    number = job()
    if number is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return False
    try:
        subprocess.run(
            ["scontrol", "requeue", number], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as problem:
        reason = getattr(problem, "stderr", None) or problem
        log.warning("job %s could not be requeued: %s", number, str(reason).strip())
        return False
    log.info("job %s is requeued", number)
    return True


def is_taken(handler: Any) -> bool:
    """Whether a signal handler belongs to submitit."""
    module = getattr(handler, "__module__", None) or ""
    return callable(handler) and module.partition(".")[0] == "submitit"
