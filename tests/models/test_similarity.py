from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from siamese_oneshot.models import similarity as similarities
from siamese_oneshot.models.similarity import CrossAttention, WeightedL1
from siamese_oneshot.utils.errors import ArgumentError


def random(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def slow_l1(similarity: WeightedL1, first: Tensor, second: Tensor) -> float:
    weights = similarity.linear.weight[0].tolist()
    terms = zip(weights, first.tolist(), second.tolist(), strict=True)
    return similarity.linear.bias.item() + sum(w * abs(a - b) for w, a, b in terms)


@pytest.fixture
def similarity() -> WeightedL1:
    built = WeightedL1(5)
    torch.nn.init.normal_(built.linear.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.constant_(built.linear.bias, 0.7)
    return built


def test_weighted_l1_equals_a_loop_and_broadcasts(similarity: WeightedL1) -> None:
    query, support = random(3, 1, 5), random(1, 4, 5, seed=3)
    expected = [
        [slow_l1(similarity, query[q, 0], support[0, s]) for s in range(4)] for q in range(3)
    ]
    torch.testing.assert_close(similarity(query, support), torch.tensor(expected))
    torch.testing.assert_close(similarity(query, query), torch.full((3, 1), 0.7))


def test_a_new_weighted_l1_says_different_for_a_distance() -> None:
    logits = WeightedL1(5, weight_init=-0.25)(torch.zeros(1, 5), torch.ones(1, 5))
    torch.testing.assert_close(logits, torch.tensor([-1.25]))


def test_sums_are_not_computed_in_bfloat16() -> None:
    """4,096 terms of 0.001 added in bfloat16 would be far from 4.096."""
    wide = WeightedL1(4096, weight_init=0.001)
    with torch.autocast("cpu", torch.bfloat16):
        logits = wide(torch.ones(1, 4096, dtype=torch.bfloat16), torch.zeros(1, 4096))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, torch.tensor([4.096]), rtol=1e-5, atol=0)


def test_a_float64_network_compares_in_float64(similarity: WeightedL1) -> None:
    """As with ``trainer.precision=64-true``."""
    first, second = random(2, 5).double(), random(2, 5, seed=3).double()
    logits = similarity.double()(first, second)
    expected = [slow_l1(similarity, first[k], second[k]) for k in range(2)]
    torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))


def slow_attention(similarity: CrossAttention, first: Tensor, second: Tensor) -> float:
    """The score of ``first`` attending to ``second``, one pair of locations at a time."""
    size, dim = similarity.map_size, similarity.local_dim // similarity.heads
    shape = size**2, similarity.heads, dim
    a, b = (x[similarity.global_dim :].view(shape) for x in (first, second))

    def bias(head: int, p: int, q: int) -> Tensor:
        down, across, middle = q // size - p // size, q % size - p % size, size - 1
        table = similarity.position_bias[head]
        there, back = (table[middle + s * down, middle + s * across] for s in (1, -1))
        return 0.5 * (there + back)

    total = 0.0
    for head in range(similarity.heads):
        saliency = torch.stack([a[p, head] @ similarity.saliency[head] for p in range(size**2)])
        for p in range(size**2):
            dots = torch.stack([a[p, head] @ b[q, head] for q in range(size**2)])
            biases = torch.stack([bias(head, p, q) for q in range(size**2)])
            attention = (similarity.logit_scale[head].exp() * dots + biases).softmax(0)
            value = (attention @ dots) * similarity.match_weight[head]
            if similarity.channel_weights is not None:
                attended = sum(attention[q] * b[q, head] for q in range(size**2))
                value += (a[p, head] - attended).abs() @ similarity.channel_weights[head]
            total += float(saliency.softmax(0)[p] * value)
    return total


