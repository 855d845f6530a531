"""Verification pairs: never a picture with itself, balanced, the same for the same seed."""

from collections import Counter

import pytest
import torch

from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.errors import UserError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whole(drawings):
    return Roster(drawings, torch.arange(len(drawings)))


def ragged(drawings):
    """Two to six pictures of each class."""
    wanted = 2 + drawings.classes % 5
    return Roster(drawings, (drawings.drawers < wanted).nonzero().flatten())


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("part", [whole, ragged])
def test_every_pair_is_what_it_says(drawings, part, within):
    roster = part(drawings)
    pairs = sample_pairs(roster, 3000, seeded(0), within)
    allowed = set(roster.positions.tolist())
    assert pairs.same.dtype == torch.float32
    for first, second, same in zip(
        pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True
    ):
        assert first != second
        assert {first, second} <= allowed
        assert (drawings.classes[first] == drawings.classes[second]) == bool(same)
        if within:
            assert drawings.alphabets[first] == drawings.alphabets[second]


@pytest.mark.parametrize("n", [2, 9, 128, 1001])
@pytest.mark.parametrize("within", [False, True])
def test_half_are_same_and_alphabets_take_turns(drawings, n, within):
    pairs = sample_pairs(whole(drawings), n, seeded(4), within)
    assert len(pairs) == n
    assert pairs.same.sum() == n // 2
    for same in (0.0, 1.0):
        firsts = drawings.alphabets[pairs.first[pairs.same == same]]
        counts = firsts.bincount(minlength=4)
        assert counts.max() - counts.min() <= 1


def test_same_and_different_pairs_are_mixed(drawings):
    pairs = sample_pairs(whole(drawings), 4000, seeded(5))
    assert abs(pairs.same[:1000].sum() - 500) < 80  # five standard deviations
    first_alphabets = drawings.alphabets[pairs.first[:1000]].bincount(minlength=4)
    assert (first_alphabets - 250).abs().max() < 80


def test_drawings_and_classes_are_equally_likely(drawings):
    """Of 6 drawings every ordered two; of an alphabet every class; drawers are independent."""
    roster = Roster(drawings, drawings.positions(["AlphabetB"]))  # 5 classes by 6 drawers
    pairs = sample_pairs(roster, 60_000, seeded(6))
    same = pairs.same == 1
    twos = Counter(zip(pairs.first[same].tolist(), pairs.second[same].tolist(), strict=True))
    assert len(twos) == 5 * 6 * 5
    assert max(abs(count - 200) for count in twos.values()) < 90  # sd 14
    left, right = drawings.classes[pairs.first[~same]], drawings.classes[pairs.second[~same]]
    classes = Counter(zip(left.tolist(), right.tolist(), strict=True))
    assert len(classes) == 5 * 4
    assert max(abs(count - 1500) for count in classes.values()) < 240  # sd 38
    drawers = drawings.drawers[pairs.first[~same]] * 6 + drawings.drawers[pairs.second[~same]]
    assert (drawers.bincount(minlength=36) - 833).abs().max() < 180  # sd 28


def test_the_other_picture_comes_from_every_alphabet_alike(drawings):
    pairs = sample_pairs(whole(drawings), 40_000, seeded(7))
    different = pairs.same == 0
    seconds = drawings.alphabets[pairs.second[different]].bincount(minlength=4) / 20_000
    assert (seconds - 0.25).abs().max() < 0.02
    firsts = drawings.alphabets[pairs.first[different]]
    crossed = (firsts != drawings.alphabets[pairs.second[different]]).float().mean()
    assert abs(crossed - 0.75) < 0.02


def test_a_lonely_character_is_never_paired_with_itself_as_different(drawings):
    keep = (drawings.alphabets != 1) | (drawings.classes == 6)  # one character of alphabet B
    roster = Roster(drawings, keep.nonzero().flatten())
    pairs = sample_pairs(roster, 4000, seeded(8))
    different = pairs.same == 0
    left, right = drawings.classes[pairs.first], drawings.classes[pairs.second]
    assert (left != right)[different].all()
    assert ((left == 6) & different).sum() == 500
    with pytest.raises(UserError, match="AlphabetB"):
        sample_pairs(roster, 8, seeded(8), within_alphabet=True)


