"""As much of Slurm and of submitit as a training has to know."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from typing import Any

from siamese_oneshot.loggers.wandb_mode import in_slurm_shell

log = logging.getLogger(__name__)


def job() -> str | None:
    """The job that this process is part of; None outside of Slurm and in an interactive one."""
    environment = os.environ
    number = environment.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in environment and "SLURM_ARRAY_TASK_ID" in environment:
        number = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return None if in_slurm_shell() or not re.fullmatch(r"\d+(_\d+)?", number or "") else number


def is_restarted() -> bool:
    """Whether Slurm runs this job again, because it was requeued or its machine had failed."""
    return job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def requeue() -> bool:
    """Queue this job again; whether that worked."""
    number = job()
    if number is None or os.environ.get("SLURM_PROCID", "0") != "0":
        return False
    try:
        subprocess.run(
            ["scontrol", "requeue", number], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as problem:
        told = getattr(problem, "stderr", None) or problem
        log.warning("job %s could not be queued again: %s", number, str(told).strip())
        return False
    log.info("job %s is queued again", number)
    return True


def is_taken(handler: Any) -> bool:
    """Whether a handler of signals is submitit's."""
    module = getattr(handler, "__module__", None) or ""
    return callable(handler) and module.partition(".")[0] == "submitit"
