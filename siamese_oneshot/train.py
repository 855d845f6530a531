"""Train, validate and test: ``python -m siamese_oneshot.train +experiment=paper``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.sweeping.grid import GridSweeper
from siamese_oneshot.sweeping.search import SearchSweeper

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train_task(cfg: DictConfig) -> float:
    """Run one job; returns the validation one-shot accuracy of the kept checkpoint."""
    from siamese_oneshot.training.job import train  # here, so that --help need not load PyTorch

    return train(cfg)


def main() -> None:
    """Entry point."""
    run_hydra(train_task, sweepers=(GridSweeper, SearchSweeper))


if __name__ == "__main__":
    main()
