"""Embed each image once, then score episodes and pairs from the table of embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.pairs import Pairs
from siamese_oneshot.models.siamese import mean_of_shots
from siamese_oneshot.models.similarity import RowScore
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import in_processes, in_threads, shared_empty

ScoreFunction = Callable[[Tensor, Tensor], Tensor]

_NAME = 24  # characters of a model's name beside a bar
PAIRS = 2**14  # that a process compares at once, of several
ELEMENTS = 2**21  # numbers of embeddings compared at once; a few such blocks are held in memory


class PairScorer(Protocol):
    """The interface of networks and baselines.

    A scorer may also have ``score_class``, as `SiameseNetwork` has; without it the similarities to
    the support images of a class are averaged. And it may have ``row_scorer``, as `CrossAttention`
    has, which then takes the place of both.
    """

    def embed(self, images: Tensor) -> Tensor:
        """Images ``(n, 1, size, size)``, 0 background … 1 foreground → embeddings ``(n, d)``."""

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        """Embeddings ``(…, d)``, broadcast → similarities ``(…)``; higher is more alike."""


@dataclass(frozen=True)
class ComputeConfig:
    """Device, precision (as of Lightning's Trainer) and batch size of embedding."""

    device: str
    precision: str
    batch_size: int = 256

    def autocast(self) -> AbstractContextManager[Any]:
        """The autocast context of ``precision``."""
        dtypes = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        if self.precision not in dtypes:
            return nullcontext()
        return torch.autocast(self.device, dtypes[self.precision])


class Embeddings:
    """Embeddings ``(m, d)`` looked up by the indices of their images, int64 ``(m,)``, ascending.

    They stay in the precision in which they were computed, and are compared in float32 or more.
    """

    def __init__(self, indices: Tensor, vectors: Tensor) -> None:
        if len(indices) != len(vectors):
            raise ValueError(f"{len(indices)} indices, but {len(vectors)} embeddings")
        if bool((indices[1:] <= indices[:-1]).any()):
            raise ValueError("indices must ascend")
        self.indices, self.vectors = indices, vectors
        self._row_scorer: tuple[PairScorer | None, RowScore | None] = (None, None)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Embeddings ``(*indices.shape, d)``; a KeyError if an image was not embedded."""
        row = self.rows(indices)
        # index_select copies whole rows, which is twice as fast as indexing.
        found = self.vectors.index_select(0, row.flatten()).view(*row.shape, self.vectors.shape[1])
        return found.to(torch.promote_types(found.dtype, torch.float32))

    def rows(self, indices: Tensor) -> Tensor:
        """Where the embeddings of images are; a KeyError if an image was not embedded."""
        indices = indices.to(self.indices.device)
        row = torch.searchsorted(self.indices, indices).clamp(max=len(self.indices) - 1)
        if not torch.equal(self.indices[row], indices):
            raise KeyError("an index has no embedding")
        return row

    def row_scorer(self, scorer: PairScorer) -> RowScore | None:
        """The scorer's ``row_scorer`` for these embeddings, made once; None if it has none."""
        if self._row_scorer[0] is not scorer:
            make = getattr(scorer, "row_scorer", None)
            self._row_scorer = scorer, None if make is None else make(self.vectors)
        return self._row_scorer[1]


@torch.no_grad()
def embed(
    scorer: PairScorer,
    dataset: CharacterDataset,
    indices: Tensor,
    compute: ComputeConfig,
    name: str,
) -> Embeddings:
    """Embeddings of images, ``indices`` int64 and ascending, on the compute device.

    On the CPU each thread embeds its share of ``compute.batch_size`` images at a time.
    """
    on_cpu, n = compute.device == "cpu", len(indices)
    step = math.ceil(compute.batch_size / (torch.get_num_threads() if on_cpu else 1))
    about = f"embedding {name[-_NAME:]}"  # the end differs among seeds, and the bar needs room
    look: dict[str, Any] = {"leave": False, "disable": None, "delay": 1.0, "dynamic_ncols": True}

    def embedded(part: slice) -> Tensor:
        images = dataset.pixels[indices[part]][:, None].to(compute.device).float() / 255
        with compute.autocast():
            found: Tensor = scorer.embed(images)
        return found

    with tqdm(total=math.ceil(n / step), desc=about, **look) as bar:
        if on_cpu:
            first = embedded(slice(step))
            vectors = shared_empty((n, *first.shape[1:]), first.dtype)
            vectors[:step] = first

            def write(start: int) -> None:
                vectors[start : start + step] = embedded(slice(start, start + step))

            in_processes(write, range(step, n, step), lambda begun: bar.update(begun + 1 - bar.n))
        else:
            starts = range(0, max(1, n), step)
            vectors = _joined((embedded(slice(start, start + step)) for start in starts), n)
    return Embeddings(indices.to(compute.device), vectors)


def embed_batch(scorer: PairScorer, images: Tensor) -> Tensor:
    """The embeddings of a batch; on the CPU each thread embeds a part of it."""
    if not images.is_cpu:
        return scorer.embed(images)
    parts = images.split(max(1, math.ceil(len(images) / torch.get_num_threads())))
    return torch.cat(in_threads(scorer.embed, parts))


def class_score(scorer: PairScorer) -> ScoreFunction:
    """A scorer's similarity of ``(…, d)`` to classes of several supports ``(…, shot, d)``."""
    own: ScoreFunction | None = getattr(scorer, "score_class", None)
    return own or partial(mean_of_shots, scorer.score)


@torch.no_grad()
def score_lists(
    embeddings: Embeddings, lists: Sequence[Pairs | Episodes], scorer: PairScorer
) -> list[Tensor]:
    """The scores of pairs, ``(n,)``, and of episodes, ``(episodes, way)``, on the CPU.

    On the CPU each process that `in_processes` takes compares parts of the lists.
    """

    def scored(one: Pairs | Episodes, part: slice) -> Tensor:
        if isinstance(one, Episodes):
            return score_episodes(embeddings, one.queries[part], one.supports[part], scorer)
        return score_pairs(embeddings, one.first[part], one.second[part], scorer)

    if not embeddings.vectors.is_cpu:
        return [scored(one, slice(None)).cpu() for one in lists]
    embeddings.row_scorer(scorer)  # once, for all processes
    dtype = torch.promote_types(embeddings.vectors.dtype, torch.float32)
    scores: list[Tensor] = []
    parts: list[tuple[int, slice]] = []
    for one in lists:
        shape: tuple[int, ...] = (len(one),)
        step = PAIRS
        if isinstance(one, Episodes):
            shape = len(one), one.way
            step = one.way * max(1, PAIRS // (one.way * one.supports[0].numel()))  # whole runs
        parts += [(len(scores), slice(k, k + step)) for k in range(0, len(one), step)]
        scores.append(shared_empty(shape, dtype))

    def compare(part: tuple[int, slice]) -> None:
        i, rows = part
        scores[i][rows] = scored(lists[i], rows)

    in_processes(compare, parts)
    return scores


@torch.no_grad()
def score_episodes(
    embeddings: Embeddings, queries: Tensor, supports: Tensor, scorer: PairScorer
) -> Tensor:
    """The similarity to each class, float32 ``(episodes, way)``.

    ``queries`` are int64 ``(episodes,)``, ``supports`` int64 ``(episodes, way, shot)``. Successive
    episodes with the same supports, as the 20 of a run, look them up and compare them together.
    """
    _, repeats = supports.flatten(1).unique_consecutive(dim=0, return_counts=True)
    repeated = math.gcd(*repeats.tolist())
    if (compare := embeddings.row_scorer(scorer)) is not None:
        query = embeddings.rows(queries)
        support = embeddings.rows(supports[::repeated].contiguous())
        scores = compare(query.view(-1, repeated), support.flatten(1))
        return scores.view(supports.shape).mean(-1)
    score = class_score(scorer)
    numbers = supports[0].numel() * embeddings.vectors.shape[1]
    fitting = (n for n in range(2, repeated + 1) if not repeated % n and n * numbers <= ELEMENTS)
    shared = max(fitting, default=1)  # episodes that have their supports in common
    step = max(1, ELEMENTS // (numbers * shared))
    groups = zip(
        queries.view(-1, shared).split(step),
        supports[::shared].contiguous().split(step),
        strict=True,
    )
    parts = (
        score(embeddings[query][:, :, None], embeddings[support][:, None]).flatten(0, 1)
        for query, support in groups
    )
    return _joined(parts, len(queries))


@torch.no_grad()
def score_pairs(
    embeddings: Embeddings, first: Tensor, second: Tensor, scorer: PairScorer
) -> Tensor:
    """Scores ``(n,)`` of pairs of images, given by two int64 tensors ``(n,)`` of indices."""
    if (compare := embeddings.row_scorer(scorer)) is not None:
        return compare(embeddings.rows(first)[:, None], embeddings.rows(second)[:, None]).flatten()
    step = max(1, ELEMENTS // embeddings.vectors.shape[1])
    parts = (
        scorer.score(embeddings[one], embeddings[other])
        for one, other in zip(first.split(step), second.split(step), strict=True)
    )
    return _joined(parts, len(first))


def _joined(parts: Iterable[Tensor], n: int) -> Tensor:
    """The ``n`` rows of the parts, copied as they come.

    Parts that ``torch.cat`` needs together are held twice, and each leaves a hole in the memory
    that its computation gives back.
    """
    rows, done = torch.empty(0), 0
    for part in parts:
        if not done:
            rows = part.new_empty(n, *part.shape[1:])
        rows[done : done + len(part)] = part
        done += len(part)
    return rows


def check_finite_scores(scores: Tensor, name: str) -> None:
    """Raise a UserError that names the model if any score is infinite or NaN."""
    if not bool(scores.isfinite().all()):
        raise UserError(f"{name} produces scores that are not finite: is it trained?")
