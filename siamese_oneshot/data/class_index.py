"""Who drew what, as tables: alphabet → class → images, for draws without Python loops."""

from __future__ import annotations

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.utils.errors import UserError

_TRIES = 10_000  # a second or two


def below(limit: Tensor, generator: torch.Generator) -> Tensor:
    """One whole number in ``0 … limit - 1`` for every entry of ``limit``, all equally likely."""
    share = torch.rand(limit.shape, generator=generator, dtype=torch.float64)
    return torch.minimum((share * limit).long(), limit - 1)


class ClassIndex:
    """The images of one part (train, validation, test), by alphabet, class and drawer.

    Classes and alphabets are numbered afresh, 0 … K-1 and 0 … A-1, in the order of the images;
    the classes of one alphabet stand side by side.

    Args:
        images: all images.
        indices: int64 ``(m,)``: the images of this part.

    Attributes:
        table: int64 ``(K, drawers)``: the position of each class's image by each drawer; -1 where
            that drawer did not draw it.
        counts: int64 ``(K,)``: how many images a class has.
        class_alphabet: int64 ``(K,)``: the alphabet of each class.
        first_class, classes_in: int64 ``(A,)``: where an alphabet's classes start, and how many.
        names, class_names: of the alphabets and of the classes.

    Raises:
        UserError: no image at all.
    """

    def __init__(self, dataset: CharacterDataset, indices: Tensor) -> None:
        if len(indices) == 0:
            raise UserError("this part of the data is empty: choose another data.split")
        numbers = dataset.classes[indices]
        present = torch.unique(numbers)
        order = torch.argsort(dataset.class_alphabets[present], stable=True)
        present = present[order]
        rank = torch.full((len(dataset.class_names),), -1)
        rank[present] = torch.arange(len(present))
        self._fellows: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self.indices = indices
        self.drawers = int(dataset.drawers[indices].max()) + 1
        self.table = torch.full((len(present), self.drawers), -1)
        self.table[rank[numbers], dataset.drawers[indices]] = indices
        self.counts = (self.table >= 0).sum(1)
        # A class's images first, then the gaps: row[:count] are the indices.
        self.packed = self.table.gather(
            1, torch.argsort((self.table < 0).int(), dim=1, stable=True)
        )
        alphabets, self.class_alphabet = torch.unique(
            dataset.class_alphabets[present], return_inverse=True
        )
        self.classes_in = torch.bincount(self.class_alphabet)
        self.first_class = torch.cumsum(self.classes_in, 0) - self.classes_in
        self.names = tuple(dataset.alphabet_names[number] for number in alphabets.tolist())
        self.class_names = tuple(dataset.class_names[number] for number in present.tolist())

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.table)

    def large_enough(self, way: int, drawers: int = 1) -> list[int]:
        """The alphabets of which so many drawers have ``way`` classes in common.

        Raises:
            UserError: there is none, with the largest that there is.
        """
        if chosen := self.sharing(way, drawers):
            return chosen
        largest = int(self.classes_in.max())
        name = self.names[int(self.classes_in.argmax())]
        if largest < way:
            raise UserError(
                f"no alphabet has {way} characters; the largest, {name}, has {largest}: ask for a "
                "smaller way (data.eval.way)"
            )
        raise UserError(
            f"in no alphabet have {drawers} drawers {way} characters in common (the largest, "
            f"{name}, has {largest}): ask for a smaller way (data.eval.way), or add images"
        )

    def left_out(self, way: int, drawers: int = 1) -> list[str]:
        """The names of the alphabets that are not ``large_enough``."""
        able = self.sharing(way, drawers)
        return [name for one, name in enumerate(self.names) if one not in able]

    def sharing(self, way: int, drawers: int) -> list[int]:
        """The alphabets of which so many drawers have ``way`` classes in common; maybe none."""
        return [one for one in range(len(self.names)) if self.fellows(one, way, drawers)]

    def fellows(self, alphabet: int, way: int, drawers: int) -> tuple[int, ...]:
        """Some ``drawers`` who have drawn the same ``way`` classes of an alphabet; () for none."""
        wanted = alphabet, way, drawers
        if wanted not in self._fellows:
            start = int(self.first_class[alphabet])
            drawn = self.table[start : start + int(self.classes_in[alphabet])] >= 0
            who = self.who(alphabet, way).tolist()
            self._fellows[wanted] = tuple(_fellows(drawn, way, drawers, who, [_TRIES]) or ())
        return self._fellows[wanted]

    def who(self, alphabet: int, way: int = 1) -> Tensor:
        """The drawers with at least ``way`` images in an alphabet; int64, ascending."""
        start = int(self.first_class[alphabet])
        rows = self.table[start : start + int(self.classes_in[alphabet])]
        return ((rows >= 0).sum(0) >= max(way, 1)).nonzero().flatten()

    def common(self, alphabet: int, drawers: Tensor) -> Tensor:
        """The classes of an alphabet that every one of these drawers has drawn."""
        start = int(self.first_class[alphabet])
        rows = self.table[start : start + int(self.classes_in[alphabet])]
        return start + (rows[:, drawers] >= 0).all(1).nonzero().flatten()


def _fellows(
    drawn: Tensor, way: int, drawers: int, who: list[int], tries: list[int]
) -> list[int] | None:
    """The first ``drawers`` of those in ``who`` with ``way`` rows of ``drawn`` in common.

    Each in ``who`` has as many. Tries all choices, as far as the ``tries`` that are left allow.
    """
    if drawers == 0:
        return []
    for number, one in enumerate(who[: len(who) - drawers + 1]):
        tries[0] -= 1
        if tries[0] < 0:
            return None
        common = drawn[drawn[:, one]]
        later = torch.tensor(who[number + 1 :], dtype=torch.int64)
        rest = later[common[:, later].sum(0) >= way].tolist()
        found = _fellows(common, way, drawers - 1, rest, tries)
        if found is not None:
            return [one, *found]
    return None
