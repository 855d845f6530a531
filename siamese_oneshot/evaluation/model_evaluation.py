"""One model on all lists: every image is embedded once, and all lists are answered from that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.splits import TEST_ONLY, Split, split_dataset
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
    PairScorer,
    check_finite_scores,
    embed,
    score_lists,
)
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
from siamese_oneshot.evaluation.metrics import best_temperature
from siamese_oneshot.evaluation.published import ComparedModel
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.models.trained import TrainedModel, n_parameters
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import bare_key

_ASSIGNED = ("lake_runs", "within_alphabet")  # lists that are also answered jointly, run by run
_DATA = ("split", "val_alphabets", "n_extra_synthetic", "data_source", "data_digest")


@dataclass(frozen=True)
class EvaluatedModel:
    """A network or a baseline."""

    name: str
    scorer: PairScorer
    size: int  # side length of its input images in pixels
    trained: TrainedModel | None = None  # None for a baseline; of an ensemble, the first network
    max_episodes: int | None = None  # evaluate only the first so many episodes of a list
    skip_series: tuple[str, ...] = ()  # series of lists that are left out
    n_networks: int = 1  # of an ensemble
    finished: bool = True  # whether training finished, as far as is known
    tta_changed: bool = False  # whether test-time augmentation was set for this evaluation

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of the training; empty for a baseline."""
        return {} if self.trained is None else self.trained.metadata

    @property
    def trained_on(self) -> str:
        """The training data in words."""
        if self.trained is None:
            return "nothing"
        return self.metadata.get("trained_on") or f"unknown ({self.metadata.get('data_source')})"

    @property
    def parameters(self) -> int:
        """Number of learned parameters of all networks."""
        module = self.scorer if self.n_networks > 1 else self.trained and self.trained.network
        return n_parameters(module) if isinstance(module, nn.Module) else 0

    @property
    def setting(self) -> tuple[str, str] | None:
        """What networks share that differ in their seed alone: its name, and all of it as JSON.

        None for baselines, ensembles and networks of an unknown experiment.
        """
        metadata = self.metadata
        if self.trained is None or self.n_networks > 1 or not metadata.get("experiment"):
            return None
        overrides = metadata.get("overrides")  # None if unknown
        overrides = None if overrides is None else sorted(overrides)
        changes = [one for one in overrides or () if bare_key(one) != "experiment"]
        network = {key: value for key, value in self.trained.description.items() if key != "seed"}
        data = [metadata.get(key) for key in _DATA]
        shared = [metadata["experiment"], overrides, data, network]
        name = " ".join([metadata["experiment"], *changes])
        return name, json.dumps(shared, sort_keys=True, default=str)


class ModelTasks(NamedTuple):
    """The split and the lists of one model, and the images in its size."""

    split: Split
    validation: EvalTasks
    test: EvalTasks
    dataset: CharacterDataset
    warning: str | None  # that the model learned from validation alphabets


