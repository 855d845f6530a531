"""The main job: one run of a configuration, logged to CSV and W&B."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger

from siamese_oneshot.errors import UserError
from siamese_oneshot.sweeping.folder import JOB_LOCK
from siamese_oneshot.tracking.wandb_run import is_first_process, wandb_run
from siamese_oneshot.training.quiet import quieten
from siamese_oneshot.training.run import Run
from siamese_oneshot.training.settings import check_settings

METRICS = {
    "val/one_shot_accuracy": "max",
    "val/one_shot_error": "min",
    "val/verification_accuracy": "max",
    "val/verification_auroc": "max",
    "train/loss": "min",
}


def train(cfg: DictConfig) -> float:
    """Train, validate and test one network as configured.

    Args:
        cfg: the composed configuration of ``conf/``.

    Returns:
        The one-shot accuracy on validation trials, 0 … 1, of the checkpoint that is kept.

    Raises:
        UserError: whatever a user can mend.
        KeyboardInterrupt: after Ctrl-C, when what there is has been written down.
    """
    quieten()
    check_settings(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    with _alone_in(folder):
        return _train(cfg, folder)


def _train(cfg: DictConfig, folder: Path) -> float:
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    torch.manual_seed(cfg.seed)
    run = Run(cfg, folder)
    hydra = HydraConfig.get()
    sweep = Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None
    with wandb_run(
        folder,
        plain,
        project=cfg.logger.project,
        entity=cfg.logger.entity,
        group=cfg.logger.group or sweep,
        name=cfg.logger.name or f"{cfg.name} {folder.name if sweep else f'seed {cfg.seed}'}",
        tags=list(cfg.logger.tags) or [cfg.name],
        job_type=cfg.logger.job_type,
        mode=cfg.logger.mode,
        metrics=METRICS,
    ) as wandb_logger:
        run.loggers = [CSVLogger(folder, name="csv")]
        if wandb_logger is not None:
            run.loggers.append(wandb_logger)
        return run.go()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the run's folder against a second process that would train in it."""
    if not is_first_process():
        yield
        return
    lock = FileLock(folder / JOB_LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process is training in {folder}: wait for it, or stop it, then resume"
        ) from None
    try:
        yield
    finally:
        lock.release()
