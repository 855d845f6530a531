"""Batches ``(images, labels)`` of any DataLoader in the form that losses and metrics use."""

from __future__ import annotations

import torch
from torch import Tensor

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import sample_episodes
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.samplers import generator_for
from siamese_oneshot.data.tasks import EpisodeTask, EvalTasks
from siamese_oneshot.utils.errors import ArgumentError

_EPISODES, _PAIRS, _WAY = 1000, 2000, 20


def group_by_class(images: Tensor, labels: Tensor) -> tuple[Tensor]:
    """Arrange a batch as one alphabet, for the losses over the episodes of a batch.

    From images ``(n, 1, h, w)`` and labels ``(n,)`` it makes images ``(1, classes, k, 1, h, w)``:
    the first ``k`` images of each class with at least two, where ``k`` is the size of the smallest
    of these classes.
    """
    classes, counts = labels.unique(return_counts=True)
    kept = counts >= 2
    if int(kept.sum()) < 2:
        message = "a batch needs two images each of at least two classes: use larger batches"
        raise ArgumentError("labels", labels.tolist(), message=message)
    size = int(counts[kept].min())
    rows = [(labels == label).nonzero().flatten()[:size] for label in classes[kept]]
    return (images.index_select(0, torch.cat(rows)).unflatten(0, (1, len(rows), size)),)


def pair_up(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Make verification pairs of a batch, for the losses over pairs.

    Each image is paired with the next image of its class and with the next image of another class.
    From images ``(n, 1, h, w)`` and labels ``(n,)`` it makes first images, second images
    ``(m, 1, h, w)``, and float32 ``(m,)``: 1 same, 0 different.
    """
    n = len(labels)
    step = torch.arange(1, n, device=labels.device)
    later = (torch.arange(n, device=labels.device)[:, None] + step) % n  # (n, n - 1)
    same = labels[later] == labels[:, None]
    rows, partners, targets = [], [], []
    for mask, target in ((same, 1.0), (~same, 0.0)):
        found = mask.any(1)
        row = found.nonzero().flatten()
        rows.append(row)
        partners.append(later[row, mask[row].int().argmax(1)])
        targets.append(torch.full((len(row),), target, device=labels.device))
    if not len(rows[0]) or not len(rows[1]):
        message = "a batch needs two classes and two images of one of them: use larger batches"
        raise ArgumentError("labels", labels.tolist(), message=message)
    first, second = torch.cat(rows), torch.cat(partners)
    return images.index_select(0, first), images.index_select(0, second), torch.cat(targets)


def tasks_of_labels(labels: Tensor, seed: int = 2015) -> EvalTasks:
    """Draw 1,000 one-shot episodes of 20 ways, or of all classes, and 2,000 verification pairs.

    Labels are int64 ``(n,)``, of images 0 … n-1. Classes with one image are left out. Equal labels
    give equal tasks.
    """
    classes, numbers, counts = labels.cpu().unique(return_inverse=True, return_counts=True)
    indices = (counts[numbers] >= 2).nonzero().flatten()
    ways = int((counts >= 2).sum())
    if ways < 2:
        message = "one-shot accuracy needs two images each of at least two classes"
        raise ArgumentError("labels", classes.tolist(), message=message)
    no_images = torch.zeros(len(numbers), 1, 1, dtype=torch.uint8)
    dataset = CharacterDataset.from_arrays(no_images, numbers, source="labels")
    index, way = ClassIndex(dataset, indices), min(_WAY, ways)
    episodes = sample_episodes(index, _EPISODES, generator_for(seed, 1), way)
    pairs = sample_pairs(index, _PAIRS, generator_for(seed, 2), within_alphabet=True)
    title = f"{way}-way one-shot among {ways} classes"
    return EvalTasks(pairs, (EpisodeTask("one_shot", title, title, episodes),))