@dataclass
class TaskProvider:
    """The images and lists that all models share, each made once."""

    loaded: LoadedData  # the images in full size, and Lake's runs
    mnist: CharacterDataset | None  # in its own size; None to leave it out
    split: str  # of models whose training split is unknown
    forced_split: str | None  # of all models; None to use each model's training split
    config: EvalConfig
    protocols: ProtocolConfig
    val_alphabets: tuple[str, ...] | None = None  # of models whose training split is unknown
    _made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def tasks(self, model: EvaluatedModel) -> ModelTasks:
        """The lists of a model.

        Raises:
            UserError: If the forced split tests classes that the model was trained or selected on,
                or the images are not those of the training, so that this cannot be checked.
        """
        dataset = self.loaded.dataset
        own = splits_learned(model.name, model.metadata, dataset.source, dataset.digest)
        rule = self.forced_split or (own[0][0] if own else self.split)
        key = own[0] if own and rule == own[0][0] else (rule, self.val_alphabets)
        split, *learned = (
            self._once(("split", *one), partial(split_dataset, dataset, *one))
            for one in (key, *own)
        )
        strokes_of = strokes_learned(model.metadata, dataset.source)
        remedy = "leave split out, or choose another one"
        seen = check_not_tested(model.name, dataset, learned, strokes_of, split, remedy)
        warning = None
        if seen:
            warning = (
                f"{model.name} learned from {', '.join(seen)}: its validation scores, thresholds "
                "and temperature are not of unseen alphabets"
            )
            numbers = dataset.alphabets[split.validation].unique().tolist()
            unseen = sorted({dataset.alphabet_names[k] for k in numbers}.difference(seen))
            if unseen and not own:  # so that the option below has an effect
                warning += f" (data.val_alphabets=[{','.join(unseen)}] leaves them out)"
        validation, test = self._once(
            ("tasks", *key),
            lambda: tasks_of(dataset, split, self.loaded.runs, self.config, self.protocols),
        )
        images = self._once(("images", model.size), lambda: dataset.resized(model.size))
        if self.protocols.rotated_few_shot_episodes:
            rotated = partial(images.with_rotations, split.test_all_drawers)
            images = self._once(("rotated", model.size, *key), rotated)
        return ModelTasks(split, validation, test, images, warning)

    def mnist_of(self, size: int) -> tuple[CharacterDataset, EpisodeTask]:
        """MNIST enlarged to a size, and its episodes."""
        mnist = self.mnist
        assert mnist is not None
        images = self._once(
            ("mnist", size), lambda: mnist.resized(size, bilinear=True, batch_size=4096)
        )
        task = self._once(("mnist",), lambda: mnist_task(mnist, self.config, self.protocols))
        return images, task

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def splits_learned(
    name: str, metadata: Mapping[str, Any] | None, source: str, digest: str | None
) -> list[tuple[str, tuple[str, ...] | None]]:
    """Split and validation alphabets of a training, and of those that it continued or distilled.

    Args:
        name: Of the network, for the error.
        metadata: Of its training.
        source: Of the images; trainings on other ones are left out.
        digest: Of the images.

    Raises:
        UserError: A training had other images of this source: its split would be another one.
    """
    own = []
    for one in _trainings(metadata):
        if one.get("data_source") == source and one.get("split"):
            known = one.get("data_digest")
            if source != "omniglot" and known and known != digest:
                raise UserError(
                    f"{name} was trained on other {source} images than these (digest {known}, not "
                    f"{digest}), so its training classes could be tested: use the data settings in "
                    "its folder's .hydra/config.yaml, or Omniglot"
                )
            own.append((one["split"], tuple(one.get("val_alphabets") or ()) or None))
    return own


def strokes_learned(metadata: Mapping[str, Any] | None, source: str) -> list[str]:
    """The alphabets whose strokes made generated ones, likewise; none if these are other images."""
    if source != "omniglot":
        return []
    every = (one.get("stroke_alphabets") or () for one in _trainings(metadata))
    return sorted({name for names in every for name in names})


