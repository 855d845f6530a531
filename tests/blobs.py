"""Images that are blobs: enough to sample from, quick to make."""

from __future__ import annotations

import torch

from siamese_oneshot.data.dataset import CharacterDataset

CHARACTERS = (6, 5, 8, 7)  # of each alphabet
DRAWERS = 6
SIDE = 16


def make_dataset(
    characters: tuple[int, ...] = CHARACTERS,
    drawers: int = DRAWERS,
    side: int = SIDE,
    seed: int = 0,
) -> CharacterDataset:
    """Blobs: a class has a pattern of its own, a drawer changes one pixel in eight."""
    rng = torch.Generator().manual_seed(seed)
    classes = sum(characters)
    pattern = torch.rand(classes, 1, side, side, generator=rng) < 0.3
    noise = torch.rand(classes, drawers, side, side, generator=rng) < 0.125
    pixels = (pattern ^ noise).flatten(0, 1).to(torch.uint8) * 255
    owners = torch.repeat_interleave(torch.arange(len(characters)), torch.tensor(characters))
    names = tuple(f"Alphabet{chr(65 + k)}" for k in range(len(characters)))
    class_names = tuple(
        f"{names[a]}/character{c + 1:02d}" for a, n in enumerate(characters) for c in range(n)
    )
    return CharacterDataset(
        pixels=pixels,
        classes=torch.repeat_interleave(torch.arange(classes), drawers),
        drawers=torch.arange(drawers).repeat(classes),
        class_names=class_names,
        alphabet_names=names,
        class_alphabets=owners,
        source="synthetic",
    )
