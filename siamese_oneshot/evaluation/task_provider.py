"""The images and lists that all models share: loaded once, resized once, drawn once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.mnist import enlarged
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.data.splits import Split, split_dataset
from siamese_oneshot.data.tasks import (
    EpisodeTask,
    EvalConfig,
    EvalTasks,
    ProtocolConfig,
    mnist_task,
    tasks_of,
)
from siamese_oneshot.evaluation.models import EvaluatedModel
from siamese_oneshot.utils.errors import UserError


@dataclass(frozen=True)
class ModelTasks:
    """What one model is asked.

    Attributes:
        split: who trained it, validates and tests.
        validation, test: the exams on ``dataset``.
        images: of the model's size.
    """

    split: Split
    validation: EvalTasks
    test: EvalTasks
    dataset: CharacterDataset


@dataclass
class TaskProvider:
    """Hands out sheets.

    Attributes:
        loaded: the images in full size, and the official runs.
        digits: MNIST in its own size; None to go without.
        rule: the split of models that do not know theirs.
        forced: the split of all models, whatever they were trained with; None to let them choose.
        size, more: how long the lists are.
        held_out: the alphabets that validate for models that do not know theirs.
    """

    loaded: LoadedData
    mnist: CharacterDataset | None
    rule: str
    forced: str | None
    size: EvalConfig
    more: ProtocolConfig
    val_alphabets: tuple[str, ...] | None = None
    _eval_tasks: dict[tuple[str, tuple[str, ...] | None], tuple[Split, EvalTasks, EvalTasks]] = (
        field(default_factory=dict)
    )
    _dataset: dict[int, CharacterDataset] = field(default_factory=dict)
    _mnist: dict[int, CharacterDataset] = field(default_factory=dict)

    def sheet(self, model: EvaluatedModel) -> ModelTasks:
        """What a model is asked, by the split it was trained with unless another one is forced.

        Raises:
            UserError: the forced split tests characters that the model has learned from, or
                these are not the images that it was trained with, so that nobody can tell.
        """
        metadata = model.metadata
        own = None
        if metadata.get("data_source") == self.loaded.dataset.source:
            self._refuse_changed(model)
            own = metadata.get("split")
        val_alphabets = tuple(metadata["val_alphabets"]) if metadata.get("val_alphabets") else None
        rule = self.forced or own or self.rule
        split, validation, test = self._drawn(
            rule, val_alphabets if rule == own else self.val_alphabets
        )
        if own is not None and rule != own:
            self._refuse_known(model, self._divided(own, val_alphabets), split)
        if model.size not in self._dataset:
            self._dataset[model.size] = self.loaded.dataset.resized(model.size)
        return ModelTasks(split, validation, test, self._dataset[model.size])

    def _drawn(
        self, rule: str, val_alphabets: tuple[str, ...] | None
    ) -> tuple[Split, EvalTasks, EvalTasks]:
        """A split with its lists, drawn once."""
        key = rule, val_alphabets
        if key not in self._eval_tasks:
            split = self._divided(rule, val_alphabets)
            dataset, runs = self.loaded.dataset, self.loaded.runs
            self._eval_tasks[key] = (split, *tasks_of(dataset, split, runs, self.size, self.more))
        return self._eval_tasks[key]

    def _divided(self, rule: str, val_alphabets: tuple[str, ...] | None) -> Split:
        return split_dataset(self.loaded.dataset, rule, val_alphabets)

    def _refuse_changed(self, model: EvaluatedModel) -> None:
        """Stop where a split, rebuilt on other images of the same kind, would be another one."""
        source, digest = self.loaded.dataset.source, model.metadata.get("data_digest")
        if source != "omniglot" and digest and digest != self.loaded.digest:
            raise UserError(
                f"{model.name} was trained with data={source}, but with other images than "
                f"these (digest {digest}, not {self.loaded.digest}), so characters that it has "
                "learned could be tested: give it those that it was trained with (the data "
                "settings in its folder's .hydra/config.yaml), or data=omniglot"
            )

    def _refuse_known(self, model: EvaluatedModel, own: Split, asked: Split) -> None:
        """Stop where a character to be tested was trained on or chosen by."""
        dataset = self.loaded.dataset
        learned = dataset.classes[torch.cat([own.train, own.validation])].unique()
        tested = dataset.classes[asked.test_all_drawers].unique()
        both = tested[torch.isin(tested, learned)]
        if len(both):
            alphabets = dataset.class_alphabets[both].unique().tolist()
            names = ", ".join(dataset.alphabet_names[one] for one in alphabets)
            raise UserError(
                f"{model.name} was trained or chosen with split={own.name} on {names}, which "
                f"split={asked.name} tests: leave split out, or choose another one"
            )

    def mnist_of(self, size: int) -> CharacterDataset:
        """The digits as images of a size."""
        assert self.mnist is not None
        if size not in self._mnist:
            self._mnist[size] = enlarged(self.mnist, size)
        return self._mnist[size]

    @cached_property
    def mnist_task(self) -> EpisodeTask:
        """The episodes among the digits."""
        assert self.mnist is not None
        return mnist_task(self.mnist, self.size, self.more)
