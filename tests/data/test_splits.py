"""Who trains, who validates, who tests: disjoint, complete, exact on the real data."""

from dataclasses import replace

import pytest
import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot import BACKGROUND, EVALUATION, RUN_DRAWERS
from siamese_oneshot.data.splits import RULES, VAL_ALPHABETS, split_dataset
from siamese_oneshot.utils.errors import UserError

# The ten alphabets of Lake's runs and the other ten of the evaluation set, as published.
RUNS = {
    "Atlantean", "Ge_ez", "Glagolitic", "Gurmukhi", "Kannada", "Malayalam", "Manipuri",
    "Old_Church_Slavonic_(Cyrillic)", "Tengwar", "Tibetan",
}  # fmt: skip
OFF_RUNS = {
    "Angelic", "Atemayar_Qelisayer", "Aurek-Besh", "Avesta", "Keble", "Mongolian", "Oriya",
    "Sylheti", "Syriac_(Serto)", "ULOG",
}  # fmt: skip
HELD = {"Bengali", "Early_Aramaic", "Japanese_(katakana)"}


def parts(split):
    return split.train, split.validation, split.test


def names(dataset, indices):
    return {dataset.alphabet_names[a] for a in dataset.alphabets[indices].unique().tolist()}


def tiny(alphabets, source="synthetic", characters=2):
    """Characters by two drawers in each of so many alphabets, all images different."""
    count = alphabets * characters * 2
    labels = tuple(f"Alphabet{k:02d}" for k in range(alphabets))
    return CharacterDataset(
        pixels=torch.arange(count).view(-1, 1, 1).to(torch.uint8),
        classes=torch.arange(count) // 2,
        drawers=torch.arange(count) % 2,
        class_names=tuple(f"{name}/{c}" for name in labels for c in range(characters)),
        alphabet_names=labels,
        class_alphabets=torch.arange(alphabets * characters) // characters,
        source=source,
    )


@pytest.mark.parametrize(
    ("alphabets", "sizes"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2))]
)
def test_shares_take_every_alphabet_once_in_order(alphabets, sizes):
    dataset = tiny(alphabets)
    split = split_dataset(dataset, "ratio_60_20_20")
    assert tuple(len(names(dataset, part)) for part in parts(split)) == sizes
    together = torch.cat(parts(split))
    assert together.tolist() == list(range(len(dataset)))  # the last alphabet is not forgotten
    assert torch.equal(split.test_all_drawers, split.test)


def test_all_alphabets_are_tested_by_test_only():
    dataset = tiny(2)
    split = split_dataset(dataset, "test_only")
    assert (split.name, len(split.train)) == ("test_only", 0)
    assert split.test.tolist() == split.test_all_drawers.tolist() == list(range(len(dataset)))


@pytest.mark.parametrize(("alphabets", "n"), [(3, 3), (5, 3), (10, 5)])
@pytest.mark.parametrize("source", ["synthetic", "omniglot"])
def test_folds_test_every_alphabet_once_and_keep_the_parts_apart(alphabets, n, source):
    dataset, tested = tiny(alphabets, source), []
    for fold in range(1, n + 1):
        split = split_dataset(dataset, f"fold_{fold}_of_{n}")
        own = [names(dataset, part) for part in parts(split)]
        assert all(own)
        assert sum(map(len, own)) == len(set.union(*own)) == alphabets
        following = split_dataset(dataset, f"fold_{fold % n + 1}_of_{n}")
        assert torch.equal(split.validation, following.test)
        tested += sorted(own[2])
    assert sorted(tested) == list(dataset.alphabet_names)


@pytest.mark.parametrize("split", ["fold_1_of_2", "fold_4_of_3", "fold_1_of_6"])
def test_folds_that_there_are_not(split):
    with pytest.raises(UserError, match=rf"split={split}: it must be .* alphabets \(5\)"):
        split_dataset(tiny(5), split)


def test_omniglot_can_be_divided_by_shares_too():
    split = split_dataset(tiny(5, source="omniglot"), "ratio_60_20_20")
    other = split_dataset(tiny(5), "ratio_60_20_20")
    assert split.name == "ratio_60_20_20"
    assert all(map(torch.equal, parts(split), parts(other)))


@pytest.mark.parametrize("rule", sorted({*RULES} - {"test_only"}))
def test_other_data_are_divided_by_shares_whatever_the_rule(dataset, rule):
    split = split_dataset(dataset, rule)
    assert split.name == "ratio_60_20_20"
    assert names(dataset, split.train) == {"AlphabetA", "AlphabetB"}
    assert names(dataset, split.validation) == {"AlphabetC"}
    assert names(dataset, split.test) == {"AlphabetD"}


