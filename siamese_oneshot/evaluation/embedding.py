"""Embed images, each once, with whatever recognizes them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.scoring import Embeddings


class PairScorer(Protocol):
    """What a network and a baseline have in common."""

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(n, 1, size, size)``, 0 paper … 1 ink → ``(n, units)``."""

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings, broadcast → how alike ``(…)``."""


@dataclass(frozen=True)
class ComputeConfig:
    """Where and how images are embedded.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: as in ``conf/trainer``.
        chunk: images at once.
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
    scorer: PairScorer,
    dataset: CharacterDataset,
    indices: Tensor,
    machine: ComputeConfig,
    name: str,
) -> Embeddings:
    """Embed images, each once, with a progress bar.

    Returns:
        float32 embeddings on the machine's device.
    """
    vectors = []
    chunks = indices.split(machine.chunk)
    bar = tqdm(chunks, f"embedding for {name}", leave=False, mininterval=1.0, delay=1.0)
    for chunk in bar:
        images = dataset.pixels[chunk][:, None].to(machine.device).float() / 255
        with machine.autocast():
            vectors.append(scorer.embed(images).float())
    return Embeddings(indices.to(machine.device), torch.cat(vectors))
