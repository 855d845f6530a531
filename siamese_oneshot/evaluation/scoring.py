"""Embed once, compare many: scores of trials and pairs from a table of embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from siamese_oneshot.errors import UserError

Comparator = Callable[[Tensor, Tensor], Tensor]

_ELEMENTS = 2**24  # numbers compared at once; bounds memory at a few hundred MB


def refuse_no_numbers(scores: Tensor, name: str) -> None:
    """Let no network go on whose scores cannot be compared.

    Raises:
        UserError: one that is not finite, with the network's name.
    """
    if not bool(scores.isfinite().all()):
        raise UserError(f"{name} gives scores that are no numbers: is it trained?")


class Embeddings:
    """Embeddings of pictures, found by the pictures' positions.

    Args:
        positions: int64 ``(m,)``, ascending.
        vectors: ``(m, units)``.
    """

    def __init__(self, positions: Tensor, vectors: Tensor) -> None:
        if len(positions) != len(vectors):
            raise ValueError(f"{len(positions)} positions, but {len(vectors)} embeddings")
        if bool((positions[1:] <= positions[:-1]).any()):
            raise ValueError("positions must ascend")
        self.positions, self.vectors = positions, vectors

    def __getitem__(self, wanted: Tensor) -> Tensor:
        """Embeddings ``(*wanted.shape, units)``.

        Raises:
            KeyError: a picture that was not embedded.
        """
        wanted = wanted.to(self.positions.device)
        row = torch.searchsorted(self.positions, wanted).clamp(max=len(self.positions) - 1)
        if not torch.equal(self.positions[row], wanted):
            raise KeyError("a picture that was not embedded is asked for")
        return self.vectors[row]


@torch.no_grad()
def score_trials(
    embeddings: Embeddings, queries: Tensor, supports: Tensor, compare: Comparator
) -> Tensor:
    """Scores of one-shot trials.

    Args:
        embeddings: of every picture in them.
        queries: int64 ``(trials,)``.
        supports: int64 ``(trials, way, shot)``.
        compare: embeddings, embeddings → scores; broadcasts.

    Returns:
        float32 ``(trials, way)``: the mean score over the shots of each class.
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
    """Scores ``(n,)`` of pairs of pictures, positions ``(n,)`` each."""
    step = max(1, _ELEMENTS // embeddings.vectors.shape[1])
    return torch.cat(
        [
            compare(embeddings[one], embeddings[other])
            for one, other in zip(first.split(step), second.split(step), strict=True)
        ]
    )
