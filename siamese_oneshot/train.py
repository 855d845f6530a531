"""Train, validate and test: ``python -m siamese_oneshot.train +experiment=paper``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import loading_torch, run_hydra
from siamese_oneshot.utils.imports import import_torchmetrics, without_compiler

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train_task(cfg: DictConfig) -> float:
    """Run one job; returns the validation one-shot accuracy of the kept checkpoint."""
    with without_compiler():
        with loading_torch():
            import_torchmetrics()
            from siamese_oneshot.training.command import train
        return train(cfg)


def main() -> None:
    """Entry point."""
    run_hydra(train_task, paths=["data.root", "init_from", "teachers"], sweeps=True)


if __name__ == "__main__":
    main()
