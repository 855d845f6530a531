"""New characters for training, each made of two that one drawer drew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass  # not frozen: Lightning moves it to the device field by field
class Splice:
    """What is joined to each picture of a batch of alphabets, and how.

    Attributes:
        other: int64 ``(alphabets, characters, drawers)``: the picture that is joined; the picture
            itself where nothing is.
        normal: float32 ``(alphabets, 2)``: the pictures are cut along the line through their middle
            that is at right angles to this (x, y), and the first one's part is where it points; 0
            lays one over the other.
    """

    other: Tensor
    normal: Tensor

    def share(self, alphabets: slice) -> Splice:
        """That of some of the alphabets."""
        return Splice(self.other[alphabets], self.normal[alphabets])


def splice(positions: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Splice]:
    """Make new alphabets of the first ``count``.

    Half of an alphabet's characters are first parts, the others second parts, and each new
    character is another pair of them, the same for every drawer. Parts recur, so that there are
    characters that differ in one half only, as in real alphabets. Heads or tails decides whether an
    alphabet's pictures are cut, along a line of a random direction, or laid over one another.

    Args:
        positions: int64 ``(alphabets, characters, drawers)``; at least 4 characters.
        count: how many alphabets, 0 … alphabets.
        generator: the source of chance.

    Returns:
        Positions of the first parts, shaped alike, and what is joined to them.
    """
    alphabets, characters, _ = positions.shape
    first, other = positions.clone(), positions.clone()
    normal = torch.zeros(alphabets, 2)
    for alphabet in range(count):
        order = torch.randperm(characters, generator=generator)
        heads, tails = order[: characters // 2], order[characters // 2 :]
        pairs = torch.randperm(len(heads) * len(tails), generator=generator)[:characters]
        first[alphabet] = positions[alphabet, heads[pairs // len(tails)]]
        other[alphabet] = positions[alphabet, tails[pairs % len(tails)]]
        turn, coin = torch.rand(2, generator=generator).tolist()
        if coin < 0.5:
            angle = turn * 2 * math.pi
            normal[alphabet] = torch.tensor([math.cos(angle), math.sin(angle)])
    return first, Splice(other, normal)


def spliced(first: Tensor, other: Tensor, normal: Tensor) -> Tensor:
    """Join pictures.

    Args:
        first, other: ``(n, 1, side, side)``: 0 paper … 1 ink.
        normal: ``(n, 2)``: see ``Splice``.

    Returns:
        ``(n, 1, side, side)``.
    """
    side = first.shape[-1]
    at = (torch.arange(side, device=first.device) * 2 + 1) / side - 1  # as in ``distort``
    x, y = normal[:, 0, None, None, None] * at, normal[:, 1, None, None, None] * at[:, None]
    ahead = x + y  # (n, 1, side, side)
    both = torch.maximum(first, other)
    return torch.where(ahead > 0, first, torch.where(ahead < 0, other, both))
