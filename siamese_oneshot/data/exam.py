"""What a network is asked: frozen lists of pairs and trials, each with its rule in words."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from siamese_oneshot.data.batches import generator_for
from siamese_oneshot.data.episodes import Trials, episode_trials, run_trials
from siamese_oneshot.data.omniglot import OfficialRuns
from siamese_oneshot.data.pairs import Pairs, sample_pairs
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.setting import flag, seed, whole


@dataclass(frozen=True)
class Question:
    """One list of trials.

    Attributes:
        key: a short name for logs: ``one_shot``, ``official``, ``yardstick``, ``across``,
            ``paper``.
        title: a name for people.
        protocol: how the trials were made, in a sentence.
        trials: the list.
    """

    key: str
    title: str
    protocol: str
    trials: Trials


@dataclass(frozen=True)
class Exam:
    """All that is asked of a network at one stage.

    Attributes:
        pairs: verification pairs.
        questions: one-shot trials; the first list of a validation exam is the one to choose by.
    """

    pairs: Pairs
    questions: tuple[Question, ...]

    @property
    def positions(self) -> Tensor:
        """int64, ascending: every picture that is asked about, once."""
        used = [self.pairs.first, self.pairs.second]
        for question in self.questions:
            used += [question.trials.queries, question.trials.supports.flatten()]
        return torch.unique(torch.cat(used))

    @property
    def digests(self) -> dict[str, str]:
        """The hash of each list, by its key."""
        listed = {question.key: question.trials.digest for question in self.questions}
        return {"pairs": self.pairs.digest, **listed}


@dataclass(frozen=True)
class ExamSize:
    """How long the lists are.

    Attributes:
        pairs: verification pairs for validation, and for test (paper: 10,000 each).
        validation_runs: validation runs of ``way`` trials (paper: 16, that is 320 trials).
        paper_runs: test runs by the paper's rule on the split's test drawers (paper: 20, that is
            400 trials).
        test_runs: runs of the yardstick; 500 make 10,000 trials of 20-way.
        across: trials across alphabets.
        way: classes in a trial.
        within_alphabet: draw the "different" pairs within one alphabet.
        seed: of the lists; theirs alone, so that runs of every seed face the same lists.
    """

    pairs: int = 10_000
    validation_runs: int = 100
    paper_runs: int = 20
    test_runs: int = 500
    across: int = 10_000
    way: int = 20
    within_alphabet: bool = False
    seed: int = 2015

    def __post_init__(self) -> None:
        """Refuse what makes no list."""
        for name in ("pairs", "validation_runs", "paper_runs", "test_runs", "across"):
            whole(f"data.exam.{name}", getattr(self, name), 1)
        whole("data.exam.way", self.way, 2)
        flag("data.exam.within_alphabet", self.within_alphabet)
        seed("data.exam.seed", self.seed)


def validation_exam(roster: Roster, size: ExamSize) -> Exam:
    """Pairs, and runs of trials within the validation alphabets by the paper's rule."""
    trials = run_trials(roster, size.validation_runs, generator_for(size.seed, 1), size.way)
    question = Question(
        "one_shot",
        f"validation {size.way}-way one-shot",
        f"{size.way}-way within one alphabet, 2 drawers a run, {_alphabets(roster, size.way)}",
        trials,
    )
    pairs = sample_pairs(roster, size.pairs, generator_for(size.seed, 2), size.within_alphabet)
    return Exam(pairs, (question,))


def exam_for_test(
    roster: Roster, yardstick: Roster, runs: OfficialRuns | None, size: ExamSize
) -> Exam:
    """The official runs where there are any, the yardstick, trials across alphabets, and pairs."""
    questions = []
    # Under data.split=shares some alphabets of the official runs validate: those are no test.
    if runs is not None and torch.isin(official_trials(runs).queries, yardstick.positions).all():
        questions.append(
            Question(
                "official",
                "official 20-way runs",
                "20 published runs x 20 trials, 20-way within one alphabet (Lake et al. 2015)",
                official_trials(runs),
            )
        )
    questions += [
        Question(
            "yardstick",
            f"hard yardstick {size.way}-way",
            f"{size.way}-way within one alphabet, 2 of all drawers a run, "
            + _alphabets(yardstick, size.way),
            run_trials(yardstick, size.test_runs, generator_for(size.seed, 3), size.way),
        ),
        Question(
            "across",
            f"across alphabets {size.way}-way",
            f"{size.way}-way from the {len(yardstick)} test characters of "
            f"{len(yardstick.names)} alphabets (the replication's task, easier)",
            episode_trials(yardstick, size.across, generator_for(size.seed, 4), size.way),
        ),
        Question(
            "paper",
            f"paper's rule {size.way}-way",
            f"{size.way}-way within one alphabet, 2 of the split's test drawers a run, "
            + _alphabets(roster, size.way),
            run_trials(roster, size.paper_runs, generator_for(size.seed, 6), size.way),
        ),
    ]
    pairs = sample_pairs(roster, size.pairs, generator_for(size.seed, 5), size.within_alphabet)
    return Exam(pairs, tuple(questions))


def official_trials(runs: OfficialRuns) -> Trials:
    """The published task as a list of 400 trials, in its own order."""
    way = runs.supports.shape[1]
    supports = runs.supports[:, None, :].expand(-1, runs.tests.shape[1], -1)
    return Trials(
        runs.tests.flatten(), supports.reshape(-1, way)[..., None], runs.answers.flatten()
    )


def _alphabets(roster: Roster, way: int) -> str:
    """How many alphabets take part, and which are too small to."""
    left_out = roster.left_out(way, 2)
    note = f"; left out as too small: {', '.join(left_out)}" if left_out else ""
    return f"{len(roster.names) - len(left_out)} alphabets{note}"
