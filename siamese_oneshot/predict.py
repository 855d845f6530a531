"""Recognize your own images: ``python -m siamese_oneshot.predict support=… query=…``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.paths import with_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig


def predict_task(cfg: DictConfig) -> None:
    """Rank the classes of ``cfg.support`` for the images of ``cfg.query``."""
    from siamese_oneshot.prediction.runner import (
        predict,  # here, so that --help need not load torch
    )

    predict(cfg)


def main() -> None:
    """Entry point: paths may be typed without Hydra's quotes."""
    paths = ("model", "support", "query", "output_dir")
    run_hydra(predict_task, "predict", with_paths(sys.argv[1:], paths))


if __name__ == "__main__":
    main()
