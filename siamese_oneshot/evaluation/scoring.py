"""Embed once, compare many: scores of episodes and pairs from a table of embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from siamese_oneshot.utils.errors import UserError

Comparator = Callable[[Tensor, Tensor], Tensor]

_ELEMENTS = 2**24  # numbers compared at once; bounds memory at a few hundred MB


def check_finite_scores(scores: Tensor, name: str) -> None:
    """Let no network go on whose scores cannot be compared.

    Raises:
        UserError: one that is not finite, with the network's name.
    """
    if not bool(scores.isfinite().all()):
        raise UserError(f"{name} gives scores that are no numbers: is it trained?")


class Embeddings:
    """Embeddings of images, found by the images' indices.

    Args:
        indices: int64 ``(m,)``, ascending.
        vectors: ``(m, units)``.
    """

    def __init__(self, indices: Tensor, vectors: Tensor) -> None:
        if len(indices) != len(vectors):
            raise ValueError(f"{len(indices)} indices, but {len(vectors)} embeddings")
        if bool((indices[1:] <= indices[:-1]).any()):
            raise ValueError("indices must ascend")
        self.indices, self.vectors = indices, vectors

    def __getitem__(self, wanted: Tensor) -> Tensor:
        """Embeddings ``(*wanted.shape, units)``.

        Raises:
            KeyError: an image that was not embedded.
        """
        wanted = wanted.to(self.indices.device)
        row = torch.searchsorted(self.indices, wanted).clamp(max=len(self.indices) - 1)
        if not torch.equal(self.indices[row], wanted):
            raise KeyError("an image that was not embedded is asked for")
        return self.vectors[row]


@torch.no_grad()
def score_episodes(
    embeddings: Embeddings, queries: Tensor, supports: Tensor, compare: Comparator
) -> Tensor:
    """Scores of one-shot episodes.

    Args:
        embeddings: of every image in them.
        queries: int64 ``(episodes,)``.
        supports: int64 ``(episodes, way, shot)``.
        compare: embeddings, embeddings → scores; broadcasts.

    Returns:
        float32 ``(episodes, way)``: the mean score over the shots of each class.
    """
    step = max(1, _ELEMENTS // (supports[0].numel() * embeddings.vectors.shape[1]))
    return torch.cat(
        [
            compare(embeddings[query][:, None, None], embeddings[support]).mean(-1)
            for query, support in zip(queries.split(step), supports.split(step), strict=True)
        ]
    )


@torch.no_grad()
def score_pairs(
    embeddings: Embeddings, first: Tensor, second: Tensor, compare: Comparator
) -> Tensor:
    """Scores ``(n,)`` of pairs of images, indices ``(n,)`` each."""
    step = max(1, _ELEMENTS // embeddings.vectors.shape[1])
    return torch.cat(
        [
            compare(embeddings[one], embeddings[other])
            for one, other in zip(first.split(step), second.split(step), strict=True)
        ]
    )
