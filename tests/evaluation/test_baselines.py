from __future__ import annotations

import pytest
import torch

from siamese_oneshot.data.batches import generator_for
from siamese_oneshot.data.exam import Exam, Question, official_trials
from siamese_oneshot.data.omniglot import EVALUATION, Omniglot
from siamese_oneshot.data.pairs import sample_pairs
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.evaluation.baselines import Chance, PixelNeighbour
from siamese_oneshot.evaluation.examine import Findings, examine
from siamese_oneshot.evaluation.scoring import Embeddings


@pytest.mark.parametrize("norm", [1, 2])
def test_pixel_neighbour_equals_a_loop(norm: int) -> None:
    pixels = PixelNeighbour(norm)
    pictures = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    vectors = pixels.embed(pictures)
    assert vectors.shape == (5, 16)
    scores = pixels.score(vectors[:2, None], vectors[None, 2:])
    for a in range(2):
        for b in range(3):
            far = zip(
                pictures[a].flatten().tolist(), pictures[2 + b].flatten().tolist(), strict=True
            )
            distance = sum(abs(x - y) ** norm for x, y in far) ** (1 / norm)
            assert scores[a, b].item() == pytest.approx(-distance, rel=1e-5)


def test_chance_says_the_same_of_everything() -> None:
    guess = Chance()
    vectors = guess.embed(torch.rand(4, 1, 6, 6))
    scores = guess.score(vectors[:, None], vectors[None])
    assert scores.shape == (4, 4)
    assert (scores == 0).all()


def official(omniglot: Omniglot, baseline: PixelNeighbour | Chance) -> Findings:
    """The 400 published trials and some pairs, by the path that a network takes."""
    drawings = omniglot.drawings
    roster = Roster(drawings, drawings.positions(EVALUATION, [0]))
    pool = Roster(drawings, drawings.positions(EVALUATION[:1]))
    question = Question("official", "", "", official_trials(omniglot.runs))
    assert len(roster) == 659
    exam = Exam(sample_pairs(pool, 50, generator_for(0)), (question,))
    pictures = drawings.pixels[exam.positions][:, None].float().div_(255)
    table = Embeddings(exam.positions, baseline.embed(pictures))
    return examine(exam, table, baseline.score, None)


@pytest.mark.omniglot
def test_pixel_neighbour_scores_19_percent_on_the_official_runs(omniglot: Omniglot) -> None:
    """Fault 10: 76 of the 400 published trials, at 105 × 105."""
    (answered,) = official(omniglot, PixelNeighbour(norm=2)).answered
    assert (answered.correct, answered.trials) == (76, 400)
    assert answered.accuracy == 0.19


@pytest.mark.omniglot
def test_guessing_scores_5_percent_on_the_official_runs(omniglot: Omniglot) -> None:
    (answered,) = official(omniglot, Chance()).answered
    assert answered.trials == 400
    assert answered.accuracy == pytest.approx(0.05, abs=2 * (0.05 * 0.95 / 400) ** 0.5)
