"""ClassIndex: tables from alphabet to class to image, for sampling without Python loops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.utils.errors import ArgumentError, UserError

_MAX_TRIES = 10_000  # steps of a search for drawers, within a second


def random_below(limit: Tensor, generator: torch.Generator) -> Tensor:
    """A uniform integer from 0 to ``limit - 1`` for every entry of ``limit``."""
    uniform = torch.rand(limit.shape, generator=generator, dtype=torch.float64)
    return torch.minimum((uniform * limit).long(), limit - 1)


class ClassIndex:
    """The images of one part of a dataset (train, validation or test) by class and drawer.

    Classes and alphabets are renumbered 0 … K-1 and 0 … A-1 in the order of the dataset. The
    classes of one alphabet are consecutive.

    Args:
        dataset: All images.
        indices: int64 ``(m,)``: the images of this part.

    Attributes:
        table: int64 ``(K, n_drawers)``: image of each class by each drawer, or -1.
        packed: int64 ``(K, n_drawers)``: the same with the images first: ``packed[k, :counts[k]]``.
        counts: int64 ``(K,)``: images per class.
        class_alphabet: int64 ``(K,)``: alphabet of each class.
        first_class, alphabet_sizes: int64 ``(A,)``: first class and number of classes of each
            alphabet.
        alphabet_names, class_names: Names.
        character: int64 ``(K,)``: the first class that shows the same character. It is the class
            itself except in the ``duplicate_classes`` of the dataset.
        alphabet_characters: int64 ``(A,)``: number of different characters of each alphabet.
    """

    def __init__(self, dataset: CharacterDataset, indices: Tensor) -> None:
        if len(indices) == 0:
            raise UserError("This part of the data has no images. Choose another split.")
        classes = dataset.classes[indices]
        present = torch.unique(classes)
        present = present[torch.argsort(dataset.class_alphabets[present], stable=True)]
        new_number = torch.full((len(dataset.class_names),), -1)
        new_number[present] = torch.arange(len(present))
        self._common_drawers: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self.indices = indices
        self.n_drawers = int(dataset.drawers[indices].max()) + 1
        self.table = torch.full((len(present), self.n_drawers), -1)
        self.table[new_number[classes], dataset.drawers[indices]] = indices
        self.counts = (self.table >= 0).sum(1)
        self.packed = self.table.gather(
            1, torch.argsort((self.table < 0).int(), dim=1, stable=True)
        )
        alphabets, self.class_alphabet = torch.unique(
            dataset.class_alphabets[present], return_inverse=True
        )
        self.alphabet_sizes = torch.bincount(self.class_alphabet)
        self.first_class = torch.cumsum(self.alphabet_sizes, 0) - self.alphabet_sizes
        self.alphabet_names = tuple(dataset.alphabet_names[k] for k in alphabets.tolist())
        self.class_names = tuple(dataset.class_names[k] for k in present.tolist())
        self.character = torch.arange(len(present))
        for names in dataset.duplicate_classes:
            alike = [k for k, name in enumerate(self.class_names) if name in names]
            self.character[alike] = self.character[alike[:1]]
        self.alphabet_characters = torch.bincount(self.class_alphabet[self.character.unique()])

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.table)

    @property
    def n_characters(self) -> int:
        """Number of different characters: classes without duplicates."""
        return int(self.alphabet_characters.sum())

    def distinct(self, classes: Tensor) -> Tensor:
        """``classes`` without those that show the character of an earlier one."""
        if self.n_characters == len(self):
            return classes
        character = self.character[classes]
        is_repeated = (character[:, None] == character).tril(-1).any(1)
        return classes[~is_repeated]

    def eligible_alphabets(self, way: int, drawers: int) -> list[int]:
        """Alphabets in which ``drawers`` drawers have ``way`` characters in common; maybe none."""
        alphabets = range(len(self.alphabet_names))
        return [k for k in alphabets if self.common_drawers(k, way, drawers)]

    def excluded_alphabets(self, way: int, drawers: int = 1) -> list[str]:
        """Names of the alphabets that are not eligible."""
        eligible = self.eligible_alphabets(way, drawers)
        return [name for k, name in enumerate(self.alphabet_names) if k not in eligible]

    def require_alphabets(self, way: int, drawers: int = 1) -> list[int]:
        """The eligible alphabets, at least one."""
        if eligible := self.eligible_alphabets(way, drawers):
            return eligible
        largest = int(self.alphabet_characters.max())
        name = self.alphabet_names[int(self.alphabet_characters.argmax())]
        if largest < way:
            message = (
                f"no alphabet has {way} characters; the largest, {name}, has {largest}: use a "
                "smaller way"
            )
        else:
            message = (
                f"in no alphabet do {drawers} drawers have {way} characters in common (the "
                f"largest, {name}, has {largest}): use a smaller way, or add images"
            )
        raise ArgumentError("way", way, message=message)

    def common_drawers(self, alphabet: int, way: int, drawers: int) -> tuple[int, ...]:
        """Some ``drawers`` drawers with ``way`` characters of an alphabet in common, or ()."""
        key = alphabet, way, drawers
        if key not in self._common_drawers:
            drawn = self._rows(alphabet, repeats=False) >= 0
            steps = itertools.islice(_groups(drawn, way, drawers), _MAX_TRIES)
            self._common_drawers[key] = next(filter(None, steps), ())
        return self._common_drawers[key]

    def drawers_of(self, alphabet: int, way: int = 1) -> Tensor:
        """int64, ascending: drawers with at least ``way`` characters of an alphabet."""
        counts = (self._rows(alphabet, repeats=False) >= 0).sum(0)
        return (counts >= max(way, 1)).nonzero().flatten()

    def common_classes(self, alphabet: int, drawers: Tensor) -> Tensor:
        """int64: classes of an alphabet that all of these drawers have drawn."""
        drawn = self._rows(alphabet)[:, drawers] >= 0
        return self.first_class[alphabet] + drawn.all(1).nonzero().flatten()

    def _rows(self, alphabet: int, repeats: bool = True) -> Tensor:
        """The table of an alphabet's classes, or of the first class of each of its characters."""
        classes = self.first_class[alphabet] + torch.arange(int(self.alphabet_sizes[alphabet]))
        return self.table[classes if repeats else self.character[classes].unique()]


def _groups(drawn: Tensor, way: int, size: int) -> Iterator[tuple[int, ...] | None]:
    """Groups of ``size`` columns with ``way`` rows of a bool table in common, in ascending order.

    Among many drawers who have each drawn a few characters, a search depth-first, which leaves out
    whoever shares too few with those before, finds at once what trying all groups does not. It
    yields None for each step, so that whoever asks can give up.
    """
    if size == 0:
        yield ()
        return
    for column in (drawn.sum(0) >= way).nonzero().flatten().tolist():
        yield None
        rest = drawn[drawn[:, column]]
        rest[:, : column + 1] = False
        for group in _groups(rest, way, size - 1):
            yield None if group is None else (column, *group)
