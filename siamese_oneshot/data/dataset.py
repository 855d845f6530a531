"""CharacterDataset: images in memory with the class, the alphabet and the drawer of each."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.hardware import in_threads

_AVERAGED_AT_ONCE = 64  # images, which stay in a CPU's cache


def fingerprint(*tensors: Tensor) -> str:
    """Sixteen hexadecimal digits of a hash of the tensors' values, shapes and order."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.to(torch.int64).contiguous().numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class CharacterDataset(Dataset[tuple[Tensor, int]]):
    """Images of characters with the class, the alphabet and the drawer of each.

    ``dataset[i]`` is a pair: the image, float32 ``(1, height, width)`` from 0 (background) to 1
    (foreground), and its class index. Samplers and evaluation tasks refer to an image by its index
    0 … n-1.

    Attributes:
        pixels: uint8 ``(n, height, width)``: 0 (background) … 255 (foreground).
        classes: int64 ``(n,)``: class of each image, an index into ``class_names``.
        drawers: int64 ``(n,)``: drawer of each image, numbered from 0 within its alphabet.
        class_names: ``Alphabet/character`` of each class.
        alphabet_names: Name of each alphabet.
        class_alphabets: int64 ``(classes,)``: alphabet of each class.
        source: Name of the data source, such as ``omniglot``.
        duplicate_classes: Sets of class names that show one character. No two of a set form a
            "different" pair or meet in an episode.
    """

    pixels: Tensor
    classes: Tensor
    drawers: Tensor
    class_names: tuple[str, ...]
    alphabet_names: tuple[str, ...]
    class_alphabets: Tensor
    source: str
    duplicate_classes: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        n, shape = len(self.pixels), tuple(self.pixels.shape)
        if self.pixels.dtype != torch.uint8 or len(shape) != 3:
            got = f"{self.pixels.dtype} {shape}"
            raise ValueError(f"pixels must be uint8 (n, height, width), got {got}")
        n_classes, n_drawers = len(self.classes), len(self.drawers)
        if n_classes != n or n_drawers != n:
            raise ValueError(f"{n} images, but {n_classes} classes and {n_drawers} drawers")
        n_names, n_alphabets = len(self.class_names), len(self.class_alphabets)
        if n_names != n_alphabets:
            raise ValueError(f"{n_names} class names, but {n_alphabets} class alphabets")

    @classmethod
    def from_arrays(
        cls,
        images: ArrayLike | Tensor,
        labels: Sequence[Any] | ArrayLike | Tensor,
        alphabets: Sequence[str] | None = None,
        drawers: Sequence[int] | None = None,
        source: str = "arrays",
    ) -> CharacterDataset:
        """Make a dataset from images and labels.

        Args:
            images: ``(n, height, width)`` or ``(n, 1, height, width)``: uint8 from 0 (background)
                to 255 (foreground), or float from 0 to 1.
            labels: ``(n,)``: class of each image, an integer or a string.
            alphabets: ``(n,)``: alphabet of each image. None puts all classes into one alphabet.
            drawers: ``(n,)``: drawer of each image, from 0. None counts the k-th image of a class
                as the k-th drawer's.
            source: Name of the data source, for results.

        Returns:
            The images in the given order. Classes are sorted by alphabet and label.

        Raises:
            ArgumentError: If lengths differ, values are out of range, or a drawer has two images
                of one class.
        """
        array = np.asarray(images)
        if array.ndim == 4 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 3 or 0 in array.shape:
            raise ArgumentError("images", array.shape, "an array (n, height, width)")
        if array.dtype != np.uint8:
            floating = np.issubdtype(array.dtype, np.floating)
            if not floating or not ((array >= 0) & (array <= 1)).all():
                raise ArgumentError("images", array.dtype, "uint8, or float from 0 to 1")
            array = np.rint(array * 255).astype(np.uint8)
        names = np.asarray(labels).tolist()
        owners = ["alphabet"] * len(array) if alphabets is None else list(map(str, alphabets))
        for argument, values in (("labels", names), ("alphabets", owners), ("drawers", drawers)):
            if values is not None and len(values) != len(array):
                message = f"{len(values)} values for {len(array)} images"
                raise ArgumentError(argument, f"[{len(values)}]", message=message)
        keys = list(zip(owners, names, strict=True))
        alphabet_names, ordered = sorted(set(owners)), sorted(set(keys))
        numbers = {key: k for k, key in enumerate(ordered)}
        classes = [numbers[key] for key in keys]
        if drawers is None:
            counters = [itertools.count() for _ in ordered]
            drawn = [next(counters[k]) for k in classes]
        else:
            drawn = [int(drawer) for drawer in drawers]
            if min(drawn) < 0 or len(set(zip(classes, drawn, strict=True))) < len(drawn):
                expected = "0 or more, with one image per class and drawer"
                raise ArgumentError("drawers", drawn, expected)
        return cls(
            pixels=torch.from_numpy(np.ascontiguousarray(array)),
            classes=torch.tensor(classes),
            drawers=torch.tensor(drawn),
            class_names=tuple(f"{alphabet}/{label}" for alphabet, label in ordered),
            alphabet_names=tuple(alphabet_names),
            class_alphabets=torch.tensor([alphabet_names.index(name) for name, _ in ordered]),
            source=source,
        )

    @classmethod
    def from_grid(
        cls, pixels: Tensor, characters: Mapping[str, int], n_drawers: int, source: str
    ) -> CharacterDataset:
        """A dataset in which every drawer has drawn every character.

        ``pixels`` are uint8 ``(n, height, width)``, by alphabet, character and drawer;
        ``characters`` is the number of characters of each alphabet.
        """
        counts = torch.tensor(list(characters.values()))
        n_classes = int(counts.sum())
        return cls(
            pixels=pixels,
            classes=torch.arange(n_classes).repeat_interleave(n_drawers),
            drawers=torch.arange(n_drawers).repeat(n_classes),
            class_names=tuple(
                f"{name}/character{k:02d}"
                for name, count in characters.items()
                for k in range(1, count + 1)
            ),
            alphabet_names=tuple(characters),
            class_alphabets=torch.arange(len(counts)).repeat_interleave(counts),
            source=source,
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image, float32 ``(1, height, width)`` from 0 to 1, and class index."""
        return self.pixels[index, None].float() / 255, int(self.classes[index])

    @property
    def alphabets(self) -> Tensor:
        """int64 ``(n,)``: alphabet of each image."""
        return self.class_alphabets[self.classes]

    @cached_property
    def pixel_sums(self) -> Tensor:
        """int64 ``(n,)``: sum of each image's pixels."""
        # NumPy sums bytes an order of magnitude faster than torch does.
        return torch.from_numpy(self.pixels.flatten(1).numpy().sum(1, dtype=np.int64))

    @property
    def digest(self) -> str:
        """Hash of the images' pixel sums, classes, drawers and alphabets; not of names."""
        return fingerprint(self.pixel_sums, self.classes, self.drawers, self.class_alphabets)

    def indices(
        self, alphabets: Sequence[str] | None = None, drawers: Sequence[int] | None = None
    ) -> Tensor:
        """int64, ascending: the images of these alphabets by these drawers (None: all)."""
        keep = torch.ones(len(self), dtype=torch.bool)
        if alphabets is not None:
            unknown = sorted(set(alphabets) - set(self.alphabet_names))
            if unknown:
                known = ", ".join(self.alphabet_names)
                message = f"no alphabet named {', '.join(unknown)}; there are {known}"
                raise ArgumentError("alphabets", ",".join(alphabets), message=message)
            numbers = torch.tensor([self.alphabet_names.index(name) for name in alphabets])
            keep &= torch.isin(self.alphabets, numbers)
        if drawers is not None:
            keep &= torch.isin(self.drawers, torch.tensor(list(drawers)))
        return keep.nonzero().flatten()

    def distinct(self, indices: Tensor) -> Tensor:
        """``indices`` without images that equal an earlier image of their class bit for bit.

        Omniglot holds one such copy; a pair of the two would neither teach nor test anything.
        """
        # Equal images have equal sums: few are to be compared.
        keys = self.classes[indices] * (255 * self.pixels.shape[1:].numel() + 1)
        keys += self.pixel_sums[indices]
        _, key, counts = torch.unique(keys, return_inverse=True, return_counts=True)
        keep = torch.ones(len(indices), dtype=torch.bool)
        seen: dict[int, list[int]] = {}
        for place in (counts[key] > 1).nonzero().flatten().tolist():
            index, candidates = int(indices[place]), seen.setdefault(int(key[place]), [])
            if any(torch.equal(self.pixels[index], self.pixels[k]) for k in candidates):
                keep[place] = False
            else:
                candidates.append(index)
        return indices[keep]

    def resized(self, size: int, bilinear: bool = False, batch_size: int = 256) -> CharacterDataset:
        """The dataset with images of ``size`` × ``size`` pixels.

        With ``bilinear`` images are enlarged by bilinear interpolation. Otherwise, and for smaller
        sizes, areas are averaged, which avoids aliasing.
        """
        height, width = self.pixels.shape[-2:]
        if (height, width) == (size, size):
            return self
        starts = [k * width // size for k in range(size)]
        widths = {-(-(k + 1) * width // size) - start for k, start in enumerate(starts)}
        strides = {after - before for before, after in pairwise(starts)}
        if height == width > size > 1 and len(widths) == len(strides) == 1 and max(widths) < 16:
            return replace(self, pixels=_averaged(self.pixels, size, *widths, *strides))
        out = torch.empty((len(self), size, size), dtype=torch.uint8)
        for start in range(0, len(self), batch_size):
            images = self.pixels[start : start + batch_size, None].float()
            if bilinear and size > width:
                images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
            else:
                images = F.adaptive_avg_pool2d(images, size)
            out[start : start + batch_size] = images[:, 0].round().byte()
        return replace(self, pixels=out)

    def with_rotations(self, indices: Tensor) -> CharacterDataset:
        """This dataset followed by copies of some images, rotated by 90, 180 and 270 degrees.

        Each rotation of an alphabet is an alphabet of its own, with classes of its own.
        """
        copies = self
        for quarter_turns in (1, 2, 3):
            suffix = f"_rotated_{90 * quarter_turns}"

            def renamed(name: str, suffix: str = suffix) -> str:
                alphabet, slash, character = name.partition("/")
                return f"{alphabet}{suffix}{slash}{character}"

            rotated = replace(
                self,
                pixels=self.pixels[indices].rot90(quarter_turns, (1, 2)),
                classes=self.classes[indices],
                drawers=self.drawers[indices],
                class_names=tuple(map(renamed, self.class_names)),
                alphabet_names=tuple(map(renamed, self.alphabet_names)),
                duplicate_classes=tuple(
                    tuple(map(renamed, names)) for names in self.duplicate_classes
                ),
            )
            copies = copies.joined(rotated)
        return copies

    def joined(self, extra: CharacterDataset) -> CharacterDataset:
        """This dataset followed by another one with images of the same size."""
        twice = sorted(set(self.alphabet_names) & set(extra.alphabet_names))
        if twice:
            raise ValueError(f"both datasets have {', '.join(twice)}")
        alphabets = extra.class_alphabets + len(self.alphabet_names)
        return CharacterDataset(
            torch.cat([self.pixels, extra.pixels]),
            torch.cat([self.classes, extra.classes + len(self.class_names)]),
            torch.cat([self.drawers, extra.drawers]),
            self.class_names + extra.class_names,
            self.alphabet_names + extra.alphabet_names,
            torch.cat([self.class_alphabets, alphabets]),
            self.source,
            self.duplicate_classes + extra.duplicate_classes,
        )


def _averaged(pixels: Tensor, size: int, width: int, stride: int) -> Tensor:
    """What `CharacterDataset.resized` gives where all windows are alike, six times as fast.

    Args:
        pixels: uint8 ``(n, side, side)``.
        size: Side of the result.
        width, stride: Of the windows, which are averaged; the sum of one fits uint16.
    """
    windows = [slice(k, k + (size - 1) * stride + 1, stride) for k in range(width)]
    means = (torch.arange(255 * width**2 + 1).float() / width / width).round().byte().numpy()
    out = np.empty((len(pixels), size, size), np.uint8)

    def average(start: int) -> None:
        part = slice(start, start + _AVERAGED_AT_ONCE)
        images = pixels[part].numpy()
        rows = sum((images[:, one] for one in windows[1:]), images[:, windows[0]].astype(np.uint16))
        sums = sum((rows[:, :, one] for one in windows[1:]), rows[:, :, windows[0]])
        np.take(means, sums, out=out[part], mode="clip")  # no index is out of range

    in_threads(average, range(0, len(pixels), _AVERAGED_AT_ONCE))
    return torch.from_numpy(out)
