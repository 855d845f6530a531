"""Every protocol for networks and baselines: ``python -m siamese_oneshot.evaluate pretrained``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.paths import with_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate_task(cfg: DictConfig) -> None:
    """Evaluate the networks and baselines of ``cfg.models``."""
    from siamese_oneshot.evaluation.runner import (
        evaluate,  # here, so that --help need not load torch
    )

    evaluate(cfg)


def main() -> None:
    """Entry point: names, folders and files may stand alone or as ``models=…``."""
    line = with_paths(sys.argv[1:], ("models", "output_dir", "mnist"), words="models")
    run_hydra(evaluate_task, "evaluate", line)


if __name__ == "__main__":
    main()
