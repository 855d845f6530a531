"""Who trains, who validates, who tests: the rule of each publication, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.omniglot import BACKGROUND, EVALUATION, RUN_ALPHABETS
from siamese_oneshot.errors import UserError

# Held out of the 30 background alphabets to choose by; each has relatives among those that stay.
HELD_OUT = ("Bengali", "Early_Aramaic", "Japanese_(katakana)")
_OFF_RUNS = tuple(name for name in EVALUATION if name not in RUN_ALPHABETS)
_TEST_DRAWERS = range(0, 4)
_VALIDATION_DRAWERS = range(4, 8)
_TRAIN_DRAWERS = range(8, 20)  # nobody among them drew for the official runs

RULES = {
    "lake": "27 background alphabets train, 3 validate; the 20 evaluation alphabets test",
    "koch": "30 background alphabets by 12 drawers train; the 10 evaluation alphabets of no"
    " official run by 4 other drawers validate; the 10 of the official runs by 4 further drawers"
    " test",
    "koch40": "30 background alphabets and the 10 evaluation alphabets of no official run, less 3"
    " that validate, train; the 10 of the official runs test",
    "shares": "the first three fifths of the alphabets train, the next fifth validates, the last"
    " fifth tests",
}


@dataclass(frozen=True)
class Split:
    """Positions of the pictures of each part; no alphabet is in two parts.

    Attributes:
        name: the rule.
        train, validation, test: int64 positions.
        yardstick: int64 positions: the test alphabets by all drawers, for the long list of trials.
    """

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor
    yardstick: Tensor


def split_drawings(drawings: Drawings, rule: str, held_out: Sequence[str] = HELD_OUT) -> Split:
    """Divide drawings by a rule of ``RULES``.

    A picture that repeats another one bit for bit is in no part. Drawings other than Omniglot are
    always divided by ``shares``.

    Args:
        drawings: all of them.
        rule: ``lake`` (Lake et al. 2019, original background), ``koch`` (paper, section 3.1:
            30/10/10 alphabets, 12/4/4 drawers), ``koch40`` (the paper's 40/10) or ``shares``.
        held_out: the background alphabets that validate under ``lake`` and ``koch40``.

    Returns:
        The parts.

    Raises:
        UserError: an unknown rule, alphabets to hold out that are not background alphabets, or too
            few alphabets to divide.
    """
    if rule not in RULES:
        raise UserError(f"data.split={rule} is unknown; there are {', '.join(RULES)}")
    strangers = sorted(set(held_out) - set(BACKGROUND))
    if drawings.source != "omniglot":
        rule = "shares"
    elif strangers:
        raise UserError(
            f"data.held_out names {', '.join(strangers)}, not among the background alphabets"
        )
    drawers: tuple[range | None, ...] = (None, None, None)
    if rule == "shares":
        train, validation, test = _shares(drawings.alphabet_names)
    elif rule == "koch":
        train, validation, test = BACKGROUND, _OFF_RUNS, RUN_ALPHABETS
        drawers = (_TRAIN_DRAWERS, _VALIDATION_DRAWERS, _TEST_DRAWERS)
    else:
        known = BACKGROUND if rule == "lake" else BACKGROUND + _OFF_RUNS
        train = tuple(name for name in known if name not in held_out)
        validation = tuple(held_out)
        test = EVALUATION if rule == "lake" else RUN_ALPHABETS
    parts = [
        drawings.distinct(drawings.positions(names, by))
        for names, by in zip((train, validation, test), drawers, strict=True)
    ]
    yardstick = parts[2] if drawers[2] is None else drawings.distinct(drawings.positions(test))
    return Split(rule, parts[0], parts[1], parts[2], yardstick)


def _shares(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Three fifths, a fifth and a fifth, at least one each."""
    if len(names) < 3:
        raise UserError(
            f"{len(names)} alphabets cannot be divided into training, validation and test: "
            "at least 3 are needed"
        )
    fifth = max(1, len(names) // 5)
    return names[: -2 * fifth], names[-2 * fifth : -fifth], names[-fifth:]
