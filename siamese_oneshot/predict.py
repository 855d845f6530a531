"""Classify images: ``python -m siamese_oneshot.predict support=<folder> query=<images>``.

``pair=[a.png,b.png]`` says how probably two images show the same symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.cli import loading_torch, run_hydra
from siamese_oneshot.utils.errors import ArgumentError, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def predict_task(cfg: DictConfig) -> None:
    """Classify ``cfg.query`` with the classes of ``cfg.support``, or compare ``cfg.pair``."""
    check_given(cfg)
    with loading_torch():  # not for --help
        from siamese_oneshot.prediction.runner import compare, predict

    if cfg.pair is not None:
        compare(cfg.pair, cfg.weights, cfg.trust)
    else:
        predict(**{str(name): cfg[name] for name in cfg if name not in ("hydra", "pair")})


def check_given(cfg: DictConfig) -> None:
    """Refuse images that are not given, before PyTorch is loaded.

    Raises:
        UserError: If there are neither support and query nor a pair.
        ArgumentError: If there are both.
    """
    from omegaconf import OmegaConf

    missing = {"support", "query"} & set(OmegaConf.missing_keys(cfg))
    if cfg.pair is not None and len(missing) < 2:
        message = "give two images as pair, or support and query"
        raise ArgumentError("pair", list(cfg.pair), message=message)
    if cfg.pair is None and missing:
        raise UserError(
            f"{' and '.join(sorted(missing, reverse=True))} missing: give support=FOLDER, with "
            "class/image.png or class.png of each symbol, and query=IMAGE, or a folder of images; "
            "or pair=[a.png,b.png] to compare two images"
        )


def main() -> None:
    """Entry point."""
    run_hydra(predict_task, "predict", paths=["weights", "support", "query", "output_dir"])


if __name__ == "__main__":
    main()
