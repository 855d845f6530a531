"""The one in-memory type: images of characters, and who drew what in which alphabet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def fingerprint(*tensors: Tensor) -> str:
    """Sixteen hexadecimal digits that change when a number, a shape or the order changes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.to(torch.int64).contiguous().numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class CharacterDataset:
    """Images of characters with the class, the alphabet and the drawer of each.

    Everything in ``data/`` makes one of these or takes one. Samplers, episodes and results speak of
    an image by its *position* ``0 … n-1`` in here. Class names are written ``Alphabet/character``
    and sorted, so that equal data have equal indices on every machine.

    Attributes:
        pixels: uint8 ``(n, height, width)``: the share of ink, 0 (paper) … 255 (ink).
        classes: int64 ``(n,)``: the class of each image, an index into ``class_names``.
        drawers: int64 ``(n,)``: who drew it, 0 … (drawers - 1), within its alphabet.
        class_names: one ``Alphabet/character`` per class.
        alphabet_names: one name per alphabet.
        class_alphabets: int64 ``(classes,)``: the alphabet of each class.
        source: where they come from: ``omniglot``, ``synthetic`` or ``folder``.
    """

    pixels: Tensor
    classes: Tensor
    drawers: Tensor
    class_names: tuple[str, ...]
    alphabet_names: tuple[str, ...]
    class_alphabets: Tensor
    source: str

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        n = len(self.pixels)
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 3:
            raise ValueError(
                "pixels must be uint8 (n, height, width), "
                f"got {self.pixels.dtype} {tuple(self.pixels.shape)}"
            )
        if len(self.classes) != n or len(self.drawers) != n:
            raise ValueError(
                f"{n} images, but {len(self.classes)} classes and {len(self.drawers)} drawers"
            )
        if len(self.class_names) != len(self.class_alphabets):
            raise ValueError(
                f"{len(self.class_names)} class names, "
                f"but {len(self.class_alphabets)} class alphabets"
            )

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pixels)

    @property
    def alphabets(self) -> Tensor:
        """int64 ``(n,)``: the alphabet of each image."""
        return self.class_alphabets[self.classes]

    @cached_property
    def ink(self) -> Tensor:
        """int64 ``(n,)``: the sum of each image's pixels."""
        # NumPy sums bytes an order of magnitude faster than torch does.
        return torch.from_numpy(self.pixels.flatten(1).numpy().sum(1, dtype=np.int64))

    @property
    def digest(self) -> str:
        """A hash of who drew what with how much ink; tells one data set from another.

        Not of names, nor of where the ink is: a mirrored copy has the same.
        """
        return fingerprint(self.ink, self.classes, self.drawers, self.class_alphabets)

    def indices(
        self, alphabets: Sequence[str] | None = None, drawers: Sequence[int] | None = None
    ) -> Tensor:
        """The images of these alphabets by these drawers.

        Args:
            alphabets: names; all where None.
            drawers: drawer numbers from 0; all where None.

        Returns:
            int64 indices in ascending order.

        Raises:
            ValueError: a name that is not here, with the names that are.
        """
        keep = torch.ones(len(self), dtype=torch.bool)
        if alphabets is not None:
            unknown = sorted(set(alphabets) - set(self.alphabet_names))
            if unknown:
                raise ValueError(
                    f"no alphabet named {', '.join(unknown)}; "
                    f"there are {', '.join(self.alphabet_names)}"
                )
            numbers = torch.tensor([self.alphabet_names.index(name) for name in alphabets])
            keep &= torch.isin(self.alphabets, numbers)
        if drawers is not None:
            keep &= torch.isin(self.drawers, torch.tensor(list(drawers)))
        return keep.nonzero().flatten()

    def distinct(self, indices: Tensor) -> Tensor:
        """``indices`` less every image that repeats an earlier one of its class bit for bit.

        Omniglot holds one such repeat. Two copies of an image are not two images: a pair of
        them would teach, and test, nothing.
        """
        seen: dict[tuple[int, int], list[int]] = {}
        keep = []
        ink = self.ink[indices].tolist()
        for index, key in zip(
            indices.tolist(), zip(self.classes[indices].tolist(), ink, strict=True), strict=True
        ):
            alike = seen.setdefault(key, [])  # equal images have equal ink, so compare few
            if not any(torch.equal(self.pixels[index], self.pixels[other]) for other in alike):
                keep.append(index)
                alike.append(index)
        return torch.tensor(keep, dtype=torch.int64)

    def resized(self, size: int, chunk: int = 2048) -> CharacterDataset:
        """The same images as ``size`` × ``size`` images, by averaging areas (no aliasing)."""
        if self.pixels.shape[-2:] == (size, size):
            return self
        out = torch.empty((len(self), size, size), dtype=torch.uint8)
        for start in range(0, len(self), chunk):
            part = self.pixels[start : start + chunk, None].float()
            out[start : start + chunk] = F.adaptive_avg_pool2d(part, size)[:, 0].round().byte()
        return replace(self, pixels=out)

    def joined(self, others: CharacterDataset) -> CharacterDataset:
        """These, then others of the same size, whose alphabets are others; the same ``source``.

        Raises:
            ValueError: images of another size, or an alphabet that both have.
        """
        twice = sorted(set(self.alphabet_names) & set(others.alphabet_names))
        if twice or self.pixels.shape[1:] != others.pixels.shape[1:]:
            raise ValueError(
                f"both have {', '.join(twice)}" if twice else
                f"{tuple(self.pixels.shape[1:])} and {tuple(others.pixels.shape[1:])} pixels"
            )  # fmt: skip
        alphabets = others.class_alphabets + len(self.alphabet_names)
        return CharacterDataset(
            torch.cat([self.pixels, others.pixels]),
            torch.cat([self.classes, others.classes + len(self.class_names)]),
            torch.cat([self.drawers, others.drawers]),
            self.class_names + others.class_names,
            self.alphabet_names + others.alphabet_names,
            torch.cat([self.class_alphabets, alphabets]),
            self.source,
        )