def test_repeats_are_in_no_part(dataset):
    pixels = dataset.pixels.clone()
    pixels[3] = pixels[0]
    pixels[-1] = pixels[-2]
    split = split_dataset(replace(dataset, pixels=pixels), "ratio_60_20_20")
    left = set(range(len(dataset))) - set(torch.cat(parts(split)).tolist())
    assert left == {3, len(dataset) - 1}
    assert len(dataset) - 1 not in split.test_all_drawers


def test_what_cannot_be_divided_is_an_error():
    with pytest.raises(UserError, match="split=lakes: it must be one of lake, koch"):
        split_dataset(tiny(5), "lakes")
    with pytest.raises(
        UserError,
        match=r"^Alphabet00 has 2 .* or 3 alphabets, are needed$",
    ):
        split_dataset(tiny(2), "ratio_60_20_20")
    with pytest.raises(UserError, match="val_alphabets=: at least one alphabet"):
        split_dataset(tiny(5, source="omniglot"), "lake", [])
    with pytest.raises(UserError, match="Bengali not among the alphabets of small1"):
        split_dataset(tiny(5, source="omniglot"), "small1", ["Bengali"])
    with pytest.raises(UserError, match="Alphabet01 not among the background"):
        split_dataset(tiny(5, source="omniglot"), "lake", ["Greek", "Alphabet01"])
    with pytest.raises(UserError, match="Tengwar not among the background"):
        split_dataset(tiny(5, source="omniglot"), "lake", ["Tengwar"])


@pytest.mark.parametrize(("characters", "sizes"), [(3, (1, 1, 1)), (11, (7, 2, 2))])
@pytest.mark.parametrize("alphabets", [1, 2])
def test_few_alphabets_are_divided_by_characters(alphabets, characters, sizes):
    dataset = tiny(alphabets, characters=characters)
    split = split_dataset(dataset, "ratio_60_20_20")
    classes = [dataset.classes[part].unique() for part in parts(split)]
    assert tuple(len(part) for part in classes) == tuple(alphabets * size for size in sizes)
    for part, own in zip(parts(split), classes, strict=True):
        assert len(part) == 2 * len(own)
        assert len(names(dataset, part)) == alphabets
    assert torch.cat(classes).sort().values.tolist() == list(range(alphabets * characters))


