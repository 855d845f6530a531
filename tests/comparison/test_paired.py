from __future__ import annotations

from itertools import product
from math import comb

import pytest
import torch
from comparing import MACHINE, network, pixels

from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.paired import Paired, mcnemar, paired_tests
from siamese_oneshot.comparison.sitting import sit


@pytest.mark.parametrize(("mine", "theirs"), [(0, 0), (1, 0), (5, 1), (3, 3), (2, 9)])
def test_mcnemar_equals_the_count_of_coin_tosses(mine: int, theirs: int) -> None:
    one = torch.tensor([True] * mine + [False] * theirs + [True, False])
    other = torch.tensor([False] * mine + [True] * theirs + [True, False])
    n = mine + theirs
    tail = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, mine)) / 2**n
    assert mcnemar(one, other) == (mine, theirs, pytest.approx(tail))


def test_the_first_against_each_other_on_the_same_trials(desk: Desk) -> None:
    outcomes = [sit(one, desk, MACHINE) for one in (network(), pixels(), pixels("slow", most=15))]
    tests = paired_tests(outcomes, ("yardstick", "across", "mnist"))
    assert [(one.other, one.key) for one in tests] == list(
        product(("pixels", "slow"), ("yardstick", "across"))  # nobody was asked about digits
    )
    for one, outcome in zip(tests, [outcomes[1]] * 2 + [outcomes[2]] * 2, strict=True):
        first = outcomes[0].answered[one.key].right[: one.trials]
        second = outcome.answered[one.key].right[: one.trials]
        assert one.trials == (15 if one.other == "slow" else len(first))
        assert one.difference == pytest.approx(float(first.float().mean() - second.float().mean()))
        assert one.only_one == sum(
            a and not b for a, b in zip(first.tolist(), second.tolist(), strict=True)
        )


def test_other_trials_are_not_compared(desk: Desk, desk_with_digits: Desk) -> None:
    one = sit(network(), desk, MACHINE)
    desk_with_digits.size = type(desk.size)(**{**vars(desk.size), "seed": 7})
    other = sit(pixels(), desk_with_digits, MACHINE)
    assert paired_tests([one, other], ("yardstick", "across")) == []


def test_difference() -> None:
    assert Paired("a", "b", "official", 3, 7, 400, 0.3).difference == pytest.approx(-0.01)
