"""Verification pairs: two different drawings, and whether they show the same character."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.drawings import fingerprint
from siamese_oneshot.data.roster import Roster, below
from siamese_oneshot.errors import UserError

_TOLD = 5  # classes that an error names


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures.

    Attributes:
        first, second: int64 ``(n,)``: positions in the drawings; never equal.
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
    roster: Roster, n: int, generator: torch.Generator, within_alphabet: bool = False
) -> Pairs:
    """Draw ``n`` pairs, half of them same, each alphabet as often as any other (section 3).

    Among same and among different pairs, the first picture's alphabet goes round all alphabets in a
    random order, so that counts differ by one at most; its class and drawing are drawn with equal
    chances. The second picture is another drawing of that class, or a drawing of another class.

    Args:
        roster: the part to draw from.
        n: how many; where odd, one more is different.
        generator: the source of chance.
        within_alphabet: take the other class of a "different" pair from the same alphabet, instead
            of from an alphabet drawn with equal chances.

    Returns:
        The pairs in random order.

    Raises:
        UserError: a class with one picture, or an alphabet (or the whole part) with one class.
    """
    if n < 1:
        raise UserError(f"asked for {n} pairs: at least 1 is needed")
    if int(roster.counts.min()) < 2:
        once = [roster.class_names[k] for k in (roster.counts < 2).nonzero().flatten().tolist()]
        more = f" and {len(once) - _TOLD} more" if len(once) > _TOLD else ""
        raise UserError(
            f"{', '.join(once[:_TOLD])}{more}: one picture only, but a pair needs two of each "
            "class that do not repeat each other bit for bit: add pictures, or leave the class out"
        )
    same = _round_robin(roster, n // 2, generator)
    different = _round_robin(roster, n - n // 2, generator)
    same_class = roster.first_class[same] + below(roster.classes_in[same], generator)
    one, other = _two_drawings(roster, same_class, generator)
    left_class = roster.first_class[different] + below(roster.classes_in[different], generator)
    right_class = _another_class(roster, left_class, different, generator, within_alphabet)
    left = roster.packed[left_class, below(roster.counts[left_class], generator)]
    right = roster.packed[right_class, below(roster.counts[right_class], generator)]
    order = torch.randperm(n, generator=generator)
    return Pairs(
        first=torch.cat([one, left])[order],
        second=torch.cat([other, right])[order],
        same=torch.cat([torch.ones(len(one)), torch.zeros(len(left))])[order],
        within_alphabet=within_alphabet,
    )


def _round_robin(roster: Roster, n: int, generator: torch.Generator) -> Tensor:
    """``n`` alphabets, each as often as the others (± 1); int64 ``(n,)``."""
    order = torch.randperm(len(roster.names), generator=generator)
    return order[torch.arange(n) % len(order)]


def _two_drawings(
    roster: Roster, classes: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Two different drawings of each class, every ordered two equally likely."""
    counts = roster.counts[classes]
    one = below(counts, generator)
    other = (one + 1 + below(counts - 1, generator)) % counts
    return roster.packed[classes, one], roster.packed[classes, other]


def _another_class(
    roster: Roster,
    classes: Tensor,
    alphabets: Tensor,
    generator: torch.Generator,
    within_alphabet: bool,
) -> Tensor:
    """A class other than ``classes``, whose alphabets are given."""
    lonely = roster.classes_in < 2
    number = len(roster.names)
    if (within_alphabet and bool(lonely.any())) or (number == 1 and bool(lonely.all())):
        names = ", ".join(roster.names[k] for k in lonely.nonzero().flatten().tolist())
        raise UserError(f"no second character to differ from in {names}")
    there = alphabets
    if not within_alphabet and number > 1:
        there = below(torch.full_like(alphabets, number), generator)
        # An alphabet of one character cannot supply another one: go on to a different alphabet.
        step = 1 + below(torch.full_like(alphabets, number - 1), generator)
        there = torch.where((there == alphabets) & lonely[there], (there + step) % number, there)
    counts, start = roster.classes_in[there], roster.first_class[there]
    anywhere = start + below(counts, generator)
    step = 1 + below((counts - 1).clamp(min=1), generator)
    elsewhere = start + (classes - start + step) % counts
    return torch.where(there == alphabets, elsewhere, anywhere)
