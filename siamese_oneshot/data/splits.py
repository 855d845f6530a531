"""Splits into training, validation and test images, by the names of publications."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot import (
    BACKGROUND,
    EVALUATION,
    RUN_ALPHABETS,
    RUN_DRAWERS,
    SMALL1,
    SMALL2,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError, UserError

# Validation alphabets of the 30 background alphabets; each has relatives among the others.
VAL_ALPHABETS = ("Bengali", "Early_Aramaic", "Japanese_(katakana)")
_SMALL_VAL_ALPHABETS = {"small1": ("Early_Aramaic",), "small2": ("Greek",)}
_NO_RUN_ALPHABETS = tuple(name for name in EVALUATION if name not in RUN_ALPHABETS)
# Drawers are numbered within an alphabet. Those of Lake's runs are all among the first eight.
_VALIDATION_DRAWERS = range(4, 8)
_TRAIN_DRAWERS = range(8, 20)
_TEST_DRAWERS: dict[str, Mapping[str, Sequence[int]]] = {
    "koch": RUN_DRAWERS,
    "koch_drawers_1_4": dict.fromkeys(RUN_ALPHABETS, range(4)),
}
_VINYALS_CLASSES = 1200  # of 1,623: the background, then Angelic … Gurmukhi's first 41

TEST_ONLY = "test_only"
RULES = (  # docs/reproduce.md says what each trains, validates and tests on
    "lake", "koch", "koch_drawers_1_4", "koch40", "small1", "small2", "background", "minimal1",
    "minimal2", "vinyals", "ratio_60_20_20", TEST_ONLY,
)  # fmt: skip
FOLD = re.compile(r"fold_([1-9]\d*)_of_([1-9]\d*)")
FIXED = (*_TEST_DRAWERS, "ratio_60_20_20", TEST_ONLY)  # define their validation images themselves
# Splits that train on their validation alphabets, and the split to select settings with instead.
TRAINS_ON_VALIDATION = {"background": "lake", "minimal1": "small1", "minimal2": "small2"}


@dataclass(frozen=True)
class Split:
    """Image indices of each part.

    No character is in two parts, but in the splits of `TRAINS_ON_VALIDATION` those of validation
    are also in training. Nor is any other alphabet, except for Gurmukhi under ``vinyals`` and for
    ``ratio_60_20_20`` of fewer than three alphabets.

    Attributes:
        name: Name of the split.
        train, validation, test: int64 indices.
        test_all_drawers: int64 indices: the test characters by all drawers.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    test_all_drawers: Tensor

    @property
    def trains_on_validation(self) -> bool:
        """Whether the validation alphabets are trained on, so that they must not select a model."""
        return self.name in TRAINS_ON_VALIDATION


