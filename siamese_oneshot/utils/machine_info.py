"""What else the last bit of a result depends on: the machine's arithmetic."""

from __future__ import annotations

import os
import platform
from typing import Any

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


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
