"""One subject sits every exam: each picture embedded once, then all lists answered from that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.subjects import Subject
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import Exam
from siamese_oneshot.data.protocols import first_trials, positions_of
from siamese_oneshot.evaluation.assignment import assigned
from siamese_oneshot.evaluation.embedding import Machine, embed
from siamese_oneshot.evaluation.examine import (
    Answered,
    Findings,
    answer,
    examine,
    unknown_threshold,
)
from siamese_oneshot.evaluation.metrics import known_and_unknown
from siamese_oneshot.evaluation.scoring import Embeddings, refuse_no_numbers
from siamese_oneshot.tracking.score import Score, alphabet_scores, scores_of


@dataclass(frozen=True)
class Outcome:
    """What came out for one subject.

    Attributes:
        subject: who.
        split: the rule of the lists.
        drawings: the pictures that positions speak of, in the subject's size.
        validation, test: the findings.
        answered: every one-shot list of the test by its key, the digits' among them.
        scores: all figures, in the order of the tables.
        alphabets: of the yardstick's trials, an alphabet each.
        embeddings: of all pictures that were asked about, for the embedding map; None where it is
            not looked at closely.
        unknown_below: what tells an unknown class, chosen on validation.
        pictures, comparisons: how many were embedded, and how many scores that made.
        seconds: that it took.
    """

    subject: Subject
    split: str
    drawings: Drawings
    validation: Findings
    test: Findings
    answered: dict[str, Answered]
    scores: list[Score]
    alphabets: list[Score]
    embeddings: Embeddings | None
    unknown_below: float
    pictures: int
    comparisons: int
    seconds: float

    @property
    def mixed_up(self) -> tuple[Answered, Answered]:
        """The lists whose mistakes are looked at class by class: validation and the yardstick."""
        return self.validation.answered[0], self.answered["yardstick"]


def looked_at(outcomes: Sequence[Outcome]) -> Outcome:
    """The one that is looked at closely: the first network, or the first where there is none."""
    return next((one for one in outcomes if one.subject.trained is not None), outcomes[0])


def slimmed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """All of them, only the one that is looked at closely with its embeddings: they are large."""
    close = looked_at(outcomes)
    return [one if one is close else replace(one, embeddings=None) for one in outcomes]


@torch.no_grad()
def sit(subject: Subject, desk: Desk, machine: Machine) -> Outcome:
    """Put every exam to a subject.

    Args:
        subject: who.
        desk: the pictures and lists.
        machine: where and how to embed.

    Returns:
        Findings and figures; thresholds come from validation.

    Raises:
        UserError: a network whose scores are no numbers.
    """
    began = time.monotonic()
    recognises = subject.recognises
    if isinstance(recognises, nn.Module):
        recognises.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sheet = desk.sheet(subject)
    exams = [_shortened(exam, subject) for exam in (sheet.validation, sheet.test)]
    positions = torch.unique(torch.cat([exam.positions for exam in exams]))
    embeddings = embed(recognises, sheet.drawings, positions, machine, subject.name)
    validation = examine(exams[0], embeddings, recognises.score)
    if subject.trained is not None:
        refuse_no_numbers(validation.answered[0].scores, subject.name)
    test = examine(exams[1], embeddings, recognises.score, validation.verified.threshold)
    answered = {one.question.key: one for one in test.answered}
    pictures = len(positions)
    if desk.digits is not None:
        question = first_trials(desk.digits_question, subject.most_trials)
        asked = positions_of([question])
        digits = desk.digits_of(subject.size)
        table = embed(recognises, digits, asked, machine, f"{subject.name}, digits")
        answered["mnist"] = answer(question, table, recognises.score)
        pictures += len(asked)
    unknown_below = unknown_threshold(validation.answered[0])
    scores = [
        *scores_of(validation, "validation", "chosen on these pairs"),
        *scores_of(test, "test", "threshold from validation"),
        _verdicts(answered["yardstick"], unknown_below),
        *([Score.of(answered["mnist"], "test")] if "mnist" in answered else []),
    ]
    scores += [_assigned(answered[key]) for key in ("official", "yardstick") if key in answered]
    lists = [*validation.answered, *answered.values()]
    return Outcome(
        subject=subject,
        split=sheet.split.name,
        drawings=sheet.drawings,
        validation=validation,
        test=test,
        answered=answered,
        scores=scores,
        alphabets=alphabet_scores(answered["yardstick"], sheet.drawings, "test"),
        embeddings=embeddings,
        unknown_below=unknown_below,
        pictures=pictures,
        comparisons=sum(one.question.trials.supports.numel() for one in lists)
        + sum(len(exam.pairs) for exam in exams),
        seconds=time.monotonic() - began,
    )


def _shortened(exam: Exam, subject: Subject) -> Exam:
    """What a slow subject is asked of an exam."""
    most = subject.most_trials
    questions = [one for one in exam.questions if not one.key.startswith(subject.skips)]
    pairs = exam.pairs
    if most is not None:
        cut = {name: getattr(pairs, name)[:most] for name in ("first", "second", "same")}
        pairs = replace(pairs, **cut)
    return Exam(pairs, tuple(first_trials(one, most) for one in questions))


def _assigned(answered: Answered) -> Score:
    """The same list by another task: the trials of a run are answered together."""
    asked, found = answered.question, assigned(answered)
    assert found is not None, "both lists are made of runs"
    return Score.from_counts(
        f"{asked.title}, run assigned one to one",
        f"NOT one-shot trials: the {asked.trials.way} trials of a run are answered together, each "
        f"class given once (Hungarian algorithm); {asked.protocol}",
        found.correct,
        found.trials,
        asked.trials.digest,
        "test",
        f"assigned_{asked.key}",
    )


def _verdicts(answered: Answered, unknown_below: float) -> Score:
    """How often a network that may say "unknown" says so rightly."""
    trials = answered.question.trials
    highest, known = known_and_unknown(answered.scores, trials.answers)
    right = (highest > unknown_below) == (known > 0.5)
    return Score.from_counts(
        f"known or unknown, {trials.way} ways",
        "the yardstick's trials with the query's class among the ways and without it; "
        "threshold from validation",
        int(right.sum()),
        len(right),
        trials.digest,
        "test",
        "unknown",
    )
