"""From embeddings to figures: an evaluation tasks's pairs verified and its episodes answered."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_eer, binary_stat_scores

from siamese_oneshot.data.tasks import EpisodeTask, EvalTasks
from siamese_oneshot.evaluation.metrics import best_threshold, choose, known_and_unknown
from siamese_oneshot.evaluation.scoring import Comparator, Embeddings, score_episodes, score_pairs


@dataclass(frozen=True)
class VerificationResults:
    """How well pairs were told apart.

    Attributes:
        correct, n: pairs told right at ``threshold``, and all.
        auroc: area under the ROC curve, free of any threshold.
        threshold: the logit above which a pair is called same.
        eer: the equal error rate: where as many different pairs are called same as same ones are
            called different, free of any threshold.
        digest: the hash of the list of pairs.
        within_alphabet: whether all different pairs are of one alphabet each.
        comparable_with: the published protocol that the pairs follow, or None.
        logits: float32 ``(episodes,)``, on the CPU; left out of comparisons.
    """

    correct: int
    n: int
    auroc: float
    threshold: float
    eer: float
    digest: str
    within_alphabet: bool
    comparable_with: str | None
    logits: Tensor = field(compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        """The share of pairs told right."""
        return self.correct / self.n


@dataclass(frozen=True)
class EpisodeResults:
    """How the episodes of one list were answered.

    Attributes:
        episode task: the list.
        scores: float32 ``(episodes, way)``.
        picks: int64 ``(episodes,)``: the way with the highest score, ties broken at random.
    """

    task: EpisodeTask
    scores: Tensor
    picks: Tensor

    @property
    def right(self) -> Tensor:
        """Whether each was answered right: bool ``(episodes,)``."""
        return self.picks == self.task.episodes.answers

    @property
    def correct(self) -> int:
        """How many were answered right."""
        return int(self.right.sum())

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.picks)

    @property
    def accuracy(self) -> float:
        """The share of episodes answered right."""
        return self.correct / self.n


@dataclass(frozen=True)
class EvalResults:
    """The outcome of an evaluation tasks."""

    verification: VerificationResults
    results: tuple[EpisodeResults, ...]


def evaluate_tasks(
    eval_tasks: EvalTasks,
    embeddings: Embeddings,
    compare: Comparator,
    threshold: float | None = None,
) -> EvalResults:
    """Put an evaluation tasks to embeddings.

    Args:
        evaluation tasks: the pairs and episodes.
        embeddings: of all ``eval_tasks.indices``.
        compare: embeddings, embeddings → scores.
        threshold: for verification; where None, the best one for these pairs is taken, which is for
            validation only.

    Returns:
        What was right.
    """
    return EvalResults(
        verify_pairs(eval_tasks, embeddings, compare, threshold),
        tuple(answer(task, embeddings, compare) for task in eval_tasks.episode_tasks),
    )


def verify_pairs(
    eval_tasks: EvalTasks, embeddings: Embeddings, compare: Comparator, threshold: float | None
) -> VerificationResults:
    """Tell the evaluation tasks's pairs apart."""
    # float64, as the threshold: half-way between two neighbours in float32 is no float32. On the
    # CPU, as not every device has float64.
    logits = (
        score_pairs(embeddings, eval_tasks.pairs.first, eval_tasks.pairs.second, compare)
        .cpu()
        .double()
    )
    same = eval_tasks.pairs.same
    if threshold is None:
        threshold = best_threshold(logits, same)
    ranks, truth = _spread(logits), same.long()
    hits, _, rejections, _, _ = binary_stat_scores((logits > threshold).long(), truth)
    auroc, eer = binary_auroc(ranks, truth), binary_eer(ranks, truth)
    return VerificationResults(
        int(hits + rejections),
        len(same),
        float(auroc),
        threshold,
        float(eer),
        eval_tasks.pairs.digest,
        eval_tasks.pairs.within_alphabet,
        eval_tasks.pairs_comparable_with,
        logits.float(),
    )


def answer(task: EpisodeTask, embeddings: Embeddings, compare: Comparator) -> EpisodeResults:
    """Answer one list of episodes."""
    episodes = task.episodes
    scores = score_episodes(embeddings, episodes.queries, episodes.supports, compare).cpu()
    return EpisodeResults(task, scores, choose(scores, torch.Generator().manual_seed(0)))


def best_reject_threshold(results: EpisodeResults) -> float:
    """The highest score below which a query's class is best called unknown, by these episodes.

    Each episode is taken twice, with the query's class among the ways and without it.
    """
    return best_threshold(*known_and_unknown(results.scores, results.task.episodes.answers))


def _spread(logits: Tensor) -> Tensor:
    """Ranks scaled to 0 … 1: torchmetrics would squash large logits together with a sigmoid."""
    _, ranks = torch.unique(logits, return_inverse=True)
    return ranks.double() / max(1, int(ranks.max()))
