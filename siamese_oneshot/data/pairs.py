"""Verification pairs: two different images, and whether they show the same character."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex, random_below
from siamese_oneshot.data.dataset import fingerprint
from siamese_oneshot.utils.errors import UserError

_MAX_NAMED = 5  # classes that an error names


@dataclass(frozen=True)
class Pairs:
    """Pairs of images.

    Attributes:
        first, second: int64 ``(n,)``: image indices; never equal.
        same: float32 ``(n,)``: 1 for the same character, else 0.
        within_alphabet: Whether both characters of every "different" pair share an alphabet.
    """

    first: Tensor
    second: Tensor
    same: Tensor
    within_alphabet: bool = False

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.first)

    @property
    def digest(self) -> str:
        """Hash of the list."""
        return fingerprint(self.first, self.second, self.same)


def sample_pairs(
    class_index: ClassIndex, n: int, generator: torch.Generator, within_alphabet: bool = False
) -> Pairs:
    """Draw ``n`` pairs, half of them same, with equal numbers from each alphabet (section 3).

    Among same and among different pairs, the alphabet of the first image cycles through all
    alphabets in a random order, so that their counts differ by at most one. Its class and image
    are uniform. The second image is another image of that class, or an image of another class that
    shows another character.

    With ``within_alphabet`` the other class of a "different" pair is drawn from the same alphabet,
    otherwise from a uniformly drawn alphabet. If ``n`` is odd, there is one more different pair.
    The order is random.

    Raises:
        UserError: If a class has one image, or an alphabet (or the whole part) has one class.
    """
    if n < 1:
        raise UserError(f"at least 1 pair is needed, not {n}")
    if int(class_index.counts.min()) < 2:
        single = (class_index.counts < 2).nonzero().flatten().tolist()
        names = ", ".join(class_index.class_names[k] for k in single[:_MAX_NAMED])
        more = f" and {len(single) - _MAX_NAMED} more" if len(single) > _MAX_NAMED else ""
        raise UserError(
            f"{names}{more}: one image only, but a pair needs two of each class that are not "
            "equal bit for bit: add images, or remove the class"
        )
    same = _round_robin(class_index, n // 2, generator)
    different = _round_robin(class_index, n - n // 2, generator)
    sizes, start = class_index.alphabet_sizes, class_index.first_class
    same_class = start[same] + random_below(sizes[same], generator)
    same_first, same_second = _two_images(class_index, same_class, generator)
    first_class = start[different] + random_below(sizes[different], generator)
    second_class = _another_class(class_index, first_class, different, generator, within_alphabet)
    character = class_index.character
    redraws = torch.Generator().manual_seed(generator.initial_seed() ^ 1)  # all else stays as it is
    while (alike := character[first_class] == character[second_class]).any():
        second_class[alike] = _another_class(
            class_index, first_class[alike], different[alike], redraws, within_alphabet
        )
    first = _one_image(class_index, first_class, generator)
    second = _one_image(class_index, second_class, generator)
    order = torch.randperm(n, generator=generator)
    return Pairs(
        first=torch.cat([same_first, first])[order],
        second=torch.cat([same_second, second])[order],
        same=torch.cat([torch.ones(len(same_first)), torch.zeros(len(first))])[order],
        within_alphabet=within_alphabet,
    )


def _round_robin(class_index: ClassIndex, n: int, generator: torch.Generator) -> Tensor:
    """int64 ``(n,)``: alphabets, each equally often (± 1)."""
    order = torch.randperm(len(class_index.alphabet_names), generator=generator)
    return order[torch.arange(n) % len(order)]


def _one_image(class_index: ClassIndex, classes: Tensor, generator: torch.Generator) -> Tensor:
    return class_index.packed[classes, random_below(class_index.counts[classes], generator)]


def _two_images(
    class_index: ClassIndex, classes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Two different images of each class; every ordered pair is equally likely."""
    counts = class_index.counts[classes]
    first = random_below(counts, generator)
    second = (first + 1 + random_below(counts - 1, generator)) % counts
    return class_index.packed[classes, first], class_index.packed[classes, second]


def _another_class(
    class_index: ClassIndex,
    classes: Tensor,
    alphabets: Tensor,
    generator: torch.Generator,
    within_alphabet: bool,
) -> Tensor:
    """A class other than each of ``classes``, whose alphabets are given."""
    single = class_index.alphabet_characters < 2
    count = len(class_index.alphabet_names)
    if (within_alphabet and bool(single.any())) or (count == 1 and bool(single.all())):
        names = [class_index.alphabet_names[k] for k in single.nonzero().flatten().tolist()]
        raise UserError(f"{', '.join(names)}: one character only, but a different pair needs two")
    chosen = alphabets
    if not within_alphabet and count > 1:
        chosen = random_below(torch.full_like(alphabets, count), generator)
        # An alphabet of one character cannot supply another one: take a different alphabet.
        step = 1 + random_below(torch.full_like(alphabets, count - 1), generator)
        chosen = torch.where(
            (chosen == alphabets) & single[chosen], (chosen + step) % count, chosen
        )
    sizes, start = class_index.alphabet_sizes[chosen], class_index.first_class[chosen]
    any_class = start + random_below(sizes, generator)
    step = 1 + random_below((sizes - 1).clamp(min=1), generator)
    another = start + (classes - start + step) % sizes
    return torch.where(chosen == alphabets, another, any_class)
