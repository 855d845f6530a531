"""Verification pairs: never an image with itself, balanced, the same for the same seed."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.omniglot import BACKGROUND, DUPLICATE_CLASSES
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.utils.errors import UserError


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def whole(dataset):
    return ClassIndex(dataset, torch.arange(len(dataset)))


def ragged(dataset):
    """Two to six images of each class."""
    wanted = 2 + dataset.classes % 5
    return ClassIndex(dataset, (dataset.drawers < wanted).nonzero().flatten())


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("part", [whole, ragged])
def test_every_pair_is_what_it_says(dataset, part, within):
    class_index = part(dataset)
    pairs = sample_pairs(class_index, 3000, seeded(0), within)
    allowed = set(class_index.indices.tolist())
    assert pairs.same.dtype == torch.float32
    for first, second, same in zip(
        pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True
    ):
        assert first != second
        assert {first, second} <= allowed
        assert (dataset.classes[first] == dataset.classes[second]) == bool(same)
        if within:
            assert dataset.alphabets[first] == dataset.alphabets[second]


@pytest.mark.parametrize("n", [1, 2, 9, 128, 1001])
@pytest.mark.parametrize("within", [False, True])
def test_half_are_same_and_alphabets_take_turns(dataset, n, within):
    pairs = sample_pairs(whole(dataset), n, seeded(4), within)
    assert len(pairs) == n
    assert pairs.same.sum() == n // 2  # so that one pair is a different one
    for same in (0.0, 1.0):
        firsts = dataset.alphabets[pairs.first[pairs.same == same]]
        counts = firsts.bincount(minlength=4)
        assert counts.max() - counts.min() <= 1


def test_same_and_different_pairs_are_mixed(dataset):
    pairs = sample_pairs(whole(dataset), 4000, seeded(5))
    assert abs(pairs.same[:1000].sum() - 500) < 80  # five standard deviations
    first_alphabets = dataset.alphabets[pairs.first[:1000]].bincount(minlength=4)
    assert (first_alphabets - 250).abs().max() < 80


def test_dataset_and_classes_are_equally_likely(dataset):
    """Of 6 images every ordered two; of an alphabet every class; drawers are independent."""
    class_index = ClassIndex(dataset, dataset.indices(["AlphabetB"]))  # 5 classes by 6 drawers
    pairs = sample_pairs(class_index, 60_000, seeded(6))
    same = pairs.same == 1
    twos = Counter(zip(pairs.first[same].tolist(), pairs.second[same].tolist(), strict=True))
    assert len(twos) == 5 * 6 * 5
    assert max(abs(count - 200) for count in twos.values()) < 90  # sd 14
    left, right = dataset.classes[pairs.first[~same]], dataset.classes[pairs.second[~same]]
    classes = Counter(zip(left.tolist(), right.tolist(), strict=True))
    assert len(classes) == 5 * 4
    assert max(abs(count - 1500) for count in classes.values()) < 240  # sd 38
    drawers = dataset.drawers[pairs.first[~same]] * 6 + dataset.drawers[pairs.second[~same]]
    assert (drawers.bincount(minlength=36) - 833).abs().max() < 180  # sd 28


def test_the_other_image_comes_from_every_alphabet_alike(dataset):
    pairs = sample_pairs(whole(dataset), 40_000, seeded(7))
    different = pairs.same == 0
    seconds = dataset.alphabets[pairs.second[different]].bincount(minlength=4) / 20_000
    assert (seconds - 0.25).abs().max() < 0.02
    firsts = dataset.alphabets[pairs.first[different]]
    crossed = (firsts != dataset.alphabets[pairs.second[different]]).float().mean()
    assert abs(crossed - 0.75) < 0.02


def test_a_lonely_character_is_never_paired_with_itself_as_different(dataset):
    keep = (dataset.alphabets != 1) | (dataset.classes == 6)  # one character of alphabet B
    class_index = ClassIndex(dataset, keep.nonzero().flatten())
    pairs = sample_pairs(class_index, 4000, seeded(8))
    different = pairs.same == 0
    left, right = dataset.classes[pairs.first], dataset.classes[pairs.second]
    assert (left != right)[different].all()
    assert ((left == 6) & different).sum() == 500
    with pytest.raises(UserError, match="AlphabetB"):
        sample_pairs(class_index, 8, seeded(8), within_alphabet=True)


def test_what_cannot_be_paired_is_an_error(dataset):
    once = ClassIndex(dataset, ((dataset.drawers < 1) | (dataset.classes > 0)).nonzero().flatten())
    name = dataset.class_names[0]
    with pytest.raises(UserError, match=rf"^{name}: one image only, but a pair needs two"):
        sample_pairs(once, 8, seeded(0))
    all_once = ClassIndex(dataset, (dataset.drawers < 1).nonzero().flatten())
    with pytest.raises(UserError, match=r"^\S+, \S+, \S+, \S+, \S+ and 21 more: one image only"):
        sample_pairs(all_once, 8, seeded(0))
    alone = ClassIndex(dataset, (dataset.classes == 3).nonzero().flatten())
    with pytest.raises(UserError, match="AlphabetA"):
        sample_pairs(alone, 8, seeded(0))
    lonely = torch.isin(dataset.classes, torch.tensor([0, 6, 11, 12])).nonzero()[:, 0]
    with pytest.raises(UserError, match="AlphabetA, AlphabetB: one character only"):
        sample_pairs(ClassIndex(dataset, lonely), 8, seeded(8), within_alphabet=True)
    with pytest.raises(UserError, match="at least 1 pair"):
        sample_pairs(whole(dataset), 0, seeded(0))


def test_the_seed_decides_and_nothing_else(dataset):
    class_index = whole(dataset)
    torch.manual_seed(1)
    one = sample_pairs(class_index, 500, seeded(11))
    torch.manual_seed(2)
    torch.rand(7)
    before = torch.get_rng_state()
    again = sample_pairs(class_index, 500, seeded(11))
    assert torch.equal(before, torch.get_rng_state())
    assert one.digest == again.digest
    assert torch.equal(one.second, again.second)
    assert one.digest != sample_pairs(class_index, 500, seeded(12)).digest
    swapped = type(one)(one.second, one.first, one.same)
    assert swapped.digest != one.digest


def test_alphabets_of_two_characters_are_large_enough(dataset):
    class_index = ClassIndex(
        dataset, torch.isin(dataset.classes, torch.tensor([0, 1, 6, 7])).nonzero()[:, 0]
    )
    pairs = sample_pairs(class_index, 400, seeded(1), within_alphabet=True)
    left, right = dataset.classes[pairs.first], dataset.classes[pairs.second]
    assert ((left // 6 == right // 6) & ((left == right) == pairs.same.bool())).all()


def test_of_two_alphabets_the_other_image_comes_from_both_alike(dataset):
    class_index = ClassIndex(dataset, dataset.indices(["AlphabetA", "AlphabetB"]))
    pairs = sample_pairs(class_index, 20_000, seeded(7))
    different = pairs.same == 0
    crossed = dataset.alphabets[pairs.first] != dataset.alphabets[pairs.second]
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
def test_lists_stay_as_they_were(dataset, alphabets, within, digest):
    """A list that changes makes figures incomparable, however good the new one is."""
    class_index = ClassIndex(dataset, dataset.indices(dataset.alphabet_names[:alphabets]))
    assert sample_pairs(class_index, 101, seeded(0), within).digest == digest


@pytest.mark.parametrize("within", [False, True])
def test_duplicate_classes_are_never_a_different_pair(dataset, within):
    """Pairs that would be are replaced by others of the same first image; the rest stays."""
    alike = torch.tensor([6, 7, 8, 9])  # four of the five classes of AlphabetB
    names = tuple(dataset.class_names[k] for k in alike.tolist())
    plain = sample_pairs(whole(dataset), 4000, seeded(3), within)
    twice = replace(dataset, duplicate_classes=(names,))
    pairs = sample_pairs(whole(twice), 4000, seeded(3), within)
    together = torch.isin(dataset.classes[torch.stack([plain.first, plain.second])], alike).all(0)
    wrong = together & (plain.same == 0)
    assert wrong.sum() > 40
    assert torch.equal(pairs.first, plain.first)
    assert torch.equal(pairs.same, plain.same)
    assert torch.equal(pairs.second[~wrong], plain.second[~wrong])
    others = dataset.classes[pairs.second[wrong]]
    assert not torch.isin(others, alike).any()
    assert set(dataset.alphabets[pairs.second[wrong]].tolist()) == ({1} if within else {0, 1, 2, 3})
    again = sample_pairs(whole(twice), 4000, seeded(3), within)
    assert again.digest == pairs.digest


def test_an_alphabet_of_one_character_in_two_classes_is_lonely(dataset):
    twice = replace(dataset, duplicate_classes=(dataset.class_names[6:11],))
    with pytest.raises(UserError, match="AlphabetB: one character only"):
        sample_pairs(whole(twice), 8, seeded(8), within_alphabet=True)
    pairs = sample_pairs(whole(twice), 4000, seeded(8))
    both = dataset.alphabets[torch.stack([pairs.first, pairs.second])] == 1
    assert not (both.all(0) & (pairs.same == 0)).any()
    alone = ClassIndex(twice, dataset.indices(["AlphabetB"]))
    with pytest.raises(UserError, match="AlphabetB: one character only"):
        sample_pairs(alone, 8, seeded(8))


@pytest.mark.omniglot
@pytest.mark.parametrize("within", [False, True])
def test_real_duplicates_are_never_a_different_pair(omniglot, within):
    dataset = omniglot.dataset
    class_index = ClassIndex(dataset, dataset.indices(BACKGROUND[20:]))
    plain = ClassIndex(replace(dataset, duplicate_classes=()), class_index.indices)
    pairs, old = (sample_pairs(one, 60_000, seeded(1), within) for one in (class_index, plain))
    sets = [{dataset.class_names.index(name) for name in one} for one in DUPLICATE_CLASSES]

    def wrong(pairs):
        rows = zip(
            *(dataset.classes[one].tolist() for one in (pairs.first, pairs.second)), strict=True
        )
        return [any(a != b and {a, b} <= one for one in sets) for a, b in rows]

    assert sum(wrong(old)) > 5
    assert not any(wrong(pairs))
    changed = (pairs.second != old.second).tolist()
    assert changed == wrong(old)


@pytest.mark.omniglot
def test_real_the_repeated_image_never_meets_its_copy(omniglot):
    """Braille's first character has one image twice; no part holds both, so no pair does."""
    from siamese_oneshot.data.splits import split_dataset

    dataset = omniglot.dataset
    train = split_dataset(dataset, "lake").train
    first = dataset.class_names.index("Braille/character01")
    class_index = ClassIndex(dataset, train[(dataset.classes[train] - first).abs() <= 1])
    pairs = sample_pairs(class_index, 9000, seeded(1))
    same = (pairs.same == 1) & (dataset.classes[pairs.first] == first)
    assert same.sum() > 500
    left, right = dataset.pixels[pairs.first[same]], dataset.pixels[pairs.second[same]]
    assert (left != right).flatten(1).any(1).all()
