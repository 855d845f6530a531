"""One model on all lists: every image is embedded once, and all lists are answered from that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.splits import Split, split_dataset
from siamese_oneshot.data.tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    ProtocolConfig,
    first_episodes,
    indices_of,
    mnist_task,
    tasks_of,
)
from siamese_oneshot.evaluation.embeddings import (
    ComputeConfig,
    Embeddings,
    check_finite_scores,
    embed,
)
from siamese_oneshot.evaluation.evaluated_model import EvaluatedModel
from siamese_oneshot.evaluation.evaluator import (
    EpisodeResults,
    EvalResults,
    alphabet_scores,
    answer,
    assigned,
    best_reject_threshold,
    evaluate_tasks,
    open_set_score,
)
from siamese_oneshot.evaluation.published import ComparedModel
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils.errors import UserError

_ASSIGNED = ("lake_runs", "within_alphabet")  # lists that are also answered jointly, run by run


@dataclass(frozen=True)
class ModelTasks:
    """The split and the lists of one model, and the images in its size."""

    split: Split
    validation: EvalTasks
    test: EvalTasks
    dataset: CharacterDataset


@dataclass
class TaskProvider:
    """The images and lists that all models share, each made once.

    Attributes:
        loaded: The images in full size, and Lake's runs.
        mnist: MNIST in its own size; None to leave it out.
        split: Split of models whose training split is unknown.
        forced_split: Split of all models; None to use each model's training split.
        config, protocols: Sizes of the lists.
        val_alphabets: Validation alphabets of models whose training split is unknown.
    """

    loaded: LoadedData
    mnist: CharacterDataset | None
    split: str
    forced_split: str | None
    config: EvalConfig
    protocols: ProtocolConfig
    val_alphabets: tuple[str, ...] | None = None
    _tasks: dict[tuple[str, tuple[str, ...] | None], tuple[Split, EvalTasks, EvalTasks]] = field(
        default_factory=dict
    )
    _dataset: dict[int, CharacterDataset] = field(default_factory=dict)
    _mnist: dict[int, CharacterDataset] = field(default_factory=dict)

    def tasks(self, model: EvaluatedModel) -> ModelTasks:
        """The lists of a model.

        Raises:
            UserError: If the forced split tests classes that the model was trained or selected on,
                or the images are not those of the training, so that this cannot be checked.
        """
        metadata = model.metadata
        own = None
        if metadata.get("data_source") == self.loaded.dataset.source:
            self._check_same_images(model)
            own = metadata.get("split")
        val_alphabets = tuple(metadata["val_alphabets"]) if metadata.get("val_alphabets") else None
        rule = self.forced_split or own or self.split
        key = rule, val_alphabets if rule == own else self.val_alphabets
        if key not in self._tasks:
            split = split_dataset(self.loaded.dataset, *key)
            self._tasks[key] = (
                split,
                *tasks_of(
                    self.loaded.dataset, split, self.loaded.runs, self.config, self.protocols
                ),
            )
        split, validation, test = self._tasks[key]
        if own is not None and rule != own:
            trained = split_dataset(self.loaded.dataset, own, val_alphabets)
            self._check_not_trained_on(model, trained, split)
        if model.size not in self._dataset:
            self._dataset[model.size] = self.loaded.dataset.resized(model.size)
        return ModelTasks(split, validation, test, self._dataset[model.size])

    def mnist_of(self, size: int) -> CharacterDataset:
        """MNIST enlarged to a size."""
        assert self.mnist is not None
        if size not in self._mnist:
            self._mnist[size] = self.mnist.resized(size, bilinear=True, batch_size=4096)
        return self._mnist[size]

    @cached_property
    def mnist_task(self) -> EpisodeTask:
        """The episodes of MNIST."""
        assert self.mnist is not None
        return mnist_task(self.mnist, self.config, self.protocols)

    def _check_same_images(self, model: EvaluatedModel) -> None:
        """Refuse other images of the same source: the split would be another one."""
        source, digest = self.loaded.dataset.source, model.metadata.get("data_digest")
        if source != "omniglot" and digest and digest != self.loaded.digest:
            raise UserError(
                f"{model.name} was trained on other {source} images than these (digest {digest}, "
                f"not {self.loaded.digest}), so its training classes could be tested: use the data "
                "settings in its folder's .hydra/config.yaml, or Omniglot"
            )

    def _check_not_trained_on(self, model: EvaluatedModel, own: Split, forced: Split) -> None:
        """Refuse a split that tests a training or validation class of the model."""
        dataset = self.loaded.dataset
        seen = dataset.classes[torch.cat([own.train, own.validation])].unique()
        tested = dataset.classes[forced.test_all_drawers].unique()
        both = tested[torch.isin(tested, seen)]
        if len(both):
            alphabets = dataset.class_alphabets[both].unique().tolist()
            names = ", ".join(dataset.alphabet_names[index] for index in alphabets)
            raise UserError(
                f"{model.name} was trained or selected with split={own.name} on {names}, which "
                f"split={forced.name} tests: leave split out, or choose another one"
            )


@dataclass(frozen=True)
class ModelResults:
    """The results of one model.

    Attributes:
        model: The model.
        split: Rule of the split.
        dataset: The images in the model's size, which the indices refer to.
        validation, test: Results on the lists.
        results: All one-shot results of the test split by key, MNIST included.
        scores: All scores, in the order of the tables.
        alphabets: Within-alphabet accuracy by alphabet.
        embeddings: Embeddings of all evaluated images; None where no embedding map is drawn.
        reject_threshold: Threshold on the highest score for unknown classes, from validation.
        images, comparisons: Number of embedded images and of scores.
        seconds: Time that it took.
        summary: Values of the summary metrics by name.
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
    summary: dict[str, float] = field(default_factory=dict)

    @property
    def confused_lists(self) -> tuple[EpisodeResults, EpisodeResults]:
        """The lists whose confusions are reported: validation and within-alphabet."""
        return self.validation.results[0], self.results["within_alphabet"]

    @property
    def compared(self) -> ComparedModel:
        """What stands in a comparison with published accuracies."""
        return ComparedModel(self.model.name, self.model.trained_on, self.scores)

    def curve(self, series: str) -> dict[int, Score]:
        """The scores of a series by their number of ways."""
        return {one.way: one for one in self.scores if one.series == series and one.way}