def split_dataset(
    dataset: CharacterDataset, split: str, val_alphabets: Sequence[str] | None = None
) -> Split:
    """Split a dataset.

    Exact duplicates of an earlier image of their class are left out of all parts. Datasets other
    than Omniglot are split by ``ratio_60_20_20``, ``test_only`` or ``fold_1_of_5`` and the like.

    Args:
        dataset: All images.
        split: One of `RULES`, or ``fold_k_of_n``, which tests every n-th alphabet by name from the
            k-th one, validates with the next fold's, and trains on the others. ``test_only`` is for
            networks that learned from no alphabet and have their own thresholds.
        val_alphabets: Training alphabets to validate with instead of the split's own, which are
            Early_Aramaic (``small1``), Greek (``small2``) or `VAL_ALPHABETS`. Splits in `FIXED`
            ignore it.

    Raises:
        ArgumentError: If the split is unknown, or a validation alphabet is not one that it trains
            on.
        UserError: If there are too few alphabets or characters.
    """
    if match := FOLD.fullmatch(str(split)):
        return _split_of(dataset, split, *_fold(dataset, split, *map(int, match.groups())))
    check.choice("split", split, RULES)
    if split == TEST_ONLY:
        every = torch.arange(len(dataset))
        return _split_of(dataset, split, every[:0], every, every)
    chosen = None if val_alphabets is None else check.names("val_alphabets", val_alphabets)
    if dataset.source != "omniglot" or split == "ratio_60_20_20":
        return _split_of(dataset, "ratio_60_20_20", *_by_ratio(dataset))
    if split in _TEST_DRAWERS:
        test_drawers = _TEST_DRAWERS[split].items()
        return _split_of(
            dataset,
            split,
            dataset.indices(BACKGROUND, _TRAIN_DRAWERS),
            dataset.indices(_NO_RUN_ALPHABETS, _VALIDATION_DRAWERS),
            torch.cat([dataset.indices([name], drawers) for name, drawers in test_drawers]),
            dataset.indices(RUN_ALPHABETS),
        )
    base = TRAINS_ON_VALIDATION.get(split, split)
    small = {"small1": SMALL1, "small2": SMALL2}.get(base)
    default = _SMALL_VAL_ALPHABETS.get(base, VAL_ALPHABETS)
    validation = default if chosen is None else tuple(chosen)
    unknown = sorted(set(validation) - set(small or BACKGROUND))
    if unknown or not validation:
        background = f"the alphabets of {split}" if small else "the background alphabets"
        message = (
            f"{', '.join(unknown)} not among {background}" if unknown else
            "at least one alphabet is needed for validation"
        )  # fmt: skip
        raise ArgumentError("val_alphabets", ",".join(validation), message=message)
    alphabets = small or (BACKGROUND + _NO_RUN_ALPHABETS if split == "koch40" else BACKGROUND)
    if split not in TRAINS_ON_VALIDATION:
        alphabets = tuple(name for name in alphabets if name not in validation)
    if not alphabets:
        message = "no alphabet is left for training"
        raise ArgumentError("val_alphabets", ",".join(validation), message=message)
    train = dataset.indices(alphabets)
    test = dataset.indices(RUN_ALPHABETS if split == "koch40" else EVALUATION)
    if split == "vinyals":
        early = _images_of(dataset, torch.arange(_VINYALS_CLASSES))
        others = [name for name in dataset.alphabet_names if name not in validation]
        train = early[torch.isin(early, dataset.indices(others))]
        test = test[~torch.isin(test, early)]
    return _split_of(dataset, split, train, dataset.indices(validation), test)


def _split_of(
    dataset: CharacterDataset,
    name: str,
    train: Tensor,
    validation: Tensor,
    test: Tensor,
    test_all_drawers: Tensor | None = None,
) -> Split:
    """The split without repeated images."""
    train, validation, test = (dataset.distinct(one) for one in (train, validation, test))
    all_drawers = test if test_all_drawers is None else dataset.distinct(test_all_drawers)
    return Split(name, train, validation, test, all_drawers)


def _images_of(dataset: CharacterDataset, classes: Tensor) -> Tensor:
    return torch.isin(dataset.classes, classes).nonzero().flatten()


def _fold(dataset: CharacterDataset, split: str, fold: int, n: int) -> list[Tensor]:
    """Training, validation and test images of a fold over alphabets."""
    names, most = dataset.alphabet_names, len(dataset.alphabet_names)
    if not 3 <= n <= most or fold > n:
        message = f"a fold of 3 or more, and of at most as many as there are alphabets ({most})"
        raise ArgumentError("split", split, message)
    test, validation = names[fold - 1 :: n], names[fold % n :: n]
    train = [name for name in names if name not in (*test, *validation)]
    return [dataset.indices(part) for part in (train, validation, test)]


def _by_ratio(dataset: CharacterDataset) -> list[Tensor]:
    """60, 20 and 20% of the alphabets or, if there are too few, of each alphabet's characters."""
    names = dataset.alphabet_names
    if len(names) >= 3:
        return [dataset.indices(names[part]) for part in _fifths(len(names))]
    parts: list[list[Tensor]] = [[], [], []]
    for alphabet, name in enumerate(names):
        classes = (dataset.class_alphabets == alphabet).nonzero().flatten()
        if len(classes) < 3:
            raise UserError(
                f"{name} has {len(classes)} characters, which cannot be split into training, "
                "validation and test: at least 3 characters, or 3 alphabets, are needed"
            )
        for part, slice_ in zip(parts, _fifths(len(classes)), strict=True):
            part.append(classes[slice_])
    return [_images_of(dataset, torch.cat(part)) for part in parts]


def _fifths(count: int) -> tuple[slice, slice, slice]:
    """Three fifths, one fifth and one fifth of at least three things, at least one each."""
    fifth = max(1, count // 5)
    return slice(-2 * fifth), slice(-2 * fifth, -fifth), slice(-fifth, None)
