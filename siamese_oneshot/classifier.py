"""Recognize images of your own from one or a few images of each class.

from siamese_oneshot import Classifier

classifier = Classifier.load("pretrained")
classifier.enrol("alef", ["alef1.png", "alef2.png"])
classifier.enrol("bet", "bet.jpg")
(ranking,) = classifier.rank("unknown.png")
print(ranking.best.name, ranking.best.probability, ranking.known)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder.decode import ImageError
from siamese_oneshot.data.image_folder.folder import class_name
from siamese_oneshot.data.image_folder.foreground import NormalizedImage
from siamese_oneshot.data.image_folder.image_input import ImageInput, Source, read_many
from siamese_oneshot.data.image_folder.support_query import judge, load_supports, told
from siamese_oneshot.evaluation.embeddings import ComputeConfig, check_finite_scores, embed
from siamese_oneshot.runs.checkpoint import TrainedModel, load_trained
from siamese_oneshot.utils.errors import UserError

log = logging.getLogger(__name__)

_ELEMENTS = 2**24  # numbers compared at once; bounds memory


@dataclass(frozen=True)
class ClassScore:
    """A class and how well an image fits it.

    Attributes:
        name: the class.
        probability: 0 … 1; the softmax over the scores of all enrolled classes, so it takes for
            granted that the image is of one of them.
        score: the network's logit of "same character", the mean over the class's images.
    """

    name: str
    probability: float
    score: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The enrolled classes by how well an image fits them.

    Attributes:
        path: the image's file; None where it was given in memory.
        classes: all enrolled classes, best first; equally good ones in a random order.
        known: whether the best score is above ``reject_threshold``; None where that is not known.
        given: the image.
    """

    path: Path | None
    classes: tuple[ClassScore, ...]
    known: bool | None
    given: ImageInput = field(repr=False)

    @property
    def best(self) -> ClassScore:
        """The class that fits best."""
        return self.classes[0]

    @property
    def image(self) -> NormalizedImage:
        """What was found in the image."""
        return self.given.normalized


