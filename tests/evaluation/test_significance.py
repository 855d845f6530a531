from __future__ import annotations

from itertools import product
from math import comb

import pytest
import torch
from comparing import MACHINE, network, pixels

from siamese_oneshot.evaluation.evaluator import evaluate_model
from siamese_oneshot.evaluation.significance import PairedTest, mcnemar, paired_tests
from siamese_oneshot.evaluation.model_evaluation import TaskProvider


@pytest.mark.parametrize(("mine", "theirs"), [(0, 0), (1, 0), (5, 1), (3, 3), (2, 9)])
def test_mcnemar_equals_the_count_of_coin_tosses(mine: int, theirs: int) -> None:
    one = torch.tensor([True] * mine + [False] * theirs + [True, False])
    other = torch.tensor([False] * mine + [True] * theirs + [True, False])
    n = mine + theirs
    tail = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, mine)) / 2**n
    assert mcnemar(one, other) == (mine, theirs, pytest.approx(tail))


def test_the_first_against_each_other_on_the_same_episodes(task_provider: TaskProvider) -> None:
    outcomes = [
        evaluate_model(one, task_provider, MACHINE)
        for one in (network(), pixels(), pixels("slow", most=15))
    ]
    tests = paired_tests(outcomes, ("within_alphabet", "cross_alphabet", "mnist"))
    assert [(one.other, one.key) for one in tests] == list(
        product(
            ("pixels", "slow"), ("within_alphabet", "cross_alphabet")
        )  # nobody was asked about digits
    )
    for one, outcome in zip(tests, [outcomes[1]] * 2 + [outcomes[2]] * 2, strict=True):
        first = outcomes[0].results[one.key].right[: one.episodes]
        second = outcome.results[one.key].right[: one.episodes]
        assert one.episodes == (15 if one.other == "slow" else len(first))
        assert one.difference == pytest.approx(float(first.float().mean() - second.float().mean()))
        assert one.only_one == sum(
            a and not b for a, b in zip(first.tolist(), second.tolist(), strict=True)
        )


def test_other_episodes_are_not_compared(
    task_provider: TaskProvider, task_provider_with_mnist: TaskProvider
) -> None:
    one = evaluate_model(network(), task_provider, MACHINE)
    task_provider_with_mnist.size = type(task_provider.size)(
        **{**vars(task_provider.size), "seed": 7}
    )
    other = evaluate_model(pixels(), task_provider_with_mnist, MACHINE)
    assert paired_tests([one, other], ("within_alphabet", "cross_alphabet")) == []


def test_difference() -> None:
    assert PairedTest("a", "b", "lake_runs", 3, 7, 400, 0.3).difference == pytest.approx(-0.01)
