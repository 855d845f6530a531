from __future__ import annotations

from functools import partial

import pytest
import torch

from siamese_oneshot.bench.evaluation import Score, score_pairs_plainly, score_trial_plainly
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import episode_trials
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.evaluation.embedding import Machine, embed
from siamese_oneshot.evaluation.scoring import score_trials
from siamese_oneshot.model.comparator import WeightedL1
from siamese_oneshot.model.encoder import ConvEncoder
from siamese_oneshot.model.network import build_network


@pytest.mark.parametrize("plainly", [score_pairs_plainly, score_trial_plainly])
def test_all_ways_of_scoring_give_the_same_scores(drawings: Drawings, plainly: Score) -> None:
    tower = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], units=16)
    network = build_network(tower, WeightedL1, "torch", 0).eval()  # type: ignore[arg-type]
    roster = Roster(drawings, drawings.positions())
    trials = episode_trials(roster, 3, torch.Generator().manual_seed(0), way=5)
    table = embed(network, drawings, drawings.positions(), Machine("cpu", "32-true"), "")
    fast = score_trials(table, trials.queries, trials.supports, network.score)
    for number in range(3):
        slow = plainly(network, drawings, trials, number, "cpu")
        assert slow.tolist() == pytest.approx(fast[number].tolist(), abs=1e-5)