def test_what_cannot_be_paired_is_an_error(drawings):
    once = Roster(drawings, ((drawings.drawers < 1) | (drawings.classes > 0)).nonzero().flatten())
    name = drawings.class_names[0]
    with pytest.raises(UserError, match=rf"^{name}: one picture only, but a pair needs two"):
        sample_pairs(once, 8, seeded(0))
    all_once = Roster(drawings, (drawings.drawers < 1).nonzero().flatten())
    with pytest.raises(UserError, match=r"^\S+, \S+, \S+, \S+, \S+ and 21 more: one picture only"):
        sample_pairs(all_once, 8, seeded(0))
    alone = Roster(drawings, (drawings.classes == 3).nonzero().flatten())
    with pytest.raises(UserError, match="AlphabetA"):
        sample_pairs(alone, 8, seeded(0))
    with pytest.raises(UserError, match="0 pairs"):
        sample_pairs(whole(drawings), 0, seeded(0))


def test_the_seed_decides_and_nothing_else(drawings):
    roster = whole(drawings)
    torch.manual_seed(1)
    one = sample_pairs(roster, 500, seeded(11))
    torch.manual_seed(2)
    torch.rand(7)
    before = torch.get_rng_state()
    again = sample_pairs(roster, 500, seeded(11))
    assert torch.equal(before, torch.get_rng_state())
    assert one.digest == again.digest
    assert torch.equal(one.second, again.second)
    assert one.digest != sample_pairs(roster, 500, seeded(12)).digest
    swapped = type(one)(one.second, one.first, one.same)
    assert swapped.digest != one.digest


def test_one_pair_is_a_different_one(drawings):
    for seed in range(20):
        (same,) = sample_pairs(whole(drawings), 1, seeded(seed)).same.tolist()
        assert same == 0


def test_alphabets_of_two_characters_are_large_enough(drawings):
    roster = Roster(
        drawings, torch.isin(drawings.classes, torch.tensor([0, 1, 6, 7])).nonzero()[:, 0]
    )
    pairs = sample_pairs(roster, 400, seeded(1), within_alphabet=True)
    left, right = drawings.classes[pairs.first], drawings.classes[pairs.second]
    assert ((left // 6 == right // 6) & ((left == right) == pairs.same.bool())).all()


def test_every_lonely_character_is_named(drawings):
    roster = Roster(
        drawings, torch.isin(drawings.classes, torch.tensor([0, 6, 11, 12])).nonzero()[:, 0]
    )
    with pytest.raises(UserError, match=r"from in AlphabetA, AlphabetB$"):
        sample_pairs(roster, 8, seeded(8), within_alphabet=True)


def test_of_two_alphabets_the_other_picture_comes_from_both_alike(drawings):
    roster = Roster(drawings, drawings.positions(["AlphabetA", "AlphabetB"]))
    pairs = sample_pairs(roster, 20_000, seeded(7))
    different = pairs.same == 0
    crossed = drawings.alphabets[pairs.first] != drawings.alphabets[pairs.second]
    assert abs(crossed[different].float().mean() - 0.5) < 0.03


@pytest.mark.parametrize(
    ("alphabets", "within", "digest"),
    [
        (4, False, "1aafeb4291c76683"),
        (4, True, "902f9d5835b2565f"),
        (1, False, "ac2407311bf1b500"),
        (2, False, "168c22b503f433b4"),
    ],
)
def test_lists_stay_as_they_were(drawings, alphabets, within, digest):
    """A list that changes makes figures incomparable, however good the new one is."""
    roster = Roster(drawings, drawings.positions(drawings.alphabet_names[:alphabets]))
    assert sample_pairs(roster, 101, seeded(0), within).digest == digest


@pytest.mark.omniglot
def test_real_the_repeated_drawing_never_meets_its_copy(omniglot):
    """Braille's first character has one picture twice; no part holds both, so no pair does."""
    from siamese_oneshot.data.splits import split_drawings

    drawings = omniglot.drawings
    train = split_drawings(drawings, "lake").train
    first = drawings.class_names.index("Braille/character01")
    roster = Roster(drawings, train[(drawings.classes[train] - first).abs() <= 1])
    pairs = sample_pairs(roster, 9000, seeded(1))
    same = (pairs.same == 1) & (drawings.classes[pairs.first] == first)
    assert same.sum() > 500
    left, right = drawings.pixels[pairs.first[same]], drawings.pixels[pairs.second[same]]
    assert (left != right).flatten(1).any(1).all()
