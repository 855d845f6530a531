"""The main job: one run of a configuration, logged to CSV and W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import CSVLogger

from siamese_oneshot.tracking.wandb_run import wandb_run
from siamese_oneshot.training.quiet import quieten
from siamese_oneshot.training.run import Run

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
    folder = Path(HydraConfig.get().runtime.output_dir)
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    torch.manual_seed(cfg.seed)
    run = Run(cfg, folder)
    with wandb_run(
        folder,
        plain,
        project=cfg.logger.project,
        entity=cfg.logger.entity,
        group=cfg.logger.group,
        name=cfg.logger.name or f"{cfg.name} seed {cfg.seed}",
        tags=list(cfg.logger.tags) or [cfg.name],
        job_type=cfg.logger.job_type,
        mode=cfg.logger.mode,
        metrics=METRICS,
    ) as wandb_logger:
        run.loggers = [CSVLogger(folder, name="csv")]
        if wandb_logger is not None:
            run.loggers.append(wandb_logger)
        return run.go()
