"""What a result depends on: command, code, packages and hardware."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.text import bare_key

log = logging.getLogger(__name__)

PATCH = "changes.patch"
PACKAGES = (
    "siamese-oneshot", "torch", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf",
    "numpy", "scipy", "pillow", "wandb",
)  # fmt: skip
_NOT_LEARNED = (
    "seed", "resume", "test", "trust", "sweep", "hydra", "logger", "data.root", "data.download",
    "data.num_workers", "trainer.log_every_n_steps", "callbacks.validation_plots",
    "callbacks.last_checkpoint", "callbacks.progress", "callbacks.lr_monitor",
    "callbacks.throughput",
)  # fmt: skip
_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("siamese_oneshot", "conf")  # a new file in these folders takes effect before git knows it
_MAX_PATCH_BYTES = 10_000_000
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GIT_ERRORS = (OSError, subprocess.SubprocessError)


def environment(module: str = "train", gpus: int | None = None) -> dict[str, Any]:
    """Command of an entry point, packages, commit, and hardware with ``gpus`` (None: all)."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "unknown"
    return {
        "command": shlex.join(["python", "-m", f"siamese_oneshot.{module}", *sys.argv[1:]]),
        "python": platform.python_version(),
        "packages": packages,
        "commit": commit(),
        "hardware": _hardware(gpus),
    }


def machine() -> dict[str, Any]:
    """What the last bit of a result depends on: system, threads and arithmetic libraries."""
    import torch

    facts: dict[str, Any] = {
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "variables": {name: os.environ[name] for name in _THREADS if name in os.environ},
    }
    if torch.cuda.is_available():
        facts["cuda"] = torch.version.cuda
        facts["cudnn"] = torch.backends.cudnn.version()
        facts["gpus"] = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return facts


def of_training(overrides: Sequence[str]) -> list[str]:
    """The overrides that change what is learned: not the seed, data folders or logging.

    Of several for one key the last one counts.
    """
    by_key = {bare_key(override): override for override in overrides}
    return [override for key, override in by_key.items() if is_of_training(key)]


def is_of_training(key: str) -> bool:
    """Whether a setting changes what is learned; ``hydra/launcher`` and the like do not."""
    path = key.replace("/", ".") + "."
    return not any(path.startswith(f"{prefix}.") for prefix in _NOT_LEARNED)


def commit() -> str | None:
    """The commit of the running code, with ``+`` if files differ or are new; None without git."""
    try:
        _check_tracked()
        head = _git("rev-parse", "HEAD").decode().strip()
        differs = _git("status", "--porcelain", "-uno") or _new_files()
    except _GIT_ERRORS as problem:
        if b"dubious ownership" in (getattr(problem, "stderr", None) or b""):
            log.warning(
                "the commit is not recorded, because git does not trust the owner of %s: "
                "git config --global --add safe.directory %s", _ROOT, _ROOT,
            )  # fmt: skip
        return None
    return head + ("+" if differs else "")


def keep_changes(folder: Path) -> Path | None:
    """Write what differs from the commit as ``changes.patch``; None if nothing does, or no git."""
    path = folder / PATCH
    try:
        _check_tracked()
        changes = _git("diff", "--binary", "HEAD")
        for name in _new_files():
            line = ("diff", "--binary", "--no-index", "--", "/dev/null", name)
            changes += _git(*line, codes=(0, 1))  # 1: the files differ
        if not changes or len(changes) > _MAX_PATCH_BYTES:
            return None
        with atomic_write(path) as file:
            file.write(changes)
    except _GIT_ERRORS:
        return None
    return path


def _check_tracked() -> None:
    """Fail if git does not track this file: an installed copy may lie inside another project."""
    _git("ls-files", "--error-unmatch", __file__)


def _new_files() -> list[str]:
    """Code files that git neither tracks nor ignores."""
    listed = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE)
    return [name for name in listed.decode(errors="surrogateescape").split("\0") if name]


def _git(*line: str, codes: tuple[int, ...] = (0,)) -> bytes:
    done = subprocess.run(["git", *line], cwd=_ROOT, capture_output=True, timeout=10, check=False)
    if done.returncode not in codes:
        raise subprocess.CalledProcessError(done.returncode, line, stderr=done.stderr)
    return done.stdout


def _hardware(gpus: int | None) -> str:
    import torch

    if gpus is None:
        gpus = torch.cuda.device_count()
    if gpus and torch.cuda.is_available():
        return f"{gpus} x {torch.cuda.get_device_name()}"
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        name = next(models)
    threads = torch.get_num_threads()
    return f"{threads} thread{'' if threads == 1 else 's'} ({name})"
