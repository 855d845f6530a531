"""The parts of a batch that several processes train on: nothing twice, nothing missed."""

from __future__ import annotations

import pytest
import torch

from siamese_oneshot.data.batches import EpisodeBatches, PairBatches
from siamese_oneshot.data.distort import Distortion
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.plan import Plan, Shares
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.errors import UserError


@pytest.mark.parametrize("world", [1, 2, 4])
def test_shares_of_pairs_make_the_whole_batch(drawings: Drawings, world: int) -> None:
    roster = Roster(drawings, torch.arange(len(drawings)))
    whole = PairBatches(8, 3, distortion=Distortion(elastic=1.0)).prepare(roster, 0)
    parts = [Shares(whole, rank, world)[1] for rank in range(world)]
    assert all(len(part.same) == 8 // world for part in parts)  # type: ignore[arg-type]
    assert rows(parts) == rows([whole[1]])


def rows(plans: list[Plan]) -> list[list[float]]:
    """A row for each pair: positions, warps, label; in an order of their own."""
    found = []
    for plan in plans:
        assert plan.matrix is not None
        assert plan.bend is not None
        assert plan.same is not None
        for n, same in enumerate(plan.same.tolist()):
            of_pair = (plan.positions[:, n], plan.matrix[:, n], plan.bend[:, n])
            found.append([same, *(x for part in of_pair for x in part.flatten().tolist())])
    return sorted(found)


def test_shares_of_alphabets_make_the_whole_batch(drawings: Drawings) -> None:
    roster = Roster(drawings, torch.arange(len(drawings)))
    whole = EpisodeBatches(4, 4, 2, 3).prepare(roster, 0)
    first, second = (Shares(whole, rank, 2)[2] for rank in range(2))
    assert first.positions.shape == (2, 4, 2)
    assert first.same is None
    assert torch.equal(
        torch.cat([first.positions, second.positions])[[0, 2, 1, 3]], whole[2].positions
    )
    assert first.matrix is not None
    assert torch.equal(first.matrix, whole[2].matrix[::2])  # type: ignore[index]


def test_a_batch_that_cannot_be_divided_is_refused(drawings: Drawings) -> None:
    whole = PairBatches(6, 3).prepare(Roster(drawings, torch.arange(len(drawings))), 0)
    with pytest.raises(UserError, match="6 pairs cannot be divided among 4 devices"):
        Shares(whole, 0, 4)[0]
