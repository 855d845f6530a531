"""Who trains, who validates, who tests: the rule of each publication, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.omniglot import BACKGROUND, EVALUATION, RUN_ALPHABETS, SMALL1, SMALL2
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

# Held out of the 30 background alphabets to choose by; each has relatives among those that stay.
VAL_ALPHABETS = ("Bengali", "Early_Aramaic", "Japanese_(katakana)")
_HELD_OUT_OF = {"small1": ("Early_Aramaic",), "small2": ("Greek",)}
_OFF_RUNS = tuple(name for name in EVALUATION if name not in RUN_ALPHABETS)
_TEST_DRAWERS = range(0, 4)
_VALIDATION_DRAWERS = range(4, 8)
_TRAIN_DRAWERS = range(8, 20)  # nobody among them drew for the official runs
_VINYALS_CLASSES = 1200  # of 1,623: the background, then Angelic … Gurmukhi's first 41

RULES = {
    "lake": "27 background alphabets train, 3 validate; the 20 evaluation alphabets test",
    "koch": "30 background alphabets by 12 drawers train; the 10 evaluation alphabets of no"
    " official run by 4 other drawers validate; the 10 of the official runs by 4 further drawers"
    " test",
    "koch40": "30 background alphabets and the 10 evaluation alphabets of no official run, less 3"
    " that validate, train; the 10 of the official runs test",
    "small1": "4 of the 5 alphabets of the first minimal background train, 1 validates; the 20"
    " evaluation alphabets test",
    "small2": "4 of the 5 alphabets of the second minimal background train, 1 validates; the 20"
    " evaluation alphabets test",
    "background": "all 30 background alphabets train, so nothing may be chosen by the validation"
    " episodes, which are of 3 of them; the 20 evaluation alphabets test",
    "minimal1": "all 5 alphabets of the first minimal background train, so nothing may be chosen by"
    " the validation episodes, which are of one of them; the 20 evaluation alphabets test",
    "minimal2": "all 5 alphabets of the second minimal background train, so nothing may be chosen"
    " by the validation episodes, which are of one of them; the 20 evaluation alphabets test",
    "vinyals": "the first 1,200 characters train, less 3 alphabets that validate; the other 423"
    " test",
    "ratio_60_20_20": "the first three fifths of the alphabets train, the next fifth validates, the last"
    " fifth tests; with fewer than three alphabets, the same shares of each one's characters",
}
FIXED = ("koch", "ratio_60_20_20")  # they themselves say what validates
# What is chosen with the one is trained, with everything, with the other.
BLIND = {"background": "lake", "minimal1": "small1", "minimal2": "small2"}


@dataclass(frozen=True)
class Split:
    """Positions of the images of each part; no character is in two parts, but see ``blind``.

    No alphabet is, either, but for Gurmukhi under ``vinyals`` and for ``shares`` of fewer than
    three alphabets.

    Attributes:
        name: the rule.
        train, validation, test: int64 indices.
        within-alphabet: int64 indices: the test characters by all drawers, for the long list of episodes.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    test_all_drawers: Tensor

    @property
    def blind(self) -> bool:
        """The validation alphabets are among those that train: nothing may be chosen by them."""
        return self.name in BLIND


