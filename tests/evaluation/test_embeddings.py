"""Scores from a table of embeddings, against loops."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.pairs import Pairs
from siamese_oneshot.evaluation import embeddings as module
from siamese_oneshot.evaluation.embeddings import (
    ComputeConfig,
    Embeddings,
    ScoreFunction,
    score_episodes,
    score_pairs,
)
from siamese_oneshot.models.siamese import build_model
from siamese_oneshot.utils.hardware import shared_empty

INDICES = torch.tensor([2, 3, 7, 11, 12, 20, 31])


@pytest.fixture
def embeddings() -> Embeddings:
    return Embeddings(INDICES, torch.rand(7, 5, generator=torch.Generator().manual_seed(0)))


def compare(one: Tensor, other: Tensor) -> Tensor:
    """Not symmetric, so that a query in the place of a support shows."""
    return (one * torch.arange(1.0, 6.0) - other).abs().sum(-1)


def test_the_bar_names_the_end_of_a_model_and_keeps_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars, shown = [], {"disable": False, "file": io.StringIO()}
    monkeypatch.setattr(module, "tqdm", lambda **look: bars.append(tqdm(**look | shown)) or bars[0])
    dataset = SimpleNamespace(pixels=torch.zeros(4, 2, 2, dtype=torch.uint8))
    scorer = SimpleNamespace(embed=lambda images: images.flatten(1))
    compute = ComputeConfig("cpu", "32-true", 1)
    module.embed(scorer, dataset, torch.arange(4), compute, "2026-11-28_23-12-01_quick_seed0")
    assert (bars[0].desc, bars[0].n) == ("embedding -28_23-12-01_quick_seed0", 4)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_image_is_embedded_once_on_any_number_of_threads(threads: int) -> None:
    seen, sizes = shared_empty((10,), torch.int64).zero_(), shared_empty((10,), torch.int64).zero_()

    def embedded(images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        rows = (255 / 4 * images[:, 0, 0, 0]).round().long()
        seen[rows] += 1
        sizes[rows] = len(images)
        return (images.flatten(1) @ torch.ones(4, 2)).float()

    dataset: Any = SimpleNamespace(pixels=torch.arange(40, dtype=torch.uint8).view(10, 2, 2))
    scorer: Any = SimpleNamespace(embed=embedded)
    table = module.embed(scorer, dataset, INDICES[:3], ComputeConfig("cpu", "32-true", 6), "")
    assert seen.nonzero().flatten().tolist() == INDICES[:3].tolist()
    for precision in ("32-true", "bf16-mixed"):
        seen.zero_()
        compute = ComputeConfig("cpu", precision, 6)
        found = module.embed(scorer, dataset, torch.arange(10), compute, "")
        assert seen.tolist() == [1] * 10
    assert int(sizes.max()) == math.ceil(6 / threads)  # the share of a process
    with torch.no_grad():
        parts = module.embed_batch(scorer, dataset.pixels[:6, None] / 255)
        none = module.embed_batch(scorer, torch.zeros(0, 1, 2, 2))
    expected = dataset.pixels.flatten(1).float().sum(1, keepdim=True).expand(-1, 2) / 255
    torch.testing.assert_close(parts, expected[:6])
    assert none.shape == (0, 2)
    torch.testing.assert_close(table.vectors, expected[INDICES[:3]])
    torch.testing.assert_close(found.vectors, expected, rtol=0.02, atol=0)


def watched(seen: list[int]) -> ScoreFunction:
    """``compare``, which adds how many numbers are compared at once."""

    def score(one: Tensor, other: Tensor) -> Tensor:
        seen.append(torch.broadcast_shapes(one.shape, other.shape).numel())
        return compare(one, other)

    return score


def slow(embeddings: Embeddings, one: int, other: int) -> float:
    table = dict(zip(INDICES.tolist(), embeddings.vectors.tolist(), strict=True))
    terms = zip(table[one], table[other], range(1, 6), strict=True)
    return sum(abs(a * k - b) for a, b, k in terms)


def test_lookup_keeps_the_shape(embeddings: Embeddings) -> None:
    found = embeddings[torch.tensor([[31, 2], [7, 7]])]
    assert found.shape == (2, 2, 5)
    assert torch.equal(found[0, 0], embeddings.vectors[6])
    assert torch.equal(found[1, 1], embeddings.vectors[2])


@pytest.mark.parametrize(
    ("computed", "compared"),
    [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_embeddings_are_compared_in_float32_or_more(computed: str, compared: str) -> None:
    def embedded(images: Tensor) -> Tensor:
        return images.flatten(1).to(getattr(torch, computed))

    dataset: Any = SimpleNamespace(pixels=torch.arange(12, dtype=torch.uint8).view(3, 2, 2))
    scorer: Any = SimpleNamespace(embed=embedded)
    compute = ComputeConfig("cpu", "32-true", 2)
    found = module.embed(scorer, dataset, torch.arange(3), compute, "")[torch.tensor([2])]
    assert found.dtype == getattr(torch, compared)
    expected = torch.arange(8, 12).to(getattr(torch, computed)) / 255
    torch.testing.assert_close(found[0].double(), expected.double())


def test_refuses_what_cannot_be_looked_up(embeddings: Embeddings) -> None:
    for missing in (0, 4, 32, -1):
        with pytest.raises(KeyError, match="no embedding"):
            embeddings[torch.tensor([2, missing])]
    with pytest.raises(ValueError, match="2 indices, but 3"):
        Embeddings(torch.tensor([1, 2]), torch.zeros(3, 4))
    for order in ([2, 1], [1, 1]):
        with pytest.raises(ValueError, match="ascend"):
            Embeddings(torch.tensor(order), torch.zeros(2, 4))


@pytest.mark.parametrize("shot", [1, 3])
@pytest.mark.parametrize("elements", [2**24, 60, 1])  # all at once, a few, one by one
@pytest.mark.parametrize("repeats", [[1] * 12, [6, 6], [12], [4, 2, 6]])  # of the same supports
def test_episodes_equal_a_double_loop(
    embeddings: Embeddings,
    monkeypatch: pytest.MonkeyPatch,
    shot: int,
    elements: int,
    repeats: list[int],
) -> None:
    monkeypatch.setattr(module, "ELEMENTS", elements)
    rng = torch.Generator().manual_seed(1)
    queries = INDICES[torch.randint(7, (12,), generator=rng)]
    supports = INDICES[torch.randint(7, (len(repeats), 2, shot), generator=rng)]
    supports = supports.repeat_interleave(torch.tensor(repeats), 0)
    seen: list[int] = []
    scorer = SimpleNamespace(score=watched(seen))
    scores = score_episodes(embeddings, queries, supports, scorer)  # type: ignore[arg-type]
    assert max(seen) <= max(elements, 2 * shot * 5)  # one episode at least
    expected = [
        [sum(slow(embeddings, query, one) for one in shots) / shot for shots in ways]
        for query, ways in zip(queries.tolist(), supports.tolist(), strict=True)
    ]
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_episodes_with_the_same_supports_look_them_up_once(embeddings: Embeddings) -> None:
    shapes = []

    def score(one: Tensor, other: Tensor) -> Tensor:
        shapes.append((one.shape, other.shape))
        return compare(one, other)

    supports = INDICES[torch.tensor([[0, 1], [2, 3]])].repeat_interleave(3, 0)[..., None]
    score_episodes(embeddings, INDICES[:6], supports, SimpleNamespace(score=score))  # type: ignore[arg-type]
    assert shapes == [((2, 3, 1, 1, 5), (2, 1, 2, 1, 5))]


@pytest.mark.parametrize("shot", [1, 3])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_scorer_of_rows_prepares_a_table_once_and_has_the_same_scores(
    shot: int, repeats: int
) -> None:
    rng = torch.Generator().manual_seed(5)
    network = build_model("cross_attention").eval()
    vectors = 0.2 * torch.rand(7, network.encoder.embedding_dim, generator=rng)  # type: ignore[arg-type]
    embeddings = Embeddings(INDICES, vectors)
    queries = INDICES[torch.randint(7, (6,), generator=rng)]
    supports = INDICES[torch.randint(7, (6 // repeats, 4, shot), generator=rng)]
    supports = supports.repeat_interleave(repeats, 0)
    scores = score_episodes(embeddings, queries, supports, network)
    plain = SimpleNamespace(score=network.score)
    expected = score_episodes(Embeddings(INDICES, vectors), queries, supports, plain)  # type: ignore[arg-type]
    torch.testing.assert_close(scores, expected)
    pairs = queries, queries.flip(0)
    expected = score_pairs(Embeddings(INDICES, vectors), *pairs, plain)  # type: ignore[arg-type]
    torch.testing.assert_close(score_pairs(embeddings, *pairs, network), expected)
    made = embeddings.row_scorer(network)
    assert made is not None
    assert embeddings.row_scorer(network) is made


@pytest.mark.parametrize("elements", [2**24, 15, 1])
def test_pairs_equal_a_loop(
    embeddings: Embeddings, monkeypatch: pytest.MonkeyPatch, elements: int
) -> None:
    monkeypatch.setattr(module, "ELEMENTS", elements)
    rng = torch.Generator().manual_seed(2)
    first, second = INDICES[torch.randint(7, (2, 10), generator=rng)]
    seen: list[int] = []
    scores = score_pairs(embeddings, first, second, SimpleNamespace(score=watched(seen)))  # type: ignore[arg-type]
    assert max(seen) <= max(elements, 5)  # memory is bounded
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    torch.testing.assert_close(scores, torch.tensor([slow(embeddings, a, b) for a, b in pairs]))


def test_no_graph_is_kept(embeddings: Embeddings) -> None:
    weight = torch.ones(5, requires_grad=True)
    scorer = SimpleNamespace(score=lambda a, b: (weight * (a - b)).sum(-1))
    scores = score_pairs(embeddings, INDICES, INDICES, scorer)  # type: ignore[arg-type]
    assert not scores.requires_grad


@pytest.mark.parametrize("pairs", [1, 7, 2**14])  # that are compared at once
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_parts_of_lists_have_the_scores_of_the_whole(
    threads: int, monkeypatch: pytest.MonkeyPatch, pairs: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(module, "PAIRS", pairs)
    rng = torch.Generator().manual_seed(3)
    embeddings = Embeddings(INDICES, torch.rand(7, 5, generator=rng).to(dtype))
    scorer: Any = SimpleNamespace(score=compare)

    def drawn(*shape: int) -> Tensor:
        return INDICES[torch.randint(7, shape, generator=rng)]

    runs = Episodes(drawn(12), drawn(3, 4, 2).repeat_interleave(4, 0), torch.zeros(12).long())
    single = Episodes(drawn(5), drawn(5, 3, 1), torch.zeros(5).long())
    verified = Pairs(drawn(9), drawn(9), torch.zeros(9))
    empty = Pairs(drawn(0), drawn(0), torch.zeros(0))
    found = module.score_lists(embeddings, [verified, runs, empty, single], scorer)
    expected = [
        score_pairs(embeddings, verified.first, verified.second, scorer),
        score_episodes(embeddings, runs.queries, runs.supports, scorer),
        torch.empty(0),
        score_episodes(embeddings, single.queries, single.supports, scorer),
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, check_dtype=bool(len(other)))
