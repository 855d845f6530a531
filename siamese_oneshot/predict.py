"""Recognize your own images: ``python -m siamese_oneshot.predict support=… query=…``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import run_hydra

if TYPE_CHECKING:
    from omegaconf import DictConfig


def predict_task(cfg: DictConfig) -> None:
    """Rank the classes of ``cfg.support`` for the images of ``cfg.query``."""
    from siamese_oneshot.prediction.runner import predict  # PyTorch is loaded here

    predict(cfg)


def main() -> None:
    """Entry point."""
    run_hydra(predict_task, "predict", paths=["model", "support", "query", "output_dir"])


if __name__ == "__main__":
    main()