SummaryMetric = Callable[[ModelResults], float]


def primary(all_results: Sequence[ModelResults]) -> ModelResults:
    """The results that plots and confusions are of: the first network's, else the first."""
    return next((one for one in all_results if one.model.trained is not None), all_results[0])


@torch.no_grad()
def evaluate_model(
    model: EvaluatedModel,
    task_provider: TaskProvider,
    compute: ComputeConfig,
    summary_metrics: Mapping[str, SummaryMetric] | None = None,
) -> ModelResults:
    """Evaluate a model on all lists; thresholds come from validation.

    Args:
        model: The model.
        task_provider: The images and lists.
        compute: Device, precision and batch size.
        summary_metrics: Functions of the model's results, by name.

    Raises:
        UserError: If the scores of a network are not finite.
    """
    began = time.monotonic()
    scorer = model.scorer
    if isinstance(scorer, nn.Module):
        scorer.to(compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tasks = task_provider.tasks(model)
    limited = [_limited(eval_tasks, model) for eval_tasks in (tasks.validation, tasks.test)]
    indices = torch.unique(torch.cat([eval_tasks.indices for eval_tasks in limited]))
    embeddings = embed(scorer, tasks.dataset, indices, compute, model.name)
    validation = evaluate_tasks(limited[0], embeddings, scorer.score)
    if model.trained is not None:
        check_finite_scores(validation.results[0].scores, model.name)
    threshold = validation.verification.threshold
    test = evaluate_tasks(limited[1], embeddings, scorer.score, threshold)
    results = {one.task.key: one for one in test.results}
    images = len(indices)
    if task_provider.mnist is not None:
        task = first_episodes(task_provider.mnist_task, model.max_episodes)
        mnist, digits = task_provider.mnist_of(model.size), indices_of([task])
        table = embed(scorer, mnist, digits, compute, f"{model.name}, MNIST")
        results["mnist"] = answer(task, table, scorer.score)
        images += len(digits)
    reject_threshold = best_reject_threshold(validation.results[0])
    scores = [
        *validation.scores("validation"),
        *test.scores("test"),
        open_set_score(results["within_alphabet"], reject_threshold),
        *(results[key].score("test") for key in ("mnist",) if key in results),
    ]
    for key in _ASSIGNED:
        joint = assigned(results[key]) if key in results else None
        scores += [joint.score("test")] if joint is not None else []
    lists = [*validation.results, *results.values()]
    model_results = ModelResults(
        model=model,
        split=tasks.split.name,
        dataset=tasks.dataset,
        validation=validation,
        test=test,
        results=results,
        scores=scores,
        alphabets=alphabet_scores(results["within_alphabet"], tasks.dataset, "test"),
        embeddings=embeddings,
        reject_threshold=reject_threshold,
        images=images,
        comparisons=sum(one.task.episodes.supports.numel() for one in lists)
        + sum(len(eval_tasks.pairs) for eval_tasks in limited),
        seconds=time.monotonic() - began,
    )
    summary = {
        name: float(metric(model_results)) for name, metric in (summary_metrics or {}).items()
    }
    return replace(model_results, summary=summary)


def _limited(eval_tasks: EvalTasks, model: EvaluatedModel) -> EvalTasks:
    """The lists without those that the model skips, cut to its ``max_episodes``."""
    limit, pairs = model.max_episodes, eval_tasks.pairs
    kept = [task for task in eval_tasks.episode_tasks if task.series not in model.skip_series]
    if limit is not None:
        cut = {name: getattr(pairs, name)[:limit] for name in ("first", "second", "same")}
        pairs = replace(pairs, **cut)
    episode_tasks = tuple(first_episodes(task, limit) for task in kept)
    return replace(eval_tasks, pairs=pairs, episode_tasks=episode_tasks)