class OneShotClassifier:
    """A trained network and the classes that it has been shown.

    Args:
        trained: the network.
        reject_threshold: the highest score at which an image is still of no enrolled class; the
            network's own where None.
    """

    def __init__(self, trained: TrainedModel, reject_threshold: float | None = None) -> None:
        self.trained = trained
        self.reject_threshold = (
            trained.reject_threshold if reject_threshold is None else reject_threshold
        )
        self._names: list[str] = []
        self._owners: list[int] = []  # the class of each support
        self._pending: list[ImageInput] = []  # supports that are not embedded yet: the last ones
        self._supports: list[Tensor] = []

    @classmethod
    def load(
        cls,
        where: str | Path = "pretrained",
        reject_threshold: float | None = None,
        trust: str | Collection[str] = (),
    ) -> OneShotClassifier:
        """With a network by name, run folder or file; see `load_trained`, also for errors."""
        return cls(load_trained(where, trust), reject_threshold)

    @property
    def classes(self) -> tuple[str, ...]:
        """The enrolled classes, in the order in which they came."""
        return tuple(self._names)

    def add_class(self, name: str, images: Source | Sequence[Source]) -> None:
        """Show images of a class; more of a class that is enrolled are added to it.

        Args:
            name: the class.
            images: one or more: paths, PIL images or arrays, see `read_given`.

        Raises:
            UserError: no name, no image, or images that cannot be used: then none is added.
        """
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"a class's name must be a text of some letters, got {name!r}")
        read = _usable(images)
        if not read:
            raise UserError(f"{name}: a class needs one image or more, none was given")
        name = class_name(name)
        if name not in self._names:
            self._names.append(name)
        self._owners += [self._names.index(name)] * len(read)
        self._pending += read

    def add_folder(self, root: str | Path, on_error: str = "skip") -> tuple[ImageError, ...]:
        """Show a folder of class folders, or of one image a class; see `load_supports`.

        Args:
            root: the folder.
            on_error: ``skip`` leaves out what cannot be used and warns; ``stop`` raises instead.

        Returns:
            What was left out, and why.

        Raises:
            UserError: no folder, nothing usable in it, or anything bad under ``stop``.
        """
        supports = load_supports(root)
        judge(supports.faults, on_error)
        if supports.faults:
            log.warning(
                "%s: %d left out\n%s", root, len(supports.faults), told(supports.faults).rstrip()
            )
        for name, given in supports.images:
            self.add_class(name or "", given)
        return supports.faults

    def rank(self, images: Source | Sequence[Source], seed: int = 0) -> list[Prediction]:
        """Rank the enrolled classes for each image.

        Args:
            images: one or more, as for `add_class`.
            seed: breaks ties.

        Returns:
            A ranking for each image, in their order.

        Raises:
            UserError: no class is enrolled, or an image cannot be used.
        """
        if not self._names:
            raise UserError("no class is enrolled yet: call enrol or enrol_folder first")
        read = _usable(images)
        if not read:
            return []
        scores = self._scores(self._embedded(read))
        check_finite_scores(scores, self.trained.name)
        probabilities = scores.double().softmax(1).tolist()
        return [
            Prediction(
                given.path,
                tuple(ClassScore(self._names[k], shares[k], values[k]) for k in order),
                None if self.reject_threshold is None else values[order[0]] > self.reject_threshold,
                given,
            )
            for given, shares, values, order in zip(
                read, probabilities, scores.tolist(), best_first(scores, seed), strict=True
            )
        ]

    def seen(self, images: Sequence[ImageInput]) -> CharacterDataset:
        """What the network sees of images: their images at its own size."""
        n = len(images)
        return CharacterDataset(
            pixels=torch.from_numpy(np.stack([one.normalized.ink for one in images])),
            classes=torch.zeros(n, dtype=torch.int64),
            drawers=torch.zeros(n, dtype=torch.int64),
            class_names=("own/own",),
            alphabet_names=("own",),
            class_alphabets=torch.zeros(1, dtype=torch.int64),
            source="folder",
        ).resized(self.trained.size)

    def _embedded(self, images: Sequence[ImageInput]) -> Tensor:
        """float32 ``(n, units)``."""
        trained, machine = self.trained, ComputeConfig("cpu", "32-true")
        every = torch.arange(len(images))
        return embed(trained.network, self.seen(images), every, machine, trained.name).vectors

    @torch.no_grad()
    def _scores(self, queries: Tensor) -> Tensor:
        """The mean score over each class's images: float32 ``(queries, classes)``."""
        if self._pending:
            self._supports.append(self._embedded(self._pending))
            self._pending = []
        supports = torch.cat(self._supports)
        owners = torch.tensor(self._owners)
        step = max(1, _ELEMENTS // supports.numel())
        each = torch.cat(
            [self.trained.network.score(part[:, None], supports) for part in queries.split(step)]
        )
        sums = torch.zeros(len(queries), len(self._names)).index_add(1, owners, each)
        return sums / owners.bincount()


def best_first(scores: Tensor, seed: int) -> list[list[int]]:
    """The ways of each episode by score, ties in a random order; the first is what `choose` picks.

    Args:
        scores: finite, ``(episodes, way)``.
        seed: of the order of ties.
    """
    keys = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).numpy()
    order: list[list[int]] = np.lexsort((-keys, -scores.numpy()), axis=1).tolist()
    return order


def _usable(images: Source | Sequence[Source]) -> list[ImageInput]:
    """Those images read.

    Raises:
        UserError: naming all that cannot be used.
    """
    alone = isinstance(images, str | os.PathLike | Image.Image | np.ndarray | ImageInput)
    found = read_many([images] if alone else list(images))  # type: ignore[list-item, arg-type]
    faults = [one for one in found if isinstance(one, ImageError)]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UserError(f"{len(faults)} images cannot be used:\n{told(faults)}".rstrip())
    return [one for one in found if isinstance(one, ImageInput)]