def _trainings(metadata: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Metadata of a training, and of those that it continued or distilled."""
    found = [metadata]
    for one in found:  # which grows
        found += [one.get("init_from"), *one.get("teachers", ())] if one else []
    return [one for one in found if one]


def check_not_tested(
    name: str,
    dataset: CharacterDataset,
    learned: Sequence[Split],
    strokes_of: Sequence[str],
    tested: Split,
    remedy: str,
) -> list[str]:
    """Refuse a split that tests a class that a network learned from, or was selected by.

    Args:
        name: Of the network.
        dataset: All images.
        learned: The splits of its trainings.
        strokes_of: Alphabets whose strokes it learned from.
        tested: The split.
        remedy: What to do about a refusal.

    Returns:
        The alphabets that validate under ``tested``, though the network learned from them.

    Raises:
        UserError: With the alphabets.
    """
    classes = dataset.classes

    def both(own: Tensor, other: Tensor) -> list[str]:
        """The alphabets of the classes that two lists of images share."""
        shared = classes[other].unique()
        found = dataset.class_alphabets[shared[torch.isin(shared, classes[own])]].unique()
        return [dataset.alphabet_names[index] for index in found.tolist()]

    of_strokes = dataset.indices(strokes_of)
    for images, how in (
        *(
            (torch.cat([one.train, one.validation]), f"or selected with split={one.name} on")
            for one in learned
        ),
        (of_strokes, "on strokes of"),
    ):
        if names := both(images, tested.test_all_drawers):
            raise UserError(
                f"{name} was trained {how} {', '.join(names)}, which split={tested.name} tests: "
                f"{remedy}"
            )
    return both(torch.cat([of_strokes, *(own.train for own in learned)]), tested.validation)


@dataclass(frozen=True)
class ModelResults:
    """The results of one model."""

    model: EvaluatedModel
    split: str  # rule of the split
    dataset: CharacterDataset  # in the model's size; the indices refer to it
    validation: EvalResults
    test: EvalResults
    results: dict[str, EpisodeResults]  # of the test split by key, MNIST included
    scores: list[Score]  # in the order of the tables
    alphabets: list[Score]  # within-alphabet accuracy by alphabet
    embeddings: Embeddings | None  # of all evaluated images; None where no map is drawn
    reject_threshold: float  # on the highest score, for unknown classes; from validation
    temperature: float  # of the softmax over classes; from validation
    images: int  # embedded
    comparisons: int  # scores
    seconds: float
    summary: dict[str, float] = field(default_factory=dict)  # summary metrics by name
    warning: str | None = None  # on what thresholds were chosen, if not on unseen alphabets

    @property
    def confused_lists(self) -> tuple[EpisodeResults, EpisodeResults]:
        """The lists whose confusions are reported: validation and within-alphabet."""
        return self.validation.results[0], self.results["within_alphabet"]

    @property
    def compared(self) -> ComparedModel:
        """What stands in a comparison with published accuracies."""
        return self.model.name, self.model.trained_on, self.scores

    def score(self, split: str, key: str) -> Score | None:
        """A score by split and key; None if it was not measured."""
        return next((one for one in self.scores if (one.split, one.key) == (split, key)), None)

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

    Under ``test_only`` they are the network's own; those of models that have none (baselines,
    ensembles, networks whose test-time augmentation was changed) are fitted on other pairs and
    episodes of the same images.

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
    validation = evaluate_tasks(limited[0], embeddings, scorer)
    if model.trained is not None:
        check_finite_scores(validation.results[0].scores, model.name)
    first = validation.results[0]
    threshold = validation.verification.threshold
    reject_threshold = best_reject_threshold(first)
    temperature = best_temperature(first.scores, first.task.episodes.answers)
    unseen, warning = tasks.split.name == TEST_ONLY, tasks.warning
    if unseen and (own := model.trained) is not None:  # its validation images are those of test
        threshold = threshold if own.threshold is None else own.threshold
        temperature = own.temperature or temperature
        if own.reject_threshold is not None:
            reject_threshold = own.reject_threshold
        if own.threshold is None:
            warning = (
                f"{model.name} has no thresholds and temperature of its own: they were chosen on "
                "other pairs and episodes of the images that are tested"
            )
    test = evaluate_tasks(limited[1], embeddings, scorer, threshold)
    results = {one.task.key: one for one in test.results}
    images = len(indices)
    if task_provider.mnist is not None:
        mnist, task = task_provider.mnist_of(model.size)
        task = first_episodes(task, model.max_episodes)
        digits = indices_of([task])
        table = embed(scorer, mnist, digits, compute, f"{model.name}, MNIST")
        results["mnist"] = answer(task, *score_lists(table, [task.episodes], scorer))
        images += len(digits)
    extra = [results["mnist"]] if "mnist" in results else []
    extra += [one for key in _ASSIGNED if key in results and (one := assigned(results[key]))]
    model_results = ModelResults(
        model=model,
        split=tasks.split.name,
        dataset=tasks.dataset,
        validation=validation,
        test=test,
        results=results,
        scores=[
            *([] if unseen else validation.scores("validation")),
            *test.scores("test"),
            open_set_score(results["within_alphabet"], reject_threshold),
            *(one.score("test") for one in extra),
        ],
        alphabets=alphabet_scores(results["within_alphabet"], tasks.dataset, "test"),
        embeddings=embeddings,
        reject_threshold=reject_threshold,
        temperature=temperature,
        images=images,
        comparisons=sum(len(eval_tasks.pairs) for eval_tasks in limited)
        + sum(
            one.task.episodes.supports.numel() for one in (*validation.results, *results.values())
        ),
        seconds=time.monotonic() - began,
        warning=warning,
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
