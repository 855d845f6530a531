"""The parts of a batch that several processes train on: nothing twice, nothing missed."""

from __future__ import annotations

import pytest
import torch
from siamese_oneshot.data.batch_spec import BatchSpec, RankShard

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.samplers import EpisodeSampler, PairSampler
from siamese_oneshot.utils.errors import UserError


@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_of_pairs_make_the_whole_batch(dataset: CharacterDataset, world: int) -> None:
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    whole = PairSampler(8, 3, augmentation=Augmentation(elastic=1.0)).prepare(class_index, 0)
    parts = [RankShard(whole, rank, world)[1] for rank in range(world)]
    assert all(len(part.same) == 8 // world for part in parts)  # type: ignore[arg-type]
    assert rows(parts) == rows([whole[1]])


def rows(specs: list[BatchSpec]) -> list[list[float]]:
    """A row for each pair: indices, warps, label; in an order of their own."""
    found = []
    for spec in specs:
        assert spec.matrix is not None
        assert spec.bend is not None
        assert spec.same is not None
        for n, same in enumerate(spec.same.tolist()):
            of_pair = (spec.indices[:, n], spec.matrix[:, n], spec.bend[:, n])
            found.append([same, *(x for part in of_pair for x in part.flatten().tolist())])
    return sorted(found)


def test_shares_of_alphabets_make_the_whole_batch(dataset: CharacterDataset) -> None:
    class_index = ClassIndex(dataset, torch.arange(len(dataset)))
    whole = EpisodeSampler(4, 4, 2, 3).prepare(class_index, 0)
    first, second = (RankShard(whole, rank, 2)[2] for rank in range(2))
    assert first.indices.shape == (2, 4, 2)
    assert first.same is None
    assert torch.equal(torch.cat([first.indices, second.indices])[[0, 2, 1, 3]], whole[2].indices)
    assert first.matrix is not None
    assert torch.equal(first.matrix, whole[2].matrix[::2])  # type: ignore[index]


def test_a_batch_that_cannot_be_divided_is_refused(dataset: CharacterDataset) -> None:
    whole = PairSampler(6, 3).prepare(ClassIndex(dataset, torch.arange(len(dataset))), 0)
    with pytest.raises(UserError, match="6 pairs cannot be divided among 4 devices"):
        RankShard(whole, 0, 4)[0]
