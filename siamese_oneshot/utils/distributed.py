"""One training in several processes, one for each device; and which of its steps are logged."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

from siamese_oneshot.utils import slurm

if TYPE_CHECKING:  # importing this file loads neither torch nor Lightning
    import pytorch_lightning as pl
    from torch import Tensor


def is_first_process() -> bool:
    """Whether this process has global rank 0, the one that writes files."""
    get = os.environ.get
    rank = get("RANK") or (get("SLURM_PROCID") if slurm.is_task() else None)
    return rank == "0" if rank else (get("LOCAL_RANK") or "0") == (get("NODE_RANK") or "0") == "0"


def in_joblib_worker() -> bool:
    """Whether this process is a worker of joblib, which runs a job of a sweep."""
    return multiprocessing.current_process().name.startswith("Loky")


def gathered(indices: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Gather the embeddings of all processes.

    Args:
        indices: int64 ``(m,)``, those of this process.
        vectors: ``(m, embedding_dim)``.

    Returns:
        Both for all processes, sorted by index and equal in each process. In a single process the
        arguments are returned unchanged.
    """
    import torch
    from torchmetrics.utilities.distributed import gather_all_tensors

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return indices, vectors
    all_indices = torch.cat(gather_all_tensors(indices))
    order = all_indices.argsort()
    return all_indices[order], torch.cat(gather_all_tensors(vectors))[order]


def any_of(trainer: pl.Trainer, *flags: bool) -> list[bool]:
    """For each flag: whether it is set in any process. All flags travel in one exchange."""
    import torch

    local = torch.tensor(flags, dtype=torch.int32, device=trainer.strategy.root_device)
    return [bool(flag) for flag in trainer.strategy.reduce(local, reduce_op="max").tolist()]


def least(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """The minimum of a scalar over all processes."""
    return trainer.strategy.reduce(value.clone(), reduce_op="min")


def is_logged(trainer: pl.Trainer, step: int) -> bool:
    """Whether metrics are logged when ``step`` steps are done: at the last one, too.

    There Lightning would repeat the values that were logged before, since the trainer stops.
    """
    return step % trainer.log_every_n_steps == 0 or step == trainer.max_steps  # type: ignore[attr-defined]
