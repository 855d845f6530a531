"""From embeddings to results: verify pairs, answer episodes, and analyze the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask, EvalTasks
from siamese_oneshot.evaluation.embeddings import (
    Embeddings,
    PairScorer,
    score_lists,
)
from siamese_oneshot.evaluation.metrics import best_threshold, choose, known_and_unknown, roc
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import PairedTest, paired_test, wilson

_THRESHOLD = {"validation": "fitted on these pairs", "test": "from validation"}


@dataclass(frozen=True)
class VerificationResults:
    """Results on verification pairs."""

    tasks: EvalTasks = field(compare=False, repr=False)  # the lists that hold the pairs
    correct: int  # decisions at ``threshold``
    auroc: float  # area under the ROC curve
    threshold: float  # pairs with a higher score are called same
    eer: float  # equal error rate: false accept rate = false reject rate
    scores: Tensor = field(compare=False, repr=False)  # float32 (n,), on the CPU

    @property
    def same(self) -> Tensor:
        """float32 ``(n,)``: 1 for same, 0 for different."""
        return self.tasks.pairs.same

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.scores)

    @property
    def accuracy(self) -> float:
        """Fraction of correct decisions."""
        return self.correct / self.n

    def score(self, split: str) -> Score:
        """The accuracy with AUROC, EER and threshold as a score of ``split``."""
        pairs = self.tasks.pairs
        within = ", different pairs within one alphabet" if pairs.within_alphabet else ""
        protocol = f"half same, half different{within}; threshold {_THRESHOLD[split]}"
        return Score.from_counts(
            "verification", split, f"{split} verification", protocol, self.correct, self.n,
            pairs.digest, kind="verification", auroc=self.auroc, eer=self.eer,
            threshold=self.threshold, comparable_with=self.tasks.pairs_comparable_with,
        )  # fmt: skip


@dataclass(frozen=True)
class EpisodeResults:
    """Results on one list of episodes."""

    task: EpisodeTask
    scores: Tensor = field(repr=False)  # float32 (episodes, way)
    picks: Tensor = field(repr=False)  # int64 (episodes,): the predicted way of each episode

    @property
    def is_correct(self) -> Tensor:
        """Whether each prediction is correct: bool ``(episodes,)``."""
        return self.picks == self.task.episodes.answers

    @property
    def correct(self) -> int:
        """Number of correct predictions."""
        return int(self.is_correct.sum())

    @property
    def n(self) -> int:
        """Number of episodes."""
        return len(self.picks)

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return self.correct / self.n

    @property
    def runs(self) -> Tensor | None:
        """`is_correct` by run, bool ``(runs, way)``; None if the list has not two or more runs."""
        if self.n < 2 * self.task.way or not has_runs(self.task.episodes):
            return None
        return self.is_correct.unflatten(0, (-1, self.task.way))

    def score(self, split: str) -> Score:
        """The accuracy as a score of ``split``."""
        task = self.task
        return Score.from_counts(
            task.key, split, task.title, task.protocol, self.correct, self.n,
            task.episodes.digest, self.runs, way=task.way, shot=task.shot, kind=task.kind,
            series=task.series, comparable_with=task.comparable_with,
        )  # fmt: skip


@dataclass(frozen=True)
class EvalResults:
    """Results on all lists of one split."""

    verification: VerificationResults
    results: tuple[EpisodeResults, ...]

    def scores(self, split: str) -> list[Score]:
        """Scores of the one-shot lists, then of verification."""
        return [*(one.score(split) for one in self.results), self.verification.score(split)]


def evaluate_tasks(
    eval_tasks: EvalTasks,
    embeddings: Embeddings,
    scorer: PairScorer,
    threshold: float | None = None,
) -> EvalResults:
    """Evaluate the embeddings of all ``eval_tasks.indices`` on pairs and episodes.

    ``threshold`` is that of verification; None chooses the best one for these pairs, which is for
    validation only.
    """
    tasks = eval_tasks.episode_tasks
    episodes = [task.episodes for task in tasks]
    logits, *scores = score_lists(embeddings, [eval_tasks.pairs, *episodes], scorer)
    return EvalResults(
        verify_pairs(eval_tasks, logits, threshold), tuple(map(answer, tasks, scores))
    )


def verify_pairs(
    eval_tasks: EvalTasks, logits: Tensor, threshold: float | None
) -> VerificationResults:
    """Results on the pairs of ``eval_tasks``, of which ``logits`` are the scores ``(n,)``.

    ``threshold`` is as of `evaluate_tasks`.
    """
    pairs = eval_tasks.pairs
    logits = logits.double()  # as the threshold: half-way between two float32 is no float32
    if threshold is None:
        threshold = best_threshold(logits, pairs.same)
    correct = int(((logits > threshold) == (pairs.same > 0.5)).sum())
    false_rates, true_rates = roc(logits, pairs.same)
    auroc = float(torch.trapezoid(true_rates, false_rates))
    equal = int((false_rates + true_rates - 1).abs().argmin())
    eer = float(false_rates[equal] + 1 - true_rates[equal]) / 2
    return VerificationResults(eval_tasks, correct, auroc, threshold, eer, logits.float())


def answer(task: EpisodeTask, scores: Tensor) -> EpisodeResults:
    """Predict every episode of a list by scores ``(episodes, way)``; ties are broken at random."""
    return EpisodeResults(task, scores, choose(scores, torch.Generator().manual_seed(0)))


def middle_episode(results: EpisodeResults, correct: bool) -> int:
    """The middle one of the correct or wrong episodes; of all, if there is none."""
    matching = (results.is_correct == correct).nonzero().flatten()
    return int(matching[len(matching) // 2]) if len(matching) else results.n // 2


@torch.no_grad()
def attention_of(
    network: PairScorer, embeddings: Embeddings, results: EpisodeResults, index: int
) -> Tensor | None:
    """Where the query of an episode looks in each support, ``(way, s², s²)``, on the CPU.

    Of several images of a class it is the first. None without cross-attention, and for ensembles.
    """
    attention = getattr(network, "attention", None)
    if attention is None:
        return None
    episodes = results.task.episodes
    query = embeddings[episodes.queries[index]]
    looks: Tensor | None = attention(query, embeddings[episodes.supports[index, :, 0]])
    return None if looks is None else looks.float().cpu()


def best_reject_threshold(results: EpisodeResults) -> float:
    """The threshold on the highest score that best separates known from unknown classes.

    Each episode counts twice, with the query's class in the support set and without it.
    """
    return best_threshold(*known_and_unknown(results.scores, results.task.episodes.answers))


def open_set_score(results: EpisodeResults, reject_threshold: float) -> Score:
    """The accuracy of rejecting queries whose class is not in the support set."""
    task = results.task
    highest, known = known_and_unknown(results.scores, task.episodes.answers)
    is_correct = (highest > reject_threshold) == (known > 0.5)
    runs = None if results.runs is None else is_correct.view(2, -1, task.way).transpose(0, 1)
    return Score.from_counts(
        "open_set", "test", f"open-set {task.way}-way: known or unknown class",
        "within-alphabet episodes with the query's class in the support set, and without it; "
        "threshold from validation",
        int(is_correct.sum()), len(is_correct), task.episodes.digest,
        None if runs is None else runs.flatten(1),
        way=task.way, shot=task.shot, kind="open_set",
    )  # fmt: skip


def alphabet_scores(results: EpisodeResults, dataset: CharacterDataset, split: str) -> list[Score]:
    """The accuracy in each alphabet of a within-alphabet list, best first."""
    alphabets = dataset.alphabets[results.task.episodes.queries]
    total = results.score(split)
    scores = []
    for index in alphabets.unique().tolist():
        of_alphabet = alphabets == index
        is_correct = results.is_correct[of_alphabet]
        runs = None  # a run's queries are of one alphabet
        if results.runs is not None and len(is_correct) >= 2 * results.task.way:
            runs = is_correct.unflatten(0, (-1, results.task.way))
        name = dataset.alphabet_names[index]
        scores.append(
            Score.from_counts(
                f"{total.key}/{name}", split, name, total.protocol, int(is_correct.sum()),
                len(is_correct), total.digest, runs, way=total.way, shot=total.shot, alphabet=name,
            )
        )  # fmt: skip
    return sorted(scores, key=lambda score: -score.value)


@dataclass(frozen=True)
class Confusion:
    """Two classes confused with each other, the lower index first."""

    first: int
    second: int
    times: int  # episodes where one was predicted for the other
    n: int  # episodes containing both: one as the query's class, both in the support set


def confusions(results: EpisodeResults, classes: Tensor) -> list[Confusion]:
    """All pairs of confused classes; their ``times`` are all mistakes.

    First is the pair whose share, ``times / n``, is surely high: by the lower bound of its 95%
    interval. ``classes``, int64, holds the class index of each image.
    """
    episodes = results.task.episodes
    truth = classes[episodes.queries]
    support = classes[episodes.supports[:, :, 0]]  # (episodes, way)
    predicted = support[torch.arange(results.n), results.picks]
    wrong = ~results.is_correct
    number = int(classes.max()) + 1

    def pairs_of(one: Tensor, other: Tensor) -> Tensor:
        return torch.minimum(one, other) * number + torch.maximum(one, other)

    pairs, times = pairs_of(truth[wrong], predicted[wrong]).unique(return_counts=True)
    both = pairs_of(truth[:, None], support)
    _, n = both[torch.isin(both, pairs)].unique(return_counts=True)  # of the same pairs
    rows = torch.stack([pairs // number, pairs % number, times, n], 1)
    found = [Confusion(*row) for row in rows.tolist()]
    return sorted(found, key=lambda c: (-wilson(c.times, c.n)[0], c.n, c.first, c.second))


def has_runs(episodes: Episodes) -> bool:
    """Whether each ``way`` episodes share one support set and ask for each of its classes once."""
    way = episodes.way
    if len(episodes) % way:
        return False
    supports = episodes.supports.unflatten(0, (-1, way))
    answers = episodes.answers.unflatten(0, (-1, way)).sort(1).values
    return bool((supports == supports[:, :1]).all() and (answers == torch.arange(way)).all())


def assigned(results: EpisodeResults) -> EpisodeResults | None:
    """One-to-one assignment: the predictions of a run's episodes are made jointly.

    This is another task than one-shot classification: each class is predicted once per run, by
    the assignment with the highest sum of scores (NaN is the lowest score). Its accuracy is never
    comparable with published one-shot accuracies. None if the list does not consist of runs.
    """
    from scipy.optimize import linear_sum_assignment

    task = results.task
    if not has_runs(task.episodes):
        return None
    picks = torch.empty_like(results.picks)
    finite = results.scores.double().nan_to_num(nan=-1e30, posinf=1e30, neginf=-1e30)
    for run in torch.arange(results.n).split(task.way):
        # Shuffled, so that ties do not favor the order of the list.
        shuffled = torch.randperm(task.way, generator=torch.Generator().manual_seed(int(run[0])))
        rows, columns = linear_sum_assignment(finite[run][:, shuffled].numpy(), maximize=True)
        picks[run[torch.as_tensor(rows)]] = shuffled[torch.as_tensor(columns)]
    joint = replace(
        task,
        key=f"assigned_{task.key}",
        title=f"{task.title}, one-to-one assignment",
        protocol=f"NOT one-shot classification: the {task.way} episodes of a run are predicted "
        f"jointly, each class once (Hungarian algorithm); {task.protocol}",
        kind="assignment",
        comparable_with=None,
    )
    return EpisodeResults(joint, results.scores, picks)


def paired_tests(
    results: Sequence[tuple[str, Mapping[str, EpisodeResults]]], keys: Sequence[str]
) -> list[PairedTest]:
    """The first model against each other model, on every list of ``keys`` that both answered.

    ``results`` has the name and the results by key of each model. A slow model answers only the
    first episodes of a list; the test is then on these.
    """
    (first_name, first), *others = results
    tests = []
    for second_name, second in others:
        for key in keys:
            if key not in first or key not in second:
                continue
            n = min(first[key].n, second[key].n)
            a, b = first[key].task.episodes, second[key].task.episodes
            if a.queries[:n].equal(b.queries[:n]) and a.supports[:n].equal(b.supports[:n]):
                answers = [one[key].is_correct[:n] for one in (first, second)]
                if first[key].runs is not None and n >= 2 * a.way:
                    n -= n % a.way
                    answers = [one[:n].unflatten(0, (-1, a.way)) for one in answers]
                tests.append(PairedTest(first_name, second_name, key, n, *paired_test(*answers)))
    return tests