@pytest.mark.parametrize("channelwise_l1", [False, True])
@torch.no_grad()
def test_cross_attention_equals_a_loop_and_is_symmetric(channelwise_l1: bool) -> None:
    similarity = CrossAttention(4 + 2**2 * 6, 4, 6, heads=2, channelwise_l1=channelwise_l1)
    rng = torch.Generator().manual_seed(4)
    for weight in similarity.parameters():
        torch.nn.init.normal_(weight, generator=rng)
    first, second = random(3, 1, 28), random(1, 2, 28, seed=5)
    logits = similarity(first, second)
    assert logits.shape == (3, 2)
    for q in range(3):
        for s in range(2):
            a, b = first[q, 0], second[0, s]
            both = 0.5 * (slow_attention(similarity, a, b) + slow_attention(similarity, b, a))
            expected = slow_l1(similarity.linear, a[:4], b[:4]) + both
            torch.testing.assert_close(logits[q, s], torch.tensor(expected))
    torch.testing.assert_close(logits, similarity(second, first))


SHAPES = [((3, 1), (4,)), ((5,), (5,)), ((2, 3, 1), (1, 1, 4)), ((4, 1, 1), (4, 2, 3)), ((), (3,))]


@pytest.mark.parametrize(("first", "second"), SHAPES)
@pytest.mark.parametrize("block", [1, 70, 10**6])
def test_blocks_have_the_gradients_of_a_plain_computation(
    monkeypatch: pytest.MonkeyPatch, first: tuple[int, ...], second: tuple[int, ...], block: int
) -> None:
    """Plainly is what an exported network computes: all pairs at once, with autograd's gradients.

    Weights of the channels that are zero add nothing, and take the plain way.
    """
    monkeypatch.setattr(similarities, "_BLOCK", block)
    rng = torch.Generator().manual_seed(4)
    blocks = CrossAttention(5 + 4 * 6, 5, 6, heads=2).double()
    plain = CrossAttention(5 + 4 * 6, 5, 6, heads=2, channelwise_l1=True).double()
    for weight in blocks.parameters():
        torch.nn.init.normal_(weight, generator=rng)
    plain.load_state_dict(blocks.state_dict(), strict=False)
    embeddings = [random(*shape, 29, seed=len(shape) + 6).double() for shape in (first, second)]
    results = []
    for network in (blocks, plain):
        inputs = [one.clone().requires_grad_() for one in embeddings]
        if network is plain:
            monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        scores = network(*inputs)
        weights = torch.linspace(-1, 2, scores.numel(), dtype=torch.float64).view(scores.shape)
        parameters = [one for name, one in network.named_parameters() if "channel" not in name]
        gradients = torch.autograd.grad((scores * weights).sum(), [*inputs, *parameters])
        results.append([scores, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [1, 300, 10**6])
@pytest.mark.parametrize(("n", "m"), [(1, 4), (3, 2), (1, 0)])
def test_rows_of_a_table_are_compared_as_by_the_similarity(
    monkeypatch: pytest.MonkeyPatch, block: int, n: int, m: int
) -> None:
    monkeypatch.setattr(similarities, "_BLOCK", block)
    similarity = CrossAttention(5 + 4 * 6, 5, 6, heads=2).double()
    rng = torch.Generator().manual_seed(4)
    for weight in similarity.parameters():
        torch.nn.init.normal_(weight, generator=rng)
    table = random(8, 29).double()
    compare = similarity.row_scorer(table)
    assert compare is not None
    first, second = (torch.randint(8, (5, count), generator=rng) for count in (n, m))
    scores = compare(first, second)
    assert scores.shape == (5, n, m)
    assert not scores.requires_grad
    expected = similarity(table[first][:, :, None], table[second][:, None])  # with gradients
    torch.testing.assert_close(scores, expected.detach(), rtol=1e-12, atol=1e-12)


def test_rows_are_never_compared_in_bfloat16() -> None:
    compare = CrossAttention(28, 4, 6, heads=2).row_scorer(random(8, 28))
    assert compare is not None
    first, second = torch.arange(8).view(4, 2), torch.arange(12).view(4, 3) % 8
    with torch.autocast("cpu", torch.bfloat16):
        found = compare(first, second)
    assert torch.equal(found, compare(first, second))


def test_rows_in_half_precision_are_compared_in_that_of_the_weights() -> None:
    similarity, table = CrossAttention(28, 4, 6, heads=2), random(8, 28).bfloat16()
    first, second = torch.arange(8).view(4, 2), torch.arange(12).view(4, 3) % 8
    found, expected = (similarity.row_scorer(one) for one in (table, table.float()))
    assert found is not None
    assert expected is not None
    assert torch.equal(found(first, second), expected(first, second))


def test_rows_are_left_to_the_similarity_where_blocks_cannot_compare_them() -> None:
    class Halved(CrossAttention):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return 0.5 * super().forward(first, second)

    table = random(3, 28)
    assert CrossAttention(28, 4, 6).row_scorer(table) is not None
    assert CrossAttention(28, 4, 6, logit_scale_init=1e4).row_scorer(table) is None
    assert CrossAttention(28, 4, 6, channelwise_l1=True).row_scorer(table) is None
    assert Halved(28, 4, 6).row_scorer(table) is None


@pytest.mark.parametrize(("scale", "in_blocks"), [(10.0, True), (70.0, True), (1000.0, False)])
def test_sharp_attention_stays_finite_and_right(
    monkeypatch: pytest.MonkeyPatch, scale: float, in_blocks: bool
) -> None:
    """No exponential of a logit leaves float32, wherever one serves both softmaxes."""
    calls = []
    apply = similarities._Matches.apply
    monkeypatch.setattr(similarities._Matches, "apply", lambda *a: [calls.append(1), apply(*a)][1])
    similarity = CrossAttention(1 + 9 * 4, 1, 4, logit_scale_init=scale)
    maps = torch.nn.functional.normalize(random(7, 9, 4), dim=-1).flatten(1)
    maps[0], maps[1] = maps[0, :4].repeat(9), -maps[0, :4].repeat(9)  # logits far below all others
    first, second = (torch.nn.functional.pad(one, (1, 0)) for one in (maps[:, None], maps))
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        inputs = [one.to(dtype).requires_grad_() for one in (first, second)]
        network = similarity.to(dtype)
        scores = network(*inputs)
        found = torch.autograd.grad(scores.sum(), [*inputs, *network.parameters()])
        gradients[dtype] = [scores, *found]
    assert len(calls) == 2 * in_blocks
    with torch.no_grad():
        one, other = first.double()[:, 0], second.double()
        there = [[slow_attention(similarity, a, b) for b in other] for a in one]
        both = torch.tensor(there, dtype=torch.float64)
        expected = 0.5 * (both + both.T) + similarity.linear.linear.bias
    torch.testing.assert_close(gradients[torch.float64][0].detach(), expected)
    for one, other in zip(*gradients.values(), strict=True):
        # That of the scale is a sum of 49 x 162 numbers of either sign, up to 10 in size.
        torch.testing.assert_close(one.detach().double(), other.detach(), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("similarity", [WeightedL1(28), CrossAttention(28, 4, 6)])
def test_scores_have_the_shape_that_is_broadcast(similarity: torch.nn.Module) -> None:
    for first, second in [
        ((), ()),
        ((0, 1), (2,)),
        ((3, 1), (0,)),
        ((0,), (0,)),
        ((0, 2, 1), (3,)),
    ]:
        scores = similarity(random(*first, 28), random(*second, 28))
        assert scores.shape == torch.broadcast_shapes(first, second)


def test_long_descriptors_and_half_precision_overflow_nowhere() -> None:
    """An exponential that is in range may leave it as the weight of a product."""
    similarity = CrossAttention(2 + 9 * 8, 2, 8, logit_scale_init=1e-6)
    with torch.no_grad():
        similarity.position_bias.fill_(-78)
        similarity.position_bias[0, 2, 2] = 78
    first, second = (1e3 * random(3, 74, seed=seed) for seed in (1, 2))
    exact = copy.deepcopy(similarity).double()(first.double(), second.double())
    torch.testing.assert_close(similarity(first, second).double(), exact, rtol=1e-5, atol=1e-5)
    similarity = CrossAttention(2 + 9 * 8, 2, 8, logit_scale_init=20.0)
    parts = (random(4, 9, 8, seed=seed) for seed in (1, 2))
    first, second = (
        torch.nn.functional.pad(torch.nn.functional.normalize(one, dim=-1).flatten(1), (2, 0))
        for one in parts
    )
    second[0] = first[0]  # a logit of 20, whose exponential is no float16
    exact = similarity(first, second)
    half = similarity.half()(first.half(), second.half())
    torch.testing.assert_close(half.float(), exact, rtol=0.02, atol=0.02)


def test_nothing_is_kept_for_gradients_that_nobody_asks_for() -> None:
    similarity = CrossAttention(28, 4, 6)
    with torch.no_grad():
        assert similarity(random(3, 1, 28), random(2, 28)).grad_fn is None
    half = [one.bfloat16() for one in (random(3, 28), random(3, 28, seed=3))]
    with torch.autocast("cpu", torch.bfloat16):
        scores = similarity(*half)
    torch.testing.assert_close(scores, similarity(*(one.float() for one in half)))
    assert scores.dtype == torch.float32


@torch.no_grad()
def test_attention_says_where_each_location_looks() -> None:
    """The last of four locations counts alone, and finds its like in the first of the other."""
    similarity = CrossAttention(1 + 4 * 4, 1, 4, heads=2, logit_scale_init=1000.0)
    stroke, paper = [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]
    query = torch.tensor([0.0, *paper, *paper, *paper, *stroke])
    support = torch.tensor([[0.0, *stroke, *paper, *paper, *paper]] * 3)
    similarity.saliency.copy_(torch.tensor([[50.0, 0.0]] * 2))
    attention = similarity.attention(query, support)
    assert attention.shape == (3, 4, 4)
    expected = torch.zeros(3, 4, 4)
    expected[:, 3, 0] = 1.0
    torch.testing.assert_close(attention, expected)
    similarity.saliency.zero_()
    shares = similarity.attention(query, support).sum(-1)
    torch.testing.assert_close(shares, torch.full((3, 4), 0.25))


@torch.no_grad()
def test_a_moved_stroke_scores_between_the_same_and_a_missing_one() -> None:
    similarity = CrossAttention(1 + 9 * 2, 1, 2)
    strokes = torch.eye(2)[[0, 0, 0, 0, 1, 0, 0, 0, 0]]
    query, near, far = (
        torch.cat([torch.zeros(1), strokes.roll(shift, 0).flatten()]) for shift in (0, 1, 4)
    )
    missing = torch.cat([torch.zeros(1), torch.eye(2)[[0] * 9].flatten()])
    scores = [float(similarity(query, image)) for image in (query, near, far, missing)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@torch.no_grad()
def test_salient_locations_count_more() -> None:
    similarity = CrossAttention(1 + 4 * 2, 1, 2, logit_scale_init=1000.0)
    first = torch.cat([torch.zeros(1), torch.eye(2)[[0, 0, 0, 1]].flatten()])
    second = torch.cat([torch.zeros(1), torch.tensor([[1.0, 0.0]] * 3 + [[0.0, -1.0]]).flatten()])
    similarity.saliency.copy_(torch.tensor([[0.0, 20.0]]))  # the last location, which mismatches
    salient = float(similarity(first, second))
    similarity.saliency.zero_()
    assert salient < float(similarity(first, second))


def test_channel_weights_start_at_zero_and_learn() -> None:
    first, second = random(2, 28), random(2, 28, seed=3)
    similarity, without = (CrossAttention(28, 4, 6, channelwise_l1=on) for on in (True, False))
    torch.testing.assert_close(similarity(first, second), without(first, second))
    similarity(first, second).sum().backward()
    assert similarity.channel_weights is not None
    assert similarity.channel_weights.grad is not None
    assert bool((similarity.channel_weights.grad > 0).all())


@pytest.mark.parametrize("sizes", [(4, 4, 3), (4 + 6, 4, 3), (4 + 4, 4, 3), (3, 4, 3)])
def test_embeddings_without_a_square_map_are_refused(sizes: tuple[int, int, int]) -> None:
    words = f"^local_dim=3: embeddings of {sizes[0]} minus global_dim={sizes[1]} .* of length 3:"
    with pytest.raises(ArgumentError, match=words):
        CrossAttention(*sizes)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^heads=2: 2 heads cannot share descriptors of 3"):
        CrossAttention(4 + 3, 4, 3, heads=2)
