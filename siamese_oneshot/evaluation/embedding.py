"""Embed pictures, each once, with whatever recognises them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.scoring import Embeddings


class Recognises(Protocol):
    """What a network and a baseline have in common."""

    def embed(self, pictures: Tensor) -> Tensor:
        """Pictures ``(n, 1, size, size)``, 0 paper … 1 ink → ``(n, units)``."""

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""


@dataclass(frozen=True)
class Machine:
    """Where and how pictures are embedded.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: as in ``conf/trainer``.
        chunk: pictures at once.
    """

    device: str
    precision: str
    chunk: int = 256

    def autocast(self) -> AbstractContextManager[Any]:
        """The arithmetic of ``precision``."""
        kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        if self.precision not in kinds:
            return nullcontext()
        return torch.autocast(self.device, kinds[self.precision])


@torch.no_grad()
def embed(
    recognises: Recognises, drawings: Drawings, positions: Tensor, machine: Machine, name: str
) -> Embeddings:
    """Embed pictures, each once, with a progress bar.

    Returns:
        float32 embeddings on the machine's device.
    """
    vectors = []
    chunks = positions.split(machine.chunk)
    bar = tqdm(chunks, f"embedding for {name}", leave=False, mininterval=1.0, delay=1.0)
    for chunk in bar:
        pictures = drawings.pixels[chunk][:, None].to(machine.device).float() / 255
        with machine.autocast():
            vectors.append(recognises.embed(pictures).float())
    return Embeddings(positions.to(machine.device), torch.cat(vectors))
