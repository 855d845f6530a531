"""Who trains, who validates, who tests: the rule of each publication, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot import setting
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.omniglot import BACKGROUND, EVALUATION, RUN_ALPHABETS, SMALL1, SMALL2
from siamese_oneshot.errors import UserError

# Held out of the 30 background alphabets to choose by; each has relatives among those that stay.
HELD_OUT = ("Bengali", "Early_Aramaic", "Japanese_(katakana)")
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
    " trials, which are of 3 of them; the 20 evaluation alphabets test",
    "minimal1": "all 5 alphabets of the first minimal background train, so nothing may be chosen by"
    " the validation trials, which are of one of them; the 20 evaluation alphabets test",
    "minimal2": "all 5 alphabets of the second minimal background train, so nothing may be chosen"
    " by the validation trials, which are of one of them; the 20 evaluation alphabets test",
    "vinyals": "the first 1,200 characters train, less 3 alphabets that validate; the other 423"
    " test",
    "shares": "the first three fifths of the alphabets train, the next fifth validates, the last"
    " fifth tests; with fewer than three alphabets, the same shares of each one's characters",
}
FIXED = ("koch", "shares")  # they themselves say what validates
# What is chosen with the one is trained, with everything, with the other.
BLIND = {"background": "lake", "minimal1": "small1", "minimal2": "small2"}


@dataclass(frozen=True)
class Split:
    """Positions of the pictures of each part; no character is in two parts, but see ``blind``.

    No alphabet is, either, but for Gurmukhi under ``vinyals`` and for ``shares`` of fewer than
    three alphabets.

    Attributes:
        name: the rule.
        train, validation, test: int64 positions.
        yardstick: int64 positions: the test characters by all drawers, for the long list of trials.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    yardstick: Tensor

    @property
    def blind(self) -> bool:
        """The validation alphabets are among those that train: nothing may be chosen by them."""
        return self.name in BLIND


def split_drawings(drawings: Drawings, rule: str, held_out: Sequence[str] | None = None) -> Split:
    """Divide drawings by a rule of ``RULES``.

    A picture that repeats another one of its part bit for bit is in no part. Drawings other than
    Omniglot are always divided by ``shares``.

    Args:
        drawings: all of them.
        rule: ``lake`` (Lake et al. 2019, original background), ``koch`` (paper, section 3.1:
            30/10/10 alphabets, 12/4/4 drawers), ``koch40`` (the paper's 40/10), ``small1`` and
            ``small2`` (Lake et al., minimal backgrounds), ``background``, ``minimal1`` and
            ``minimal2`` (all of theirs, with nothing to choose by), ``vinyals`` (Vinyals et al.
            2016, as the lists of Snell et al. 2017 have it) or ``shares``.
        held_out: the training alphabets that validate instead (rules of ``FIXED`` do not ask);
            where None: Early_Aramaic of ``small1``, Greek of ``small2``, else ``HELD_OUT``.

    Returns:
        The parts.

    Raises:
        UserError: an unknown rule, alphabets to hold out that the rule does not train on, or too
            few alphabets or characters to divide.
    """
    setting.one_of("data.split", rule, RULES)
    named = None if held_out is None else setting.names("data.held_out", held_out)
    if drawings.source != "omniglot" or rule == "shares":
        return _made(drawings, "shares", *_shares(drawings))
    if rule == "koch":
        return _made(
            drawings,
            rule,
            drawings.positions(BACKGROUND, _TRAIN_DRAWERS),
            drawings.positions(_OFF_RUNS, _VALIDATION_DRAWERS),
            drawings.positions(RUN_ALPHABETS, _TEST_DRAWERS),
            drawings.positions(RUN_ALPHABETS),
        )
    base = BLIND.get(rule, rule)
    small = {"small1": SMALL1, "small2": SMALL2}.get(base)
    validate = _HELD_OUT_OF.get(base, HELD_OUT) if named is None else tuple(named)
    strangers = sorted(set(validate) - set(small or BACKGROUND))
    if strangers:
        where = f"the alphabets of {rule}" if small else "the background alphabets"
        raise UserError(f"data.held_out names {', '.join(strangers)}, not among {where}")
    if not validate:
        raise UserError("data.held_out is empty: at least one alphabet has to validate")
    known = small or (BACKGROUND + _OFF_RUNS if rule == "koch40" else BACKGROUND)
    own = known if rule in BLIND else [name for name in known if name not in validate]
    train = drawings.positions(own)
    test = drawings.positions(RUN_ALPHABETS if rule == "koch40" else EVALUATION)
    if rule == "vinyals":
        early = _positions_of(drawings, torch.arange(_VINYALS_CLASSES))
        rest = [name for name in drawings.alphabet_names if name not in validate]
        train = early[torch.isin(early, drawings.positions(rest))]
        test = test[~torch.isin(test, early)]
    return _made(drawings, rule, train, drawings.positions(validate), test)


def _made(
    drawings: Drawings,
    name: str,
    train: Tensor,
    validation: Tensor,
    test: Tensor,
    yardstick: Tensor | None = None,
) -> Split:
    """The split without repeated pictures."""
    parts = [drawings.distinct(part) for part in (train, validation, test)]
    whole = parts[2] if yardstick is None else drawings.distinct(yardstick)
    return Split(name, parts[0], parts[1], parts[2], whole)


def _positions_of(drawings: Drawings, classes: Tensor) -> Tensor:
    return torch.isin(drawings.classes, classes).nonzero().flatten()


def _shares(drawings: Drawings) -> list[Tensor]:
    """Three fifths, a fifth and a fifth, of the alphabets or else of each alphabet's characters."""
    names = drawings.alphabet_names
    if len(names) >= 3:
        return [drawings.positions(names[part]) for part in _fifths(len(names))]
    parts: list[list[Tensor]] = [[], [], []]
    for alphabet, name in enumerate(names):
        classes = (drawings.class_alphabets == alphabet).nonzero().flatten()
        if len(classes) < 3:
            raise UserError(
                f"{name} has {len(classes)} characters, which cannot be divided into training, "
                "validation and test: at least 3 characters, or 3 alphabets, are needed"
            )
        for part, share in zip(parts, _fifths(len(classes)), strict=True):
            part.append(classes[share])
    return [_positions_of(drawings, torch.cat(part)) for part in parts]


def _fifths(count: int) -> tuple[slice, slice, slice]:
    """Three fifths, a fifth and a fifth of at least three, at least one each, in order."""
    fifth = max(1, count // 5)
    return slice(-2 * fifth), slice(-2 * fifth, -fifth), slice(-fifth, None)
