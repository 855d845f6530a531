"""Classify images: ``python -m siamese_oneshot.predict support=<folder> query=<images>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import loads_torch, run_hydra

if TYPE_CHECKING:
    from omegaconf import DictConfig


def predict_task(cfg: DictConfig) -> None:
    """Classify the images of ``cfg.query`` with the classes of ``cfg.support``."""
    loads_torch()
    from siamese_oneshot.prediction.runner import predict  # not above: --help need not load torch

    predict(**{str(name): cfg[name] for name in cfg if name != "hydra"})


def main() -> None:
    """Entry point."""
    run_hydra(predict_task, "predict", paths=["weights", "support", "query", "output_dir"])


if __name__ == "__main__":
    main()
