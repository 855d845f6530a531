"""Train, validate and test: ``python -m siamese_oneshot.train +experiment=paper``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.paths import with_paths
from siamese_oneshot.sweeps.grid import GridSweeper
from siamese_oneshot.sweeps.optuna_search import SearchSweeper

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train_task(cfg: DictConfig) -> float:
    """Run one job; returns the validation one-shot accuracy of the kept checkpoint."""
    from siamese_oneshot.training.job import train  # here, so that --help need not load PyTorch

    return train(cfg)


def main() -> None:
    """Entry point: ``data.root`` may be typed without Hydra's quotes."""
    line = with_paths(sys.argv[1:], ("data.root",), sweeps=True)
    run_hydra(train_task, argv=line, sweepers=(GridSweeper, SearchSweeper))


if __name__ == "__main__":
    main()
