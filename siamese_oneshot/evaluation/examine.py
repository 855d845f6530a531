"""From embeddings to figures: an exam's pairs verified and its trials answered."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_eer, binary_stat_scores

from siamese_oneshot.data.exam import Exam, Question
from siamese_oneshot.evaluation.metrics import best_threshold, choose, known_and_unknown
from siamese_oneshot.evaluation.scoring import Comparator, Embeddings, score_pairs, score_trials


@dataclass(frozen=True)
class Verified:
    """How well pairs were told apart.

    Attributes:
        correct, trials: pairs told right at ``threshold``, and all.
        auroc: area under the ROC curve, free of any threshold.
        threshold: the logit above which a pair is called same.
        eer: the equal error rate: where as many different pairs are called same as same ones are
            called different, free of any threshold.
        digest: the hash of the list of pairs.
        within_alphabet: whether all different pairs are of one alphabet each.
        logits: float32 ``(trials,)``, on the CPU; left out of comparisons.
    """

    correct: int
    trials: int
    auroc: float
    threshold: float
    eer: float
    digest: str
    within_alphabet: bool
    logits: Tensor = field(compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        """The share of pairs told right."""
        return self.correct / self.trials


@dataclass(frozen=True)
class Answered:
    """How the trials of one list were answered.

    Attributes:
        question: the list.
        scores: float32 ``(trials, way)``.
        picks: int64 ``(trials,)``: the way with the highest score, ties broken at random.
    """

    question: Question
    scores: Tensor
    picks: Tensor

    @property
    def right(self) -> Tensor:
        """Whether each was answered right: bool ``(trials,)``."""
        return self.picks == self.question.trials.answers

    @property
    def correct(self) -> int:
        """How many were answered right."""
        return int(self.right.sum())

    @property
    def trials(self) -> int:
        """How many there are."""
        return len(self.picks)

    @property
    def accuracy(self) -> float:
        """The share of trials answered right."""
        return self.correct / self.trials


@dataclass(frozen=True)
class Findings:
    """The outcome of an exam."""

    verified: Verified
    answered: tuple[Answered, ...]


def examine(
    exam: Exam, embeddings: Embeddings, compare: Comparator, threshold: float | None = None
) -> Findings:
    """Put an exam to embeddings.

    Args:
        exam: the pairs and trials.
        embeddings: of all ``exam.positions``.
        compare: embeddings, embeddings → scores.
        threshold: for verification; where None, the best one for these pairs is taken, which is for
            validation only.

    Returns:
        What was right.
    """
    return Findings(
        verify(exam, embeddings, compare, threshold),
        tuple(answer(question, embeddings, compare) for question in exam.questions),
    )


def verify(
    exam: Exam, embeddings: Embeddings, compare: Comparator, threshold: float | None
) -> Verified:
    """Tell the exam's pairs apart."""
    # float64, as the threshold: half-way between two neighbours in float32 is no float32. On the
    # CPU, as not every device has float64.
    logits = score_pairs(embeddings, exam.pairs.first, exam.pairs.second, compare).cpu().double()
    same = exam.pairs.same
    if threshold is None:
        threshold = best_threshold(logits, same)
    ranks, truth = _spread(logits), same.long()
    hits, _, rejections, _, _ = binary_stat_scores((logits > threshold).long(), truth)
    auroc, eer = binary_auroc(ranks, truth), binary_eer(ranks, truth)
    return Verified(
        int(hits + rejections),
        len(same),
        float(auroc),
        threshold,
        float(eer),
        exam.pairs.digest,
        exam.pairs.within_alphabet,
        logits.float(),
    )


def answer(question: Question, embeddings: Embeddings, compare: Comparator) -> Answered:
    """Answer one list of trials."""
    trials = question.trials
    scores = score_trials(embeddings, trials.queries, trials.supports, compare).cpu()
    return Answered(question, scores, choose(scores, torch.Generator().manual_seed(0)))


def unknown_threshold(answered: Answered) -> float:
    """The highest score below which a query's class is best called unknown, by these trials.

    Each trial is taken twice, with the query's class among the ways and without it.
    """
    return best_threshold(*known_and_unknown(answered.scores, answered.question.trials.answers))


def _spread(logits: Tensor) -> Tensor:
    """Ranks scaled to 0 … 1: torchmetrics would squash large logits together with a sigmoid."""
    _, ranks = torch.unique(logits, return_inverse=True)
    return ranks.double() / max(1, int(ranks.max()))
