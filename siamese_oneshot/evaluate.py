"""Every protocol for networks and baselines: ``python -m siamese_oneshot.evaluate pretrained``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from siamese_oneshot.cli import import_torchmetrics, loads_torch, run_hydra
from siamese_oneshot.utils.imports import stand_in

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate_task(cfg: DictConfig) -> None:
    """Evaluate the networks and baselines of ``cfg.models``."""
    loads_torch()
    import_torchmetrics()
    # Lightning only defines what would be compiled, which no evaluation is: two seconds.
    compiler = {
        "OptimizedModule": type("OptimizedModule", (), {}),
        "disable": lambda f, *_, **__: f,
    }
    # ImportError: of a version that needs more of it, which is imported as usual.
    with suppress(ImportError), stand_in("torch._dynamo", **compiler):
        import pytorch_lightning  # noqa: F401
    from siamese_oneshot.comparison.runner import evaluate  # PyTorch is loaded here

    evaluate(cfg)


def main() -> None:
    """Entry point: names, folders and files may be given alone or as ``models=…``."""
    run_hydra(evaluate_task, "evaluate", paths=["models", "output_dir", "mnist"], words="models")


if __name__ == "__main__":
    main()
