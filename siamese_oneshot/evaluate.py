"""Every protocol for networks and baselines: ``python -m siamese_oneshot.evaluate pretrained``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import loading_torch, run_hydra
from siamese_oneshot.utils.imports import without_compiler

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate_task(cfg: DictConfig) -> None:
    """Evaluate the networks and baselines of ``cfg.models``."""
    with without_compiler():
        with loading_torch():
            from siamese_oneshot.comparison.runner import evaluate
        evaluate(cfg)


def main() -> None:
    """Entry point: names, folders and files may be given alone or as ``models=…``."""
    run_hydra(evaluate_task, "evaluate", paths=["models", "output_dir", "mnist"], words="models")


if __name__ == "__main__":
    main()
