"""What the log says before a training begins."""

from __future__ import annotations

import logging
from pathlib import Path

from siamese_oneshot.data.datamodule import OneShotDataModule
from siamese_oneshot.models.encoder_base import Encoder
from siamese_oneshot.module import SiameseModule

log = logging.getLogger(__name__)


def announce(
    experiment: str,
    seed: int,
    module: SiameseModule,
    data: OneShotDataModule,
    hardware: tuple[str, str],
    folder: Path,
) -> None:
    """Say what is about to be trained, on what, with what.

    Args:
        experiment, seed: of the configuration.
        module, data: of the run, loaded.
        hardware: accelerator and precision.
        folder: of the run.
    """
    parameters = sum(weight.numel() for weight in module.parameters())
    log.info(
        "%s: %s parameters, %s images of %d characters to train on (split %s), seed %d",
        experiment,
        f"{parameters:,}",
        f"{len(data.parts.train):,}",
        len(data.train_index),
        data.parts.name,
        seed,
    )
    how = convolutions(module, data, hardware == ("cpu", "32-true"))
    log.info("on %s in %s%s; results go to %s", *hardware, how, folder)


def convolutions(module: SiameseModule, data: OneShotDataModule, plain: bool) -> str:
    """How they are computed in training; nothing where there are none."""
    encoder = module.network.encoder
    if not isinstance(encoder, Encoder):
        return ""
    layers = encoder.by_fourier(data.stream[0].indices.numel(), plain)
    return f", {', '.join(layers)} by Fourier transform" if layers else ", convolutions direct"
