"""New characters for training, each made of two that one drawer drew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass  # not frozen: Lightning moves it to the device field by field
class Composite:
    """What is joined to each image of a batch of alphabets, and how.

    Attributes:
        other: int64 ``(alphabets, characters, drawers)``: the image that is joined; the image
            itself where nothing is.
        normal: float32 ``(alphabets, 2)``: the images are cut along the line through their middle
            that is at right angles to this (x, y), and the first one's part is where it points; 0
            lays one over the other.
    """

    other: Tensor
    normal: Tensor

    def share(self, alphabets: slice) -> Composite:
        """That of some of the alphabets."""
        return Composite(self.other[alphabets], self.normal[alphabets])


def composite(indices: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Composite]:
    """Make new alphabets of the first ``count``.

    Half of an alphabet's characters are first parts, the others second parts, and each new
    character is another pair of them, the same for every drawer. Parts recur, so that there are
    characters that differ in one half only, as in real alphabets. Heads or tails decides whether an
    alphabet's images are cut, along a line of a random direction, or laid over one another.

    Args:
        indices: int64 ``(alphabets, characters, drawers)``; at least 4 characters.
        count: how many alphabets, 0 … alphabets.
        generator: the source of chance.

    Returns:
        Positions of the first parts, shaped alike, and what is joined to them.
    """
    alphabets, characters, _ = indices.shape
    first, other = indices.clone(), indices.clone()
    normal = torch.zeros(alphabets, 2)
    for alphabet in range(count):
        order = torch.randperm(characters, generator=generator)
        heads, tails = order[: characters // 2], order[characters // 2 :]
        pairs = torch.randperm(len(heads) * len(tails), generator=generator)[:characters]
        first[alphabet] = indices[alphabet, heads[pairs // len(tails)]]
        other[alphabet] = indices[alphabet, tails[pairs % len(tails)]]
        turn, coin = torch.rand(2, generator=generator).tolist()
        if coin < 0.5:
            angle = turn * 2 * math.pi
            normal[alphabet] = torch.tensor([math.cos(angle), math.sin(angle)])
    return first, Composite(other, normal)


def compose_images(first: Tensor, other: Tensor, normal: Tensor) -> Tensor:
    """Join images.

    Args:
        first, other: ``(n, 1, side, side)``: 0 paper … 1 ink.
        normal: ``(n, 2)``: see ``Composite``.

    Returns:
        ``(n, 1, side, side)``.
    """
    side = first.shape[-1]
    at = (torch.arange(side, device=first.device) * 2 + 1) / side - 1  # as in ``apply_warp``
    x, y = normal[:, 0, None, None, None] * at, normal[:, 1, None, None, None] * at[:, None]
    ahead = x + y  # (n, 1, side, side)
    both = torch.maximum(first, other)
    return torch.where(ahead > 0, first, torch.where(ahead < 0, other, both))
