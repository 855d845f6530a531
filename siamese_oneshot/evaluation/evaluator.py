"""One model sits every evaluation tasks: each image embedded once, then all lists answered from that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.tasks import EvalTasks, first_episodes, indices_of
from siamese_oneshot.evaluation.assignment import assigned
from siamese_oneshot.evaluation.embedding import ComputeConfig, embed
from siamese_oneshot.evaluation.metrics import known_and_unknown
from siamese_oneshot.evaluation.models import EvaluatedModel
from siamese_oneshot.evaluation.results import (
    EpisodeResults,
    EvalResults,
    answer,
    best_reject_threshold,
    evaluate_tasks,
)
from siamese_oneshot.evaluation.scores import Score, alphabet_scores, scores_of
from siamese_oneshot.evaluation.scoring import Embeddings, check_finite_scores
from siamese_oneshot.evaluation.task_provider import TaskProvider


@dataclass(frozen=True)
class Outcome:
    """What came out for one model.

    Attributes:
        model: who.
        split: the rule of the lists.
        images: the images that indices speak of, in the model's size.
        validation, test: the findings.
        answered: every one-shot list of the test by its key, the digits' among them.
        scores: all figures, in the order of the tables.
        alphabets: of the within-alphabet's episodes, an alphabet each.
        embeddings: of all images that were asked about, for the embedding map; None where it is
            not looked at closely.
        reject_threshold: what tells an unknown class, chosen on validation.
        images, comparisons: how many were embedded, and how many scores that made.
        seconds: that it took.
    """

    model: EvaluatedModel
    split: str
    dataset: CharacterDataset
    validation: EvalResults
    test: EvalResults
    results: dict[str, EpisodeResults]
    scores: list[Score]
    alphabets: list[Score]
    embeddings: Embeddings | None
    reject_threshold: float
    images: int
    comparisons: int
    seconds: float

    @property
    def confused_lists(self) -> tuple[EpisodeResults, EpisodeResults]:
        """The lists whose mistakes are looked at class by class: validation and the within-alphabet."""
        return self.validation.results[0], self.results["within_alphabet"]


def primary(outcomes: Sequence[Outcome]) -> Outcome:
    """The one that is looked at closely: the first network, or the first where there is none."""
    return next((one for one in outcomes if one.model.trained is not None), outcomes[0])


def without_embeddings(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """All of them, only the one that is looked at closely with its embeddings: they are large."""
    close = primary(outcomes)
    return [one if one is close else replace(one, embeddings=None) for one in outcomes]


@torch.no_grad()
def evaluate_model(
    model: EvaluatedModel, task_provider: TaskProvider, machine: ComputeConfig
) -> Outcome:
    """Put every evaluation tasks to a model.

    Args:
        model: who.
        desk: the images and lists.
        machine: where and how to embed.

    Returns:
        Findings and figures; thresholds come from validation.

    Raises:
        UserError: a network whose scores are no numbers.
    """
    began = time.monotonic()
    scorer = model.scorer
    if isinstance(scorer, nn.Module):
        scorer.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sheet = task_provider.sheet(model)
    eval_tasks = [_shortened(eval_tasks, model) for eval_tasks in (sheet.validation, sheet.test)]
    indices = torch.unique(torch.cat([eval_tasks.indices for eval_tasks in eval_tasks]))
    embeddings = embed(scorer, sheet.dataset, indices, machine, model.name)
    validation = evaluate_tasks(eval_tasks[0], embeddings, scorer.score)
    if model.trained is not None:
        check_finite_scores(validation.results[0].scores, model.name)
    test = evaluate_tasks(
        eval_tasks[1], embeddings, scorer.score, validation.verification.threshold
    )
    results = {one.task.key: one for one in test.results}
    images = len(indices)
    if task_provider.mnist is not None:
        task = first_episodes(task_provider.mnist_task, model.most_episodes)
        asked = indices_of([task])
        mnist = task_provider.mnist_of(model.size)
        table = embed(scorer, mnist, asked, machine, f"{model.name}, digits")
        results["mnist"] = answer(task, table, scorer.score)
        images += len(asked)
    reject_threshold = best_reject_threshold(validation.results[0])
    scores = [
        *scores_of(validation, "validation"),
        *scores_of(test, "test"),
        _verdicts(results["within_alphabet"], reject_threshold),
        *([Score.of(results["mnist"], "test")] if "mnist" in results else []),
    ]
    scores += [
        _assigned(results[key]) for key in ("lake_runs", "within_alphabet") if key in results
    ]
    lists = [*validation.results, *results.values()]
    return Outcome(
        model=model,
        split=sheet.split.name,
        dataset=sheet.dataset,
        validation=validation,
        test=test,
        results=results,
        scores=scores,
        alphabets=alphabet_scores(results["within_alphabet"], sheet.dataset, "test"),
        embeddings=embeddings,
        reject_threshold=reject_threshold,
        images=images,
        comparisons=sum(one.task.episodes.supports.numel() for one in lists)
        + sum(len(eval_tasks.pairs) for eval_tasks in eval_tasks),
        seconds=time.monotonic() - began,
    )


def _shortened(eval_tasks: EvalTasks, model: EvaluatedModel) -> EvalTasks:
    """What a slow model is asked of an evaluation tasks."""
    most = model.most_episodes
    episode_tasks = [one for one in eval_tasks.episode_tasks if one.series not in model.skips]
    pairs = eval_tasks.pairs
    if most is not None:
        cut = {name: getattr(pairs, name)[:most] for name in ("first", "second", "same")}
        pairs = replace(pairs, **cut)
    tasks = tuple(first_episodes(one, most) for one in episode_tasks)
    return replace(eval_tasks, pairs=pairs, episode_tasks=tasks)


def _assigned(results: EpisodeResults) -> Score:
    """The same list by another task: the episodes of a run are answered together."""
    asked, found = results.task, assigned(results)
    assert found is not None, "both lists are made of runs"
    return Score.from_counts(
        f"assigned_{asked.key}",
        "test",
        f"{asked.title}, one-to-one assignment",
        f"NOT one-shot classification: the {asked.episodes.way} episodes of a run are answered "
        f"together, each class given once (Hungarian algorithm); {asked.protocol}",
        found.correct,
        found.n,
        asked.episodes.digest,
        way=asked.episodes.way,
        shot=asked.episodes.shot,
        kind="assignment",
    )


def _verdicts(results: EpisodeResults, reject_threshold: float) -> Score:
    """The accuracy of rejecting queries whose class is not among the support."""
    episodes = results.task.episodes
    highest, known = known_and_unknown(results.scores, episodes.answers)
    right = (highest > reject_threshold) == (known > 0.5)
    return Score.from_counts(
        "open_set",
        "test",
        f"open-set {episodes.way}-way, known or unknown class",
        "the within-alphabet episodes with the query's class in the support and without it; "
        "threshold from validation",
        int(right.sum()),
        len(right),
        episodes.digest,
        way=episodes.way,
        shot=episodes.shot,
        kind="open_set",
    )
