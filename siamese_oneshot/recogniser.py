"""Recognise pictures of your own from one or a few pictures of each class.

from siamese_oneshot import Recogniser

recogniser = Recogniser.load("pretrained")
recogniser.enrol("alef", ["alef1.png", "alef2.png"])
recogniser.enrol("bet", "bet.jpg")
(ranking,) = recogniser.rank("unknown.png")
print(ranking.best.name, ranking.best.probability, ranking.known)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.own.folder import class_name
from siamese_oneshot.data.own.given import Given, Source, read_many
from siamese_oneshot.data.own.ink import Normalised
from siamese_oneshot.data.own.labelled import judge, load_supports, told
from siamese_oneshot.data.own.picture import PictureFaulty
from siamese_oneshot.errors import UserError
from siamese_oneshot.evaluation.embedding import Machine, embed
from siamese_oneshot.evaluation.scoring import refuse_no_numbers
from siamese_oneshot.tracking.trained import Trained, load_trained

log = logging.getLogger(__name__)

_ELEMENTS = 2**24  # numbers compared at once; bounds memory


@dataclass(frozen=True)
class Candidate:
    """A class and how well a picture fits it.

    Attributes:
        name: the class.
        probability: 0 … 1; the softmax over the scores of all enrolled classes, so it takes for
            granted that the picture is of one of them.
        score: the network's logit of "same character", the mean over the class's pictures.
    """

    name: str
    probability: float
    score: float


@dataclass(frozen=True, eq=False)
class Ranking:
    """The enrolled classes by how well a picture fits them.

    Attributes:
        path: the picture's file; None where it was given in memory.
        classes: all enrolled classes, best first; equally good ones in a random order.
        known: whether the best score is above ``unknown_below``; None where that is not known.
        given: the picture.
    """

    path: Path | None
    classes: tuple[Candidate, ...]
    known: bool | None
    given: Given = field(repr=False)

    @property
    def best(self) -> Candidate:
        """The class that fits best."""
        return self.classes[0]

    @property
    def picture(self) -> Normalised:
        """What was found in the picture."""
        return self.given.normalised


class Recogniser:
    """A trained network and the classes that it has been shown.

    Args:
        trained: the network.
        unknown_below: the highest score at which a picture is still of no enrolled class; the
            network's own where None.
    """

    def __init__(self, trained: Trained, unknown_below: float | None = None) -> None:
        self.trained = trained
        self.unknown_below = trained.unknown_below if unknown_below is None else unknown_below
        self._names: list[str] = []
        self._owners: list[int] = []  # the class of each support
        self._pending: list[Given] = []  # supports that are not embedded yet: the last ones
        self._supports: list[Tensor] = []

    @classmethod
    def load(
        cls, where: str | Path = "pretrained", unknown_below: float | None = None
    ) -> Recogniser:
        """With a network by name, run folder or file; see `load_trained`, also for errors."""
        return cls(load_trained(where), unknown_below)

    @property
    def classes(self) -> tuple[str, ...]:
        """The enrolled classes, in the order in which they came."""
        return tuple(self._names)

    def enrol(self, name: str, pictures: Source | Sequence[Source]) -> None:
        """Show pictures of a class; more of a class that is enrolled are added to it.

        Args:
            name: the class.
            pictures: one or more: paths, PIL images or arrays, see `read_given`.

        Raises:
            UserError: no name, no picture, or pictures that cannot be used: then none is added.
        """
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"a class's name must be a text of some letters, got {name!r}")
        read = _usable(pictures)
        if not read:
            raise UserError(f"{name}: a class needs one picture or more, none was given")
        name = class_name(name)
        if name not in self._names:
            self._names.append(name)
        self._owners += [self._names.index(name)] * len(read)
        self._pending += read

    def enrol_folder(self, root: str | Path, on_bad: str = "skip") -> tuple[PictureFaulty, ...]:
        """Show a folder of class folders, or of one picture a class; see `load_supports`.

        Args:
            root: the folder.
            on_bad: ``skip`` leaves out what cannot be used and warns; ``stop`` raises instead.

        Returns:
            What was left out, and why.

        Raises:
            UserError: no folder, nothing usable in it, or anything bad under ``stop``.
        """
        supports = load_supports(root)
        judge(supports.faults, on_bad)
        if supports.faults:
            log.warning(
                "%s: %d left out\n%s", root, len(supports.faults), told(supports.faults).rstrip()
            )
        for name, given in supports.pictures:
            self.enrol(name or "", given)
        return supports.faults

    def rank(self, pictures: Source | Sequence[Source], seed: int = 0) -> list[Ranking]:
        """Rank the enrolled classes for each picture.

        Args:
            pictures: one or more, as for `enrol`.
            seed: breaks ties.

        Returns:
            A ranking for each picture, in their order.

        Raises:
            UserError: no class is enrolled, or a picture cannot be used.
        """
        if not self._names:
            raise UserError("no class is enrolled yet: call enrol or enrol_folder first")
        read = _usable(pictures)
        if not read:
            return []
        scores = self._scores(self._embedded(read))
        refuse_no_numbers(scores, self.trained.name)
        probabilities = scores.double().softmax(1).tolist()
        return [
            Ranking(
                given.path,
                tuple(Candidate(self._names[k], shares[k], values[k]) for k in order),
                None if self.unknown_below is None else values[order[0]] > self.unknown_below,
                given,
            )
            for given, shares, values, order in zip(
                read, probabilities, scores.tolist(), best_first(scores, seed), strict=True
            )
        ]

    def seen(self, pictures: Sequence[Given]) -> Drawings:
        """What the network sees of pictures: their drawings at its own size."""
        n = len(pictures)
        return Drawings(
            pixels=torch.from_numpy(np.stack([one.normalised.ink for one in pictures])),
            classes=torch.zeros(n, dtype=torch.int64),
            drawers=torch.zeros(n, dtype=torch.int64),
            class_names=("own/own",),
            alphabet_names=("own",),
            class_alphabets=torch.zeros(1, dtype=torch.int64),
            source="folder",
        ).resized(self.trained.size)

    def _embedded(self, pictures: Sequence[Given]) -> Tensor:
        """float32 ``(n, units)``."""
        trained, machine = self.trained, Machine("cpu", "32-true")
        every = torch.arange(len(pictures))
        return embed(trained.network, self.seen(pictures), every, machine, trained.name).vectors

    @torch.no_grad()
    def _scores(self, queries: Tensor) -> Tensor:
        """The mean score over each class's pictures: float32 ``(queries, classes)``."""
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
    """The ways of each trial by score, ties in a random order; the first is what `choose` picks.

    Args:
        scores: finite, ``(trials, way)``.
        seed: of the order of ties.
    """
    keys = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).numpy()
    order: list[list[int]] = np.lexsort((-keys, -scores.numpy()), axis=1).tolist()
    return order


def _usable(pictures: Source | Sequence[Source]) -> list[Given]:
    """Those pictures read.

    Raises:
        UserError: naming all that cannot be used.
    """
    alone = isinstance(pictures, str | os.PathLike | Image.Image | np.ndarray | Given)
    found = read_many([pictures] if alone else list(pictures))  # type: ignore[list-item, arg-type]
    faults = [one for one in found if isinstance(one, PictureFaulty)]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise UserError(f"{len(faults)} pictures cannot be used:\n{told(faults)}".rstrip())
    return [one for one in found if isinstance(one, Given)]
