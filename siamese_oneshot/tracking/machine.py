"""What else the last bit of a result depends on: the machine's arithmetic, code that differs."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from siamese_oneshot.atomic import whole_file

PATCH = "changes.patch"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_LARGEST = 10_000_000  # bytes of a patch that is kept


def machine() -> dict[str, Any]:
    """System, threads, instructions and libraries of the arithmetic, in plain values."""
    import torch

    found: dict[str, Any] = {
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "variables": {name: os.environ[name] for name in _THREADS if name in os.environ},
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()
        found["gpus"] = [
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        ]
    return found


def keep_changes(folder: Path) -> Path | None:
    """Write what the code differs in from its commit as ``changes.patch``.

    Args:
        folder: of the run.

    Returns:
        The file; None where there is nothing that differs, or no repository.
    """
    path, code = folder / PATCH, Path(__file__).resolve().parents[2]
    try:
        # An installed copy may lie inside somebody else's repository, which does not track it.
        for command in (["ls-files", "--error-unmatch", __file__], ["diff", "--binary", "HEAD"]):
            done = subprocess.run(
                ["git", *command], cwd=code, capture_output=True, check=True, timeout=10
            )
        changes = done.stdout
        if not changes or len(changes) > _LARGEST:
            return None
        with whole_file(path) as file:
            file.write(changes)
    except (OSError, subprocess.SubprocessError):
        return None
    return path
