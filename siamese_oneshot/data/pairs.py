"""Verification pairs: two different images, and whether they show the same character."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex, below
from siamese_oneshot.data.dataset import fingerprint
from siamese_oneshot.utils.errors import UserError

_TOLD = 5  # classes that an error names


@dataclass(frozen=True)
class Pairs:
    """Pairs of images.

    Attributes:
        first, second: int64 ``(n,)``: indices in the images; never equal.
        same: float32 ``(n,)``: 1 where both show the same character, else 0.
        within_alphabet: whether all different pairs are of one alphabet each.
    """

    first: Tensor
    second: Tensor
    same: Tensor
    within_alphabet: bool = False

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.first)

    @property
    def digest(self) -> str:
        """The hash of the list."""
        return fingerprint(self.first, self.second, self.same)


def sample_pairs(
    class_index: ClassIndex, n: int, generator: torch.Generator, within_alphabet: bool = False
) -> Pairs:
    """Draw ``n`` pairs, half of them same, each alphabet as often as any other (section 3).

    Among same and among different pairs, the first image's alphabet goes round all alphabets in a
    random order, so that counts differ by one at most; its class and image are drawn with equal
    chances. The second image is another image of that class, or an image of another class.

    Args:
        class index: the part to draw from.
        n: how many; where odd, one more is different.
        generator: the source of chance.
        within_alphabet: take the other class of a "different" pair from the same alphabet, instead
            of from an alphabet drawn with equal chances.

    Returns:
        The pairs in random order.

    Raises:
        UserError: a class with one image, or an alphabet (or the whole part) with one class.
    """
    if n < 1:
        raise UserError(f"asked for {n} pairs: at least 1 is needed")
    if int(class_index.counts.min()) < 2:
        once = [
            class_index.class_names[k]
            for k in (class_index.counts < 2).nonzero().flatten().tolist()
        ]
        more = f" and {len(once) - _TOLD} more" if len(once) > _TOLD else ""
        raise UserError(
            f"{', '.join(once[:_TOLD])}{more}: one image only, but a pair needs two of each "
            "class that do not repeat each other bit for bit: add images, or leave the class out"
        )
    same = _round_robin(class_index, n // 2, generator)
    different = _round_robin(class_index, n - n // 2, generator)
    same_class = class_index.first_class[same] + below(class_index.classes_in[same], generator)
    one, other = _two_dataset(class_index, same_class, generator)
    left_class = class_index.first_class[different] + below(
        class_index.classes_in[different], generator
    )
    right_class = _another_class(class_index, left_class, different, generator, within_alphabet)
    left = class_index.packed[left_class, below(class_index.counts[left_class], generator)]
    right = class_index.packed[right_class, below(class_index.counts[right_class], generator)]
    order = torch.randperm(n, generator=generator)
    return Pairs(
        first=torch.cat([one, left])[order],
        second=torch.cat([other, right])[order],
        same=torch.cat([torch.ones(len(one)), torch.zeros(len(left))])[order],
        within_alphabet=within_alphabet,
    )


def _round_robin(class_index: ClassIndex, n: int, generator: torch.Generator) -> Tensor:
    """``n`` alphabets, each as often as the others (± 1); int64 ``(n,)``."""
    order = torch.randperm(len(class_index.names), generator=generator)
    return order[torch.arange(n) % len(order)]


def _two_dataset(
    class_index: ClassIndex, classes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Two different images of each class, every ordered two equally likely."""
    counts = class_index.counts[classes]
    one = below(counts, generator)
    other = (one + 1 + below(counts - 1, generator)) % counts
    return class_index.packed[classes, one], class_index.packed[classes, other]


def _another_class(
    class_index: ClassIndex,
    classes: Tensor,
    alphabets: Tensor,
    generator: torch.Generator,
    within_alphabet: bool,
) -> Tensor:
    """A class other than ``classes``, whose alphabets are given."""
    lonely = class_index.classes_in < 2
    number = len(class_index.names)
    if (within_alphabet and bool(lonely.any())) or (number == 1 and bool(lonely.all())):
        names = ", ".join(class_index.names[k] for k in lonely.nonzero().flatten().tolist())
        raise UserError(f"no second character to differ from in {names}")
    there = alphabets
    if not within_alphabet and number > 1:
        there = below(torch.full_like(alphabets, number), generator)
        # An alphabet of one character cannot supply another one: go on to a different alphabet.
        step = 1 + below(torch.full_like(alphabets, number - 1), generator)
        there = torch.where((there == alphabets) & lonely[there], (there + step) % number, there)
    counts, start = class_index.classes_in[there], class_index.first_class[there]
    anywhere = start + below(counts, generator)
    step = 1 + below((counts - 1).clamp(min=1), generator)
    elsewhere = start + (classes - start + step) % counts
    return torch.where(there == alphabets, elsewhere, anywhere)