def standin():
    """Omniglot's 50 alphabets, one character each, by its 20 drawers; images of two pixels."""
    labels = BACKGROUND + EVALUATION
    number = torch.arange(50 * 20)
    return CharacterDataset(
        pixels=torch.stack([number % 256, number // 256], 1)[:, None].to(torch.uint8),
        classes=number // 20,
        drawers=number % 20,
        class_names=tuple(f"{name}/character01" for name in labels),
        alphabet_names=labels,
        class_alphabets=torch.arange(50),
        source="omniglot",
    )


def alphabets_of(rule):
    return {
        "lake": (set(BACKGROUND) - HELD, HELD, RUNS | OFF_RUNS),
        "koch": (set(BACKGROUND), OFF_RUNS, RUNS),
        "koch_drawers_1_4": (set(BACKGROUND), OFF_RUNS, RUNS),
        "koch40": ((set(BACKGROUND) - HELD) | OFF_RUNS, HELD, RUNS),
        "small1": ({"Balinese", "Greek", "Korean", "Latin"}, {"Early_Aramaic"}, RUNS | OFF_RUNS),
        "small2": (
            {"Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"},
            {"Greek"},
            RUNS | OFF_RUNS,
        ),
    }[rule]


@pytest.mark.parametrize("rule", ["lake", "koch", "koch_drawers_1_4", "koch40", "small1", "small2"])
def test_alphabets_of_each_rule(rule):
    dataset = standin()
    split = split_dataset(dataset, rule)
    assert split.name == rule
    assert tuple(names(dataset, part) for part in parts(split)) == alphabets_of(rule)
    assert names(dataset, split.test_all_drawers) == names(dataset, split.test)


@pytest.mark.parametrize(
    ("rule", "chosen_with"),
    [("background", "lake"), ("minimal1", "small1"), ("minimal2", "small2")],
)
def test_validation_alphabets_train_too_and_is_said_to(rule, chosen_with):
    dataset = standin()
    split, before = split_dataset(dataset, rule), split_dataset(dataset, chosen_with)
    assert split.name == rule
    assert split.trains_on_validation
    assert not before.trains_on_validation
    everything = torch.cat([before.train, before.validation]).sort().values
    assert torch.equal(split.train, everything)
    assert torch.equal(split.validation, before.validation)
    assert torch.equal(split.test, before.test)
    assert not names(dataset, split.train) & names(dataset, split.test)
    if rule == "background":
        assert names(dataset, split.train) == set(BACKGROUND)
        assert names(dataset, split_dataset(dataset, rule, ["Greek"]).validation) == {"Greek"}


@pytest.mark.parametrize("rule", ["koch", "koch_drawers_1_4"])
def test_koch_takes_four_new_drawers_for_each_task_and_all_for_within_alphabet(rule):
    dataset = standin()
    place = dataset.alphabet_names.index("Tibetan") * 20
    dataset.pixels[place + 9] = dataset.pixels[place + 8]
    split = split_dataset(dataset, rule)
    assert names(dataset, split.train) == set(BACKGROUND)
    assert (*map(len, parts(split)),) == (30 * 12, 10 * 4, 10 * 4)
    assert len(split.test_all_drawers) == 10 * 20 - 1
    assert place + 9 not in split.test_all_drawers
    assert names(dataset, split.test_all_drawers) == names(dataset, split.test) == RUNS
    for alphabet in RUNS:
        images = split.test[dataset.alphabets[split.test] == EVALUATION.index(alphabet) + 30]
        drawers = RUN_DRAWERS[alphabet] if rule == "koch" else range(4)
        assert dataset.drawers[images].tolist() == list(drawers)


# Images: 964 background characters, 659 of evaluation, 382 of them in Lake's runs;
# 22 + 46 + 47 characters held out; Braille's first character has one image twice (drawers 3, 19).
COUNTS = {
    "lake": ((964 - 115) * 20 - 1, 115 * 20, 659 * 20, 659 * 20),
    "koch": (964 * 12, 277 * 4, 382 * 4, 382 * 20),
    "koch_drawers_1_4": (964 * 12, 277 * 4, 382 * 4, 382 * 20),
    "koch40": ((964 - 115 + 277) * 20 - 1, 115 * 20, 382 * 20, 382 * 20),
    "small1": ((24 + 24 + 40 + 26) * 20, 22 * 20, 659 * 20, 659 * 20),
    "small2": ((47 + 26 + 42 + 17) * 20, 24 * 20, 659 * 20, 659 * 20),
}
DRAWERS = dict.fromkeys(COUNTS, (range(20), range(20), range(20))) | {
    "koch": (range(8, 20), range(4, 8), range(8)),
    "koch_drawers_1_4": (range(8, 20), range(4, 8), range(4)),
}


@pytest.mark.omniglot
@pytest.mark.parametrize("rule", sorted(COUNTS))
def test_real_counts_and_lake_runs(omniglot, rule):
    dataset = omniglot.dataset
    split = split_dataset(dataset, rule)
    assert (*map(len, parts(split)), len(split.test_all_drawers)) == COUNTS[rule]
    assert tuple(names(dataset, part) for part in parts(split)) == alphabets_of(rule)
    for part, drawers in zip(parts(split), DRAWERS[rule], strict=True):
        assert (part.diff() > 0).all()  # sorted, none twice
        assert dataset.drawers[part].unique().tolist() == list(drawers)
    assert dataset.drawers[split.test_all_drawers].unique().tolist() == list(range(20))
    runs = torch.cat([omniglot.runs.queries, omniglot.runs.supports.flatten()])
    # the paper's test drawers are those of Lake's runs
    assert torch.isin(runs, split.test if rule == "koch" else split.test_all_drawers).all()
    assert not torch.isin(runs, torch.cat([split.train, split.validation])).any()
    assert names(dataset, runs) == RUNS


@pytest.mark.omniglot
def test_real_other_alphabets_can_be_val_alphabets(omniglot):
    dataset = omniglot.dataset
    split = split_dataset(dataset, "lake", ["Tifinagh", "Greek"])
    assert names(dataset, split.validation) == {"Tifinagh", "Greek"}
    assert set(VAL_ALPHABETS) <= names(dataset, split.train)
    assert len(split.train) == (964 - 55 - 24) * 20 - 1


@pytest.mark.omniglot
def test_real_vinyals_split(omniglot):
    """As in the lists of Snell et al.: 1,200 characters, then 423 from Gurmukhi's 42nd on."""
    dataset = omniglot.dataset
    split = split_dataset(dataset, "vinyals")
    classes = [dataset.classes[part].unique() for part in parts(split)]
    assert tuple(map(len, classes)) == (1200 - 115, 115, 423)
    assert names(dataset, split.validation) == HELD
    assert torch.cat(classes).unique().numel() == 1623
    test = {dataset.class_names[k] for k in classes[2].tolist()}
    assert {f"Gurmukhi/character{k}" for k in (42, 43, 44, 45)} < test
    assert "Gurmukhi/character41" not in test
    assert names(dataset, split.test) == {
        "Gurmukhi", "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Oriya",
        "Old_Church_Slavonic_(Cyrillic)", "Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG",
    }  # fmt: skip
    assert torch.equal(split.test, split.test_all_drawers)
