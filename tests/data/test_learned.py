"""What a network learned from, in words."""

from __future__ import annotations

import torch
from siamese_oneshot.data.training_summary import learned

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot import Omniglot
from siamese_oneshot.data.splits import split_dataset


def told(dataset: CharacterDataset, rule: str, characters: int, generated: int = 0) -> str:
    split = split_dataset(dataset, rule)
    train = ClassIndex(dataset, split.train)
    out = train.left_out(characters, 3)
    validation = ClassIndex(dataset, split.validation)
    return learned(dataset.source, train, out, validation, generated)


def test_alphabets_that_no_batch_takes_are_not_counted(omniglot: Omniglot) -> None:
    """Blackfoot and Ojibwe have 14 characters each."""
    dataset = omniglot.dataset
    assert (
        told(dataset, "lake", 14) == "27 background alphabets by 20 drawers (3 more to choose by)"
    )
    assert (
        told(dataset, "lake", 16) == "25 background alphabets by 20 drawers (3 more to choose by)"
    )
    assert told(dataset, "background", 16) == "28 background alphabets by 20 drawers"
    koch = "30 background alphabets by 12 drawers (10 more to choose by)"
    assert told(dataset, "koch", 2) == koch
    assert told(dataset, "koch40", 2) == "37 alphabets by 20 drawers (3 more to choose by)"
    assert told(dataset, "minimal1", 2, 9).endswith(
        "alphabets by 20 drawers, and 9 generated alphabets"
    )


def test_other_dataset_say_so(dataset: CharacterDataset) -> None:
    train = ClassIndex(dataset, dataset.indices(["AlphabetA"], range(4)))
    text = learned("folder", train, [], train, 0)
    assert text == "data=folder: 1 alphabet by 4 drawers"
    other = ClassIndex(dataset, torch.arange(len(dataset)))
    assert (
        learned("synthetic", other, ["AlphabetB"], train, 0)
        == "data=synthetic: 3 alphabets by 6 drawers"
    )
