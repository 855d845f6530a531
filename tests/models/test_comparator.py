from __future__ import annotations

import pytest
import torch

from siamese_oneshot.models.similarity import CrossAttention, WeightedL1
from siamese_oneshot.utils.errors import UserError


def slow(similarity: WeightedL1, one: torch.Tensor, other: torch.Tensor) -> float:
    weights = similarity.linear.weight[0].tolist()
    terms = [w * abs(a - b) for w, a, b in zip(weights, one.tolist(), other.tolist(), strict=True)]
    return similarity.linear.bias.item() + sum(terms)


@pytest.fixture
def similarity() -> WeightedL1:
    made = WeightedL1(5)
    torch.nn.init.normal_(made.linear.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(made.linear.bias, 0.7)
    return made


def test_equals_a_hand_loop_and_broadcasts(similarity: WeightedL1) -> None:
    rng = torch.Generator().manual_seed(2)
    query, support = torch.rand(3, 1, 5, generator=rng), torch.rand(1, 4, 5, generator=rng)
    logits = similarity(query, support)
    assert logits.shape == (3, 4)
    expected = [[slow(similarity, query[q, 0], support[0, s]) for s in range(4)] for q in range(3)]
    torch.testing.assert_close(logits, torch.tensor(expected))


def test_equal_embeddings_give_the_bias(similarity: WeightedL1) -> None:
    same = torch.rand(2, 5)
    torch.testing.assert_close(similarity(same, same), torch.full((2,), 0.7))


def test_a_fresh_one_says_different_for_a_distance() -> None:
    logits = WeightedL1(5, weight_init=-0.25)(torch.zeros(1, 5), torch.ones(1, 5))
    torch.testing.assert_close(logits, torch.tensor([-1.25]))


def test_sums_stay_out_of_bfloat16() -> None:
    """4,096 terms of 0.001 summed in bfloat16 would be far from 4.096."""
    wide = WeightedL1(4096, weight_init=0.001)
    with torch.autocast("cpu", torch.bfloat16):
        logits = wide(torch.ones(1, 4096, dtype=torch.bfloat16), torch.zeros(1, 4096))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, torch.tensor([4.096]), rtol=1e-5, atol=0)


def test_a_float64_network_compares_in_float64(similarity: WeightedL1) -> None:
    """``trainer.precision=64-true`` makes every weight float64."""
    one, other = torch.rand(2, 5, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64)
    logits = similarity.double()(one, other)
    expected = [slow(similarity, one[k], other[k]) for k in range(2)]
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))


def attention(differences: bool) -> CrossAttention:
    made = CrossAttention(4 + 2**2 * 6, 4, 6, heads=2, channelwise_l1=differences)
    rng = torch.Generator().manual_seed(4)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, generator=rng)
    return made


def found(made: CrossAttention, one: torch.Tensor, other: torch.Tensor) -> float:
    """What one image's places find in the other, one number at a time."""
    places, part = made.places, made.local // made.heads
    mine, theirs = (x[made.whole :].view(places**2, made.heads, part) for x in (one, other))

    def near(head: int, p: int, q: int) -> torch.Tensor:
        down, across = q // places - p // places, q % places - p % places
        middle = places - 1
        there = made.near[head, middle + down, middle + across]
        return 0.5 * (there + made.near[head, middle - down, middle - across])

    total = 0.0
    for head in range(made.heads):
        counts = torch.stack([mine[p, head] @ made.importance[head] for p in range(places**2)])
        for p in range(places**2):
            alike = torch.stack([mine[p, head] @ theirs[q, head] for q in range(places**2)])
            close = torch.stack([near(head, p, q) for q in range(places**2)])
            shares = (made.sharpness[head].exp() * alike + close).softmax(0)
            value = (shares @ alike) * made.likeness[head]
            if made.differences is not None:
                there = sum(shares[q] * theirs[q, head] for q in range(places**2))
                value += (mine[p, head] - there).abs() @ made.differences[head]
            total += float(counts.softmax(0)[p] * value)
    return total


@pytest.mark.parametrize("differences", [False, True])
@torch.no_grad()
def test_cross_attention_by_hand_and_symmetric(differences: bool) -> None:
    made = attention(differences)
    rng = torch.Generator().manual_seed(5)
    one, other = torch.rand(3, 1, 28, generator=rng), torch.rand(1, 2, 28, generator=rng)
    logits = made(one, other)
    assert logits.shape == (3, 2)
    for q in range(3):
        for s in range(2):
            a, b = one[q, 0], other[0, s]
            both = 0.5 * (found(made, a, b) + found(made, b, a))
            expected = slow(made.linear, a[:4], b[:4]) + both
            torch.testing.assert_close(logits[q, s], torch.tensor(expected))
    torch.testing.assert_close(logits, made(other, one))


@torch.no_grad()
def test_a_stroke_elsewhere_is_missed_less_than_one_that_is_nowhere() -> None:
    made = CrossAttention(1 + 9 * 2, 1, 2)
    strokes = torch.eye(2)[[0, 0, 0, 0, 1, 0, 0, 0, 0]]
    query, near, far = (
        torch.cat([torch.zeros(1), strokes.roll(places, 0).flatten()]) for places in (0, 1, 4)
    )
    nowhere = torch.cat([torch.zeros(1), torch.eye(2)[[0] * 9].flatten()])
    scores = [float(made(query, other)) for other in (query, near, far, nowhere)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@torch.no_grad()
def test_places_count_by_what_is_there() -> None:
    made = CrossAttention(1 + 4 * 2, 1, 2, logit_scale_init=1000.0)
    one = torch.cat([torch.zeros(1), torch.eye(2)[[0, 0, 0, 1]].flatten()])
    other = torch.cat([torch.zeros(1), torch.tensor([[1.0, 0.0]] * 3 + [[0.0, -1.0]]).flatten()])
    made.importance.copy_(torch.tensor([[0.0, 20.0]]))  # of the one, the last place alone
    before = float(made(one, other))
    made.importance.zero_()
    assert before < float(made(one, other))


def test_differences_start_at_nothing_and_learn() -> None:
    """A fresh similarity scores as one without; the first gradient moves every channel's weight."""
    rng = torch.Generator().manual_seed(6)
    one, other = torch.rand(2, 28, generator=rng), torch.rand(2, 28, generator=rng)
    made, without = (CrossAttention(28, 4, 6, channelwise_l1=which) for which in (True, False))
    torch.testing.assert_close(made(one, other), without(one, other))
    made(one, other).sum().backward()
    assert made.differences is not None
    assert made.differences.grad is not None
    assert bool((made.differences.grad > 0).all())


@pytest.mark.parametrize(
    ("units", "whole", "local"), [(4, 4, 3), (4 + 6, 4, 3), (4 + 4, 4, 3), (3, 4, 3)]
)
def test_no_square_map_is_a_user_error(units: int, whole: int, local: int) -> None:
    with pytest.raises(UserError, match=f"embeddings of {units}, less {whole} .* of {local}: set"):
        CrossAttention(units, whole, local)


def test_heads_that_do_not_divide_are_a_user_error() -> None:
    with pytest.raises(UserError, match="2 heads cannot share descriptors of 3 evenly"):
        CrossAttention(4 + 3, 4, 3, heads=2)
