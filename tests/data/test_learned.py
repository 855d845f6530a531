"""What a network learned from, in words."""

from __future__ import annotations

import torch

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.learned import learned
from siamese_oneshot.data.omniglot import Omniglot
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splits import split_drawings


def told(drawings: Drawings, rule: str, characters: int, generated: int = 0) -> str:
    split = split_drawings(drawings, rule)
    train = Roster(drawings, split.train)
    out = train.left_out(characters, 3)
    validation = Roster(drawings, split.validation)
    return learned(drawings.source, train, out, validation, generated)


def test_alphabets_that_no_batch_takes_are_not_counted(omniglot: Omniglot) -> None:
    """Blackfoot and Ojibwe have 14 characters each."""
    drawings = omniglot.drawings
    assert (
        told(drawings, "lake", 14) == "27 background alphabets by 20 drawers (3 more to choose by)"
    )
    assert (
        told(drawings, "lake", 16) == "25 background alphabets by 20 drawers (3 more to choose by)"
    )
    assert told(drawings, "background", 16) == "28 background alphabets by 20 drawers"
    koch = "30 background alphabets by 12 drawers (10 more to choose by)"
    assert told(drawings, "koch", 2) == koch
    assert told(drawings, "koch40", 2) == "37 alphabets by 20 drawers (3 more to choose by)"
    assert told(drawings, "minimal1", 2, 9).endswith(
        "alphabets by 20 drawers, and 9 generated alphabets"
    )


def test_other_drawings_say_so(drawings: Drawings) -> None:
    train = Roster(drawings, drawings.positions(["AlphabetA"], range(4)))
    text = learned("folder", train, [], train, 0)
    assert text == "data=folder: 1 alphabet by 4 drawers"
    other = Roster(drawings, torch.arange(len(drawings)))
    assert (
        learned("glyphs", other, ["AlphabetB"], train, 0) == "data=glyphs: 3 alphabets by 6 drawers"
    )
