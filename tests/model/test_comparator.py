from __future__ import annotations

import pytest
import torch

from siamese_oneshot.model.comparator import WeightedL1


def slow(comparator: WeightedL1, one: torch.Tensor, other: torch.Tensor) -> float:
    weights = comparator.linear.weight[0].tolist()
    terms = [w * abs(a - b) for w, a, b in zip(weights, one.tolist(), other.tolist(), strict=True)]
    return comparator.linear.bias.item() + sum(terms)


@pytest.fixture
def comparator() -> WeightedL1:
    made = WeightedL1(5)
    torch.nn.init.normal_(made.linear.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(made.linear.bias, 0.7)
    return made


def test_equals_a_hand_loop_and_broadcasts(comparator: WeightedL1) -> None:
    chance = torch.Generator().manual_seed(2)
    query, support = torch.rand(3, 1, 5, generator=chance), torch.rand(1, 4, 5, generator=chance)
    logits = comparator(query, support)
    assert logits.shape == (3, 4)
    expected = [[slow(comparator, query[q, 0], support[0, s]) for s in range(4)] for q in range(3)]
    torch.testing.assert_close(logits, torch.tensor(expected))


def test_equal_embeddings_give_the_bias(comparator: WeightedL1) -> None:
    same = torch.rand(2, 5)
    torch.testing.assert_close(comparator(same, same), torch.full((2,), 0.7))


def test_a_fresh_one_says_different_for_a_distance() -> None:
    logits = WeightedL1(5, weight=-0.25)(torch.zeros(1, 5), torch.ones(1, 5))
    torch.testing.assert_close(logits, torch.tensor([-1.25]))


def test_sums_stay_out_of_bfloat16() -> None:
    """4,096 terms of 0.001 summed in bfloat16 would be far from 4.096."""
    wide = WeightedL1(4096, weight=0.001)
    with torch.autocast("cpu", torch.bfloat16):
        logits = wide(torch.ones(1, 4096, dtype=torch.bfloat16), torch.zeros(1, 4096))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, torch.tensor([4.096]), rtol=1e-5, atol=0)


def test_a_float64_network_compares_in_float64(comparator: WeightedL1) -> None:
    """``trainer.precision=64-true`` makes every weight float64."""
    one, other = torch.rand(2, 5, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64)
    logits = comparator.double()(one, other)
    expected = [slow(comparator, one[k], other[k]) for k in range(2)]
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))