def split_dataset(
    dataset: CharacterDataset, rule: str, val_alphabets: Sequence[str] | None = None
) -> Split:
    """Divide images by a rule of ``RULES``.

    An image that repeats another one of its part bit for bit is in no part. Images other than
    Omniglot are always divided by ``shares``.

    Args:
        images: all of them.
        rule: ``lake`` (Lake et al. 2019, original background), ``koch`` (paper, section 3.1:
            30/10/10 alphabets, 12/4/4 drawers), ``koch40`` (the paper's 40/10), ``small1`` and
            ``small2`` (Lake et al., minimal backgrounds), ``background``, ``minimal1`` and
            ``minimal2`` (all of theirs, with nothing to choose by), ``vinyals`` (Vinyals et al.
            2016, as the lists of Snell et al. 2017 have it) or ``shares``.
        held_out: the training alphabets that validate instead (rules of ``FIXED`` do not ask);
            where None: Early_Aramaic of ``small1``, Greek of ``small2``, else ``VAL_ALPHABETS``.

    Returns:
        The parts.

    Raises:
        UserError: an unknown rule, alphabets to hold out that the rule does not train on, or too
            few alphabets or characters to divide.
    """
    check.choice("split", rule, RULES)
    named = None if val_alphabets is None else check.names("val_alphabets", val_alphabets)
    if dataset.source != "omniglot" or rule == "ratio_60_20_20":
        return _made(dataset, "ratio_60_20_20", *_shares(dataset))
    if rule == "koch":
        return _made(
            dataset,
            rule,
            dataset.indices(BACKGROUND, _TRAIN_DRAWERS),
            dataset.indices(_OFF_RUNS, _VALIDATION_DRAWERS),
            dataset.indices(RUN_ALPHABETS, _TEST_DRAWERS),
            dataset.indices(RUN_ALPHABETS),
        )
    base = BLIND.get(rule, rule)
    small = {"small1": SMALL1, "small2": SMALL2}.get(base)
    validate = _HELD_OUT_OF.get(base, VAL_ALPHABETS) if named is None else tuple(named)
    strangers = sorted(set(validate) - set(small or BACKGROUND))
    if strangers:
        where = f"the alphabets of {rule}" if small else "the background alphabets"
        raise UserError(f"data.val_alphabets names {', '.join(strangers)}, not among {where}")
    if not validate:
        raise UserError("data.val_alphabets is empty: at least one alphabet has to validate")
    known = small or (BACKGROUND + _OFF_RUNS if rule == "koch40" else BACKGROUND)
    own = known if rule in BLIND else [name for name in known if name not in validate]
    train = dataset.indices(own)
    test = dataset.indices(RUN_ALPHABETS if rule == "koch40" else EVALUATION)
    if rule == "vinyals":
        early = _indices_of(dataset, torch.arange(_VINYALS_CLASSES))
        rest = [name for name in dataset.alphabet_names if name not in validate]
        train = early[torch.isin(early, dataset.indices(rest))]
        test = test[~torch.isin(test, early)]
    return _made(dataset, rule, train, dataset.indices(validate), test)


def _made(
    dataset: CharacterDataset,
    name: str,
    train: Tensor,
    validation: Tensor,
    test: Tensor,
    test_all_drawers: Tensor | None = None,
) -> Split:
    """The split without repeated images."""
    parts = [dataset.distinct(part) for part in (train, validation, test)]
    whole = parts[2] if test_all_drawers is None else dataset.distinct(test_all_drawers)
    return Split(name, parts[0], parts[1], parts[2], whole)


def _indices_of(dataset: CharacterDataset, classes: Tensor) -> Tensor:
    return torch.isin(dataset.classes, classes).nonzero().flatten()


def _shares(dataset: CharacterDataset) -> list[Tensor]:
    """Three fifths, a fifth and a fifth, of the alphabets or else of each alphabet's characters."""
    names = dataset.alphabet_names
    if len(names) >= 3:
        return [dataset.indices(names[part]) for part in _fifths(len(names))]
    parts: list[list[Tensor]] = [[], [], []]
    for alphabet, name in enumerate(names):
        classes = (dataset.class_alphabets == alphabet).nonzero().flatten()
        if len(classes) < 3:
            raise UserError(
                f"{name} has {len(classes)} characters, which cannot be divided into training, "
                "validation and test: at least 3 characters, or 3 alphabets, are needed"
            )
        for part, share in zip(parts, _fifths(len(classes)), strict=True):
            part.append(classes[share])
    return [_indices_of(dataset, torch.cat(part)) for part in parts]


def _fifths(count: int) -> tuple[slice, slice, slice]:
    """Three fifths, a fifth and a fifth of at least three, at least one each, in order."""
    fifth = max(1, count // 5)
    return slice(-2 * fifth), slice(-2 * fifth, -fifth), slice(-fifth, None)
