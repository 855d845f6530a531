"""From embeddings to figures: an exam's pairs verified and its trials answered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from siamese_oneshot.data.exam import Exam, Question
from siamese_oneshot.evaluation.metrics import OneShotAccuracy, best_threshold
from siamese_oneshot.evaluation.scoring import Comparator, Embeddings, score_pairs, score_trials


@dataclass(frozen=True)
class Verified:
    """How well pairs were told apart.

    Attributes:
        correct, trials: pairs told right at ``threshold``, and all.
        auroc: area under the ROC curve, free of any threshold.
        threshold: the logit above which a pair is called same.
    """

    correct: int
    trials: int
    auroc: float
    threshold: float

    @property
    def accuracy(self) -> float:
        """The share of pairs told right."""
        return self.correct / self.trials


@dataclass(frozen=True)
class Answered:
    """How many trials of one list were answered right."""

    question: Question
    correct: int
    trials: int

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
    # float64, as the threshold: half-way between two neighbours in float32 is no float32.
    logits = score_pairs(embeddings, exam.pairs.first, exam.pairs.second, compare).double()
    same = exam.pairs.same.to(logits.device)
    if threshold is None:
        threshold = best_threshold(logits, same)
    right = (logits > threshold) == (same > 0.5)
    auroc = binary_auroc(_spread(logits), same.long())
    return Verified(int(right.sum()), len(same), float(auroc), threshold)


def answer(question: Question, embeddings: Embeddings, compare: Comparator) -> Answered:
    """Answer one list of trials."""
    trials = question.trials
    scores = score_trials(embeddings, trials.queries, trials.supports, compare)
    metric = OneShotAccuracy()
    metric.update(scores.cpu(), trials.answers)
    return Answered(question, int(metric.correct), int(metric.trials))


def _spread(logits: Tensor) -> Tensor:
    """Ranks scaled to 0 … 1: torchmetrics would squash large logits together with a sigmoid."""
    _, ranks = torch.unique(logits, return_inverse=True)
    return ranks.double() / max(1, int(ranks.max()))
