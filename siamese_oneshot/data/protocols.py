"""Every list that an evaluation asks: the exam for test, and what other publications report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from siamese_oneshot.data.batches import generator_for
from siamese_oneshot.data.digits import digit_trials
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials, episode_trials
from siamese_oneshot.data.exam import Exam, ExamSize, Question, exam_for_test, validation_exam
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splits import Split
from siamese_oneshot.setting import whole

WAYS_TEST, WAYS_TRAIN = "ways_test", "ways_train"  # begin the keys of the replication's figure


@dataclass(frozen=True)
class ProtocolSize:
    """How long the lists are that an evaluation asks beside ``ExamSize``.

    Attributes:
        most_ways: the replication's figure goes from 1 to this many ways.
        ways_trials: trials for each number of ways, on test and on training characters (the
            replication: 50).
        few_shot_trials: trials of each of 5- and 20-way, 1- and 5-shot (Vinyals et al. 2016).
        digit_trials: trials among ten digits (paper: 400).
    """

    most_ways: int = 21
    ways_trials: int = 1000
    few_shot_trials: int = 5000
    digit_trials: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what makes no list."""
        for name in ("most_ways", "ways_trials", "few_shot_trials", "digit_trials"):
            whole(f"protocols.{name}", getattr(self, name), 1)


def exams_of(
    drawings: Drawings,
    split: Split,
    runs: OfficialRuns | None,
    size: ExamSize,
    more: ProtocolSize,
) -> tuple[Exam, Exam]:
    """The validation exam, which sets thresholds, and the test exam with every protocol.

    Args:
        drawings: all pictures.
        split: who trained, validates and tests.
        runs: the official runs, if these drawings have any.
        size, more: how long the lists are.

    Returns:
        Validation and test. The test's pairs are those of ``exam_for_test``, its first questions
        as well.
    """
    test, whole = Roster(drawings, split.test), Roster(drawings, split.yardstick)
    exam = exam_for_test(test, whole, runs, size)
    questions = (
        *exam.questions,
        *_few_shot(whole, size, more),
        *_ways(whole, WAYS_TEST, "test", size, more),
        *_ways(Roster(drawings, split.train), WAYS_TRAIN, "training", size, more),
    )
    validation = validation_exam(Roster(drawings, split.validation), size)
    return validation, replace(exam, questions=questions)


def digits_question(digits: Drawings, size: ExamSize, more: ProtocolSize) -> Question:
    """Ten digits, one of each given: no network here has seen one."""
    return Question(
        "mnist",
        "MNIST 10-way",
        f"10-way, no digit seen in training, {len(digits):,} digits, pictures enlarged as they are",
        digit_trials(digits, more.digit_trials, generator_for(size.seed, 9)),
    )


def first_trials(question: Question, most: int | None) -> Question:
    """The question with at most so many trials: the first ones, said in its protocol."""
    trials = question.trials
    if most is None or len(trials) <= most:
        return question
    return replace(
        question,
        protocol=f"{question.protocol}; the first {most:,} of {len(trials):,} trials",
        trials=Trials(trials.queries[:most], trials.supports[:most], trials.answers[:most]),
    )


def positions_of(questions: tuple[Question, ...] | list[Question]) -> torch.Tensor:
    """int64, ascending: every picture that some questions ask about, once."""
    used = [
        part.flatten() for one in questions for part in (one.trials.queries, one.trials.supports)
    ]
    return torch.unique(torch.cat(used))


def _few_shot(roster: Roster, size: ExamSize, more: ProtocolSize) -> Iterator[Question]:
    """Those of 5- and 20-way, 1- and 5-shot for which there are classes and pictures enough."""
    most_shots = int(roster.counts.min()) - 1
    for way in (5, 20):
        for shot in (1, 5):
            if way > len(roster) or shot > most_shots:
                continue
            chance = generator_for(size.seed, 7, way, shot)
            yield Question(
                f"few_{way}_{shot}",
                f"{way}-way {shot}-shot across",
                f"{way}-way {shot}-shot from {len(roster)} test characters without rotated copies; "
                "Vinyals et al. test 423 of 1,623 characters and their rotations: split=vinyals "
                "has those 423",
                episode_trials(roster, more.few_shot_trials, chance, way, shot),
            )


def _ways(
    roster: Roster, key: str, whose: str, size: ExamSize, more: ProtocolSize
) -> Iterator[Question]:
    """Across alphabets with 1, 2, 3 … ways, as far as there are classes, of two pictures each."""
    if int(roster.counts.min()) < 2:
        return
    for way in range(1, min(more.most_ways, len(roster)) + 1):
        chance = generator_for(size.seed, 8, way, int(key == WAYS_TRAIN))
        yield Question(
            f"{key}_{way:02d}",
            f"{way}-way across {whose} alphabets",
            f"{way}-way from {len(roster)} {whose} characters of {len(roster.names)} alphabets",
            episode_trials(roster, more.ways_trials, chance, way),
        )
