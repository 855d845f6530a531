"""Classify images: ``python -m siamese_oneshot.predict support=<folder> query=<images>``.

``pair=[a.png,b.png]`` says how probably two images show the same symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import loads_torch, run_hydra
from siamese_oneshot.utils.errors import ArgumentError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def predict_task(cfg: DictConfig) -> None:
    """Classify ``cfg.query`` with the classes of ``cfg.support``, or compare ``cfg.pair``."""
    loads_torch()
    from omegaconf import OmegaConf

    from siamese_oneshot.prediction.runner import compare, predict  # --help need not load torch

    if cfg.pair is not None:
        if {"support", "query"} & set(OmegaConf.missing_keys(cfg)) != {"support", "query"}:
            message = "give two images as pair, or support and query"
            raise ArgumentError("pair", list(cfg.pair), message=message)
        compare(cfg.pair, cfg.weights, cfg.trust)
    else:
        predict(**{str(name): cfg[name] for name in cfg if name not in ("hydra", "pair")})


def main() -> None:
    """Entry point."""
    run_hydra(predict_task, "predict", paths=["weights", "support", "query", "output_dir"])


if __name__ == "__main__":
    main()
