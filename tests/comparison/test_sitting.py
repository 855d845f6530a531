"""One subject, every list: counts against direct ones, each picture embedded once."""

from __future__ import annotations

import pytest
import torch
from comparing import MACHINE, MORE, guessing, network, pixels
from torch import Tensor, nn

from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.sitting import Outcome, sit, slimmed
from siamese_oneshot.comparison.subjects import Subject
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import Question
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.baselines import PixelNeighbour
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.tracking.score import Score, alphabet_scores


class Counting(PixelNeighbour):
    """Notes every picture that is embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def embed(self, pictures: Tensor) -> Tensor:
        self.seen += list(pictures)
        return super().embed(pictures)


def test_each_picture_is_embedded_once(desk_with_digits: Desk) -> None:
    counting = Counting()
    subject = Subject("counting", counting, 16)
    outcome = sit(subject, desk_with_digits, MACHINE)
    assert len(counting.seen) == outcome.pictures
    assert outcome.pictures <= len(desk_with_digits.loaded.drawings) + 90
    assert outcome.comparisons > 10 * outcome.pictures
    bits = torch.stack(counting.seen).flatten(1)
    alike = len(bits) - len(torch.unique(bits, dim=0))
    assert alike == 0


def test_scores_that_are_no_numbers_are_refused(desk: Desk) -> None:
    subject = network("broken")
    assert isinstance(subject.recognises, nn.Module)
    for weight in subject.recognises.parameters():
        weight.data.fill_(float("nan"))
    with pytest.raises(UserError, match="broken gives scores that are no numbers"):
        sit(subject, desk, MACHINE)


def test_figures_equal_slow_counts(desk: Desk, drawings: Drawings) -> None:
    outcome = sit(pixels(), desk, MACHINE)
    flat = drawings.pixels.flatten(1).double() / 255
    for key in ("yardstick", "across", "few_5_5", "ways_test_04", "ways_train_06"):
        answered = outcome.answered[key]
        trials, right = answered.question.trials, 0
        for query, ways, wanted in zip(
            trials.queries, trials.supports, trials.answers, strict=True
        ):
            scores = [-float((flat[query] - flat[shots]).norm(dim=-1).mean()) for shots in ways]
            assert sorted(scores)[-1] > sorted(scores)[-2]  # no tie here
            right += max(range(len(scores)), key=scores.__getitem__) == int(wanted)
        assert answered.correct == right
        assert answered.trials == len(trials)


def test_every_figure_is_there_once_and_thresholds_come_from_validation(
    desk_with_digits: Desk,
) -> None:
    outcome = sit(network(), desk_with_digits, MACHINE)
    keys = [(score.split, score.key) for score in outcome.scores]
    assert len(set(keys)) == len(keys)
    ways = [f"ways_{whose}_{way:02d}" for whose in ("test", "train") for way in range(1, 7)]
    assert {key for split, key in keys if split == "test"} == {
        "yardstick", "across", "paper", "few_5_1", "few_5_5", "verification", "unknown", "mnist",
        "assigned_yardstick", *ways,
    }  # fmt: skip
    assert {key for split, key in keys if split == "validation"} == {"one_shot", "verification"}
    assert outcome.test.verified.threshold == outcome.validation.verified.threshold
    scores = {score.key: score for score in outcome.scores if score.split == "test"}
    assert scores["mnist"].trials == MORE.digit_trials
    assert scores["ways_test_01"].value == 1.0
    assert scores["unknown"].trials == 2 * scores["yardstick"].trials
    assert scores["assigned_yardstick"].protocol.startswith("NOT one-shot trials")
    assert scores["assigned_yardstick"].trials == scores["yardstick"].trials


def test_only_the_one_that_is_looked_at_keeps_its_embeddings(desk: Desk) -> None:
    outcomes: list[Outcome] = []
    kept = []
    for subject in (pixels(), guessing(), network("a"), network("b")):
        outcomes = slimmed([*outcomes, sit(subject, desk, MACHINE)])
        kept.append([one.subject.name for one in outcomes if one.embeddings is not None])
    assert kept == [["pixels"], ["pixels"], ["a"], ["a"]]


def test_unknown_is_judged_at_validations_threshold(desk: Desk) -> None:
    outcome = sit(pixels(), desk, MACHINE)
    answered = outcome.answered["yardstick"]
    right = 0
    for scores, wanted in zip(
        answered.scores.tolist(), answered.question.trials.answers.tolist(), strict=True
    ):
        others = [score for way, score in enumerate(scores) if way != wanted]
        right += max(scores) > outcome.unknown_below
        right += max(others) <= outcome.unknown_below
    (score,) = [score for score in outcome.scores if score.key == "unknown"]
    assert score.correct == right


def test_guessing_scores_at_chance_on_every_list(desk_with_digits: Desk) -> None:
    for score in sit(guessing(), desk_with_digits, MACHINE).scores:
        if "verification" in score.key or score.key == "unknown":
            continue
        way = 10 if score.key == "mnist" else 5
        if score.key.startswith(("ways", "few")):
            way = int(score.key.split("_")[1 if score.key.startswith("few") else 2])
        spread = 4.5 * (1 / way * (1 - 1 / way) / score.trials) ** 0.5
        assert score.value == pytest.approx(1 / way, abs=spread + 1e-9), score.key


def test_slow_subjects_answer_the_first_trials_of_each_list(desk: Desk) -> None:
    whole, part = sit(pixels(), desk, MACHINE), sit(pixels(most=15), desk, MACHINE)
    for key, answered in part.answered.items():
        assert answered.trials == min(15, whole.answered[key].trials)
        assert torch.equal(answered.picks, whole.answered[key].picks[:15])
        if whole.answered[key].trials > 15:
            assert "the first 15 of" in answered.question.protocol


def test_alphabets_by_hand(drawings: Drawings) -> None:
    queries = torch.tensor([0, 1, 2, 6 * 6, 6 * 6 + 1])  # three of AlphabetA, two of AlphabetB
    trials = Trials(queries, torch.zeros(5, 2, 1, dtype=torch.int64), torch.zeros(5).long())
    picks = torch.tensor([0, 1, 1, 0, 0])
    answered = Answered(Question("yardstick", "", "rule", trials), torch.zeros(5, 2), picks)
    best, other = alphabet_scores(answered, drawings, "test")
    assert (best.name, best.correct, best.trials) == ("AlphabetB", 2, 2)
    assert (other.name, other.correct, other.trials) == ("AlphabetA", 1, 3)
    assert isinstance(best, Score)
