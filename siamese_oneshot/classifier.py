"""Classify images from one or a few examples of each class; docs/predict.md shows how."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.data.image_folder import check_errors, class_name, load_supports
from siamese_oneshot.data.image_input import (
    ImageError,
    ImageInput,
    ImageSource,
    is_single,
    list_errors,
    read_many,
)
from siamese_oneshot.evaluation.embeddings import ELEMENTS, check_finite_scores
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError, UserError
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.text import did_you_mean, printable

log = logging.getLogger(__name__)

_VERSION = 1
_HEADER = "siamese_oneshot_classes"
_BATCH = 128  # images embedded at once; more are no faster
# Chosen on Omniglot's validation alphabets and on generated ones, with 1 to 5 drawers a class; in
# units of the network's temperature where they are differences of scores.
POOLING = 4.0  # of the soft maximum over the supports of a class: 0 is the maximum, inf the mean
SHARPENING = 0.3  # scores of n supports need a temperature lower by n to this power
SHIFT = 0.5  # by which the threshold follows what the gallery's classes score among each other
USUAL = 2.8  # by which the network's own threshold exceeds that
MIN_CLASSES = 5  # of a gallery that says something about itself
_PAIRS = 20_000  # of supports that are scored for it, about two seconds at most


@dataclass(frozen=True, slots=True)  # there are queries times classes of them
class ClassScore:
    """How well an image fits a class.

    The score is the network's logit of "same class"; of several support images it is the soft
    maximum of their logits. The probability is the softmax over the scores of all classes, divided
    by a temperature that was fitted on validation episodes: it assumes that the image shows one of
    them.
    """

    name: str
    probability: float
    score: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The classes for an image."""

    image: ImageInput = field(repr=False)  # and what the network sees of it
    classes: tuple[ClassScore, ...]  # all, best first; ties are in random order
    known: bool | None  # whether the best score is above `reject_threshold`; None without one

    @property
    def best(self) -> ClassScore:
        """The class with the highest score."""
        return self.classes[0]


@dataclass(frozen=True, eq=False)
class _Gallery:
    """Embedded supports; replaced as a whole, so that threads may share it."""

    names: tuple[str, ...]
    owners: Tensor  # int64 (n,): class of each support
    supports: Tensor  # float32 (n, embedding_dim)


class OneShotClassifier:
    """A trained network and support images of some classes.

    Methods may be called from several threads: a prediction uses the classes that existed when it
    began. Nothing is printed; skipped images are logged as warnings.

    Args:
        model: The network.
        reject_threshold: An image whose best score is at most this belongs to no known class; a
            finite number. None takes the network's own threshold, which was chosen on the
            validation set, and moves it by how alike the classes are (of five or more).
    """

    def __init__(self, model: TrainedModel, reject_threshold: float | None = None) -> None:
        self.model = model
        if reject_threshold is not None:
            reject_threshold = check.number("reject_threshold", reject_threshold)
        self._fixed_threshold = reject_threshold
        self._calibrated: tuple[_Gallery, float | None] | None = None  # threshold of a gallery
        self._lock = threading.Lock()  # of changes to the gallery
        self._process: int | None = None  # the last one that has used the network
        self._gallery = _Gallery((), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0))

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = "pretrained",
        reject_threshold: float | None = None,
        trust: Collection[str] = (),
    ) -> OneShotClassifier:
        """Load a network; see `load_trained` for arguments and errors."""
        return cls(load_trained(name, trust), reject_threshold)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order in which they were added."""
        return self._gallery.names

    @property
    def reject_threshold(self) -> float | None:
        """An image whose best score is at most this is of no known class; None without one."""
        return self._threshold(self._gallery)

    def _threshold(self, gallery: _Gallery) -> float | None:
        """The threshold as given, or the network's own, moved half the way that the gallery asks.

        A support is an unknown image to the classes beside its own. The better these images score,
        the higher is the threshold. Of many supports, some are scored.
        """
        own = self.model.reject_threshold
        if self._fixed_threshold is not None or own is None or len(gallery.names) < MIN_CLASSES:
            return own if self._fixed_threshold is None else self._fixed_threshold
        calibrated = self._calibrated
        if calibrated is None or calibrated[0] is not gallery:
            n = len(gallery.supports)
            chosen = torch.linspace(0, n - 1, min(n, max(10, _PAIRS // n))).long()
            scores = self._scores(gallery, gallery.supports[chosen])
            scores.scatter_(1, gallery.owners[chosen, None], -torch.inf)
            usual = float(scores.amax(1).mean())
            shift = usual - (own - USUAL * (self.model.temperature or 1.0))
            moved = own + SHIFT * shift if math.isfinite(usual) else own
            self._calibrated = calibrated = gallery, moved
        return calibrated[1]

    def add_class(self, name: str, images: ImageSource | Sequence[ImageSource]) -> None:
        """Add support images of a class, a new one or one that exists.

        Args:
            name: The class; compared in Unicode's composed form.
            images: One or more: paths, bytes of files, binary file objects, PIL images or arrays,
                see `read_input`. If one cannot be used, a UserError is raised and none is added.
        """
        if not isinstance(name, str) or not name.strip():
            raise ArgumentError("name", name, "a text that is not empty")
        inputs = _read(images)
        if not inputs:
            raise ArgumentError("images", images, f"one or more images of {printable(name)}")
        self.add_images([name] * len(inputs), inputs)

    def add_images(self, names: Sequence[str], images: Sequence[ImageInput]) -> None:
        """Add support images that were read already, each with the name of its class."""
        supports = self._embed(images)
        names = [class_name(name) for name in names]
        with self._lock:
            before = self._gallery
            merged = tuple(dict.fromkeys([*before.names, *names]))
            owners = torch.tensor([merged.index(name) for name in names])
            old = before.supports if len(before.supports) else supports[:0]
            self._gallery = _Gallery(
                merged, torch.cat([before.owners, owners]), torch.cat([old, supports])
            )

    def remove_class(self, name: str) -> None:
        """Forget a class and its supports; an ArgumentError with the nearest name without one."""
        with self._lock:
            before, name = self._gallery, class_name(str(name))
            if name not in before.names:
                near = did_you_mean(name, before.names)
                message = f"there is no such class.{near} classes lists them"
                raise ArgumentError("name", printable(name), message=message)
            index = before.names.index(name)
            kept = before.owners != index
            owners = before.owners[kept]
            names = before.names[:index] + before.names[index + 1 :]
            self._gallery = _Gallery(names, owners - (owners > index).long(), before.supports[kept])

    def add_folder(self, folder: str | Path, on_error: str = "skip") -> tuple[ImageError, ...]:
        """Add a folder of class folders, or of one image per class; see `load_supports`.

        With ``on_error`` ``skip``, images that cannot be used are logged, and their errors
        returned. A UserError is raised if none can be used; with ``stop``, if any cannot.
        """
        check_errors((), on_error)
        found = load_supports(folder)
        check_errors(found.errors, on_error)
        if found.errors:
            skipped = list_errors(found.errors)
            log.warning("%s: skipped %d\n%s", printable(folder), len(found.errors), skipped)
        names, inputs = zip(*found.images, strict=True)
        self.add_images(names, inputs)
        return found.errors

    def predict(
        self, images: ImageSource | Sequence[ImageSource], seed: int = 0
    ) -> list[Prediction]:
        """Score all classes for each image.

        Args:
            images: One or more, as for `add_class`.
            seed: Breaks ties between equal scores.

        Returns:
            One prediction per image, in order.

        Raises:
            UserError: If no class was added, an image cannot be used, or scores are not finite.
        """
        gallery = self._gallery
        if not gallery.names:
            raise UserError("there are no classes yet: call add_class or add_folder first")
        inputs = _read(images)
        if not inputs:
            return []
        scores = self._scores(gallery, self._embed(inputs))
        check_finite_scores(scores, self.model.name)
        per_class = len(gallery.supports) / len(gallery.names)
        temperature = (self.model.temperature or 1.0) / per_class**SHARPENING
        logits = scores.double() / temperature
        shares, orders = logits.softmax(1).tolist(), rank(scores, seed)
        threshold = self._threshold(gallery)
        predictions = []
        rows = zip(inputs, scores.tolist(), shares, orders, strict=True)
        for image, values, share, order in rows:
            classes = tuple(ClassScore(gallery.names[k], share[k], values[k]) for k in order)
            known = None if threshold is None else classes[0].score > threshold
            predictions.append(Prediction(image, classes, known))
        return predictions

    @torch.no_grad()
    def similarity(self, first: ImageSource, second: ImageSource) -> float:
        """The probability that two images show the same symbol, 0 … 1.

        It is ``sigmoid((logit - threshold) / temperature)``, both of which come from validation,
        and holds where half of all pairs are of one symbol. The order does not matter.

        Args:
            first, second: An image each, as for `add_class`.

        Raises:
            UserError: If an image cannot be used, or the network has no threshold.
        """
        if self.model.threshold is None:
            raise UserError(f"{self.model.name} has no threshold for pairs, which training chooses")
        embedded = self._embed(_read([first, second]))
        scores = self.model.network.score(embedded, embedded.flip(0))
        check_finite_scores(scores, self.model.name)
        excess = scores.double().mean() - self.model.threshold
        return float(torch.sigmoid(excess / (self.model.temperature or 1.0)))

    def save(self, path: str | Path) -> None:
        """Write the classes as one safetensors file: embeddings and names, no images."""
        from safetensors.torch import save

        gallery = self._gallery
        header = {
            "version": _VERSION,
            "classes": gallery.names,
            "reject_threshold": self._fixed_threshold,
            "model": self.model.name,
            "weights": weights_digest(self.model),
        }
        tensors = {"owners": gallery.owners, "supports": gallery.supports}
        with atomic_write(Path(path)) as file:
            file.write(save(tensors, {_HEADER: json.dumps(header)}))

    @classmethod
    def load(
        cls, path: str | Path, model: TrainedModel | None = None, trust: Collection[str] = ()
    ) -> OneShotClassifier:
        """Read a file of `save`.

        Args:
            path: The file.
            model: The network that it was made with; None loads it by the name in the file.
            trust: As for `from_pretrained`.

        Raises:
            UserError: If the file cannot be read, or the network has other weights.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                owners, supports = file.get_tensor("owners").long(), file.get_tensor("supports")
            names, name, digest = header["classes"], header["model"], header["weights"]
            threshold = header["reject_threshold"]
            if header["version"] != _VERSION:
                raise ValueError(f"it is of version {header['version']}, not {_VERSION}")
            if owners.shape != supports.shape[:1] or set(owners.tolist()) != {*range(len(names))}:
                raise ValueError("its classes and embeddings do not match")
        except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path} is not a file of OneShotClassifier.save: {error}") from error
        model = model or load_trained(name, trust)
        if weights_digest(model) != digest:
            raise UserError(
                f"{path} was saved with other weights than those of {model.name}, or with other "
                f"test-time augmentation: pass the network {name} as model, or add the images again"
            )
        classifier = cls(model, threshold)
        classifier._gallery = _Gallery(tuple(map(str, names)), owners, supports)
        return classifier

    def network_input(self, images: Sequence[ImageInput]) -> Tensor:
        """What the network sees of images: uint8 ``(n, size, size)``, 255 for strokes."""
        strokes = torch.from_numpy(np.stack([image.normalized.strokes for image in images]))
        return F.adaptive_avg_pool2d(strokes[:, None].float(), self.model.size)[:, 0].round().byte()

    @torch.no_grad()
    def _embed(self, images: Sequence[ImageInput]) -> Tensor:
        """float32 ``(n, embedding_dim)``."""
        if self._process not in (None, os.getpid()) and torch.get_num_threads() > 1:
            torch.set_num_threads(1)  # more would wait for threads that a fork does not copy
            log.warning(
                "this process was forked after the network had been used, so it computes with one "
                "thread; start it with multiprocessing.get_context('spawn') to use all threads"
            )
        self._process = os.getpid()
        embedded = []
        for start in range(0, len(images), _BATCH):
            pixels = self.network_input(images[start : start + _BATCH])
            embedded.append(self.model.network.embed(pixels[:, None].float() / 255).float())
        return torch.cat(embedded)

    @torch.no_grad()
    def _scores(self, gallery: _Gallery, queries: Tensor) -> Tensor:
        """Scores of the classes, pooled over their supports: float32 ``(queries, classes)``.

        Blocks of queries and supports bound the memory, whatever the number of either.
        """
        pooling = POOLING * (self.model.temperature or 1.0)
        n_supports = max(1, min(len(gallery.supports), ELEMENTS // queries.shape[1]))
        n_queries = max(1, ELEMENTS // (n_supports * queries.shape[1]))
        sums = torch.full((len(queries), len(gallery.names)), -torch.inf)
        for start in range(0, len(gallery.supports), n_supports):
            part = slice(start, start + n_supports)
            owners = gallery.owners[part]
            for rows, block in zip(sums.split(n_queries), queries.split(n_queries), strict=True):
                scores = self.model.network.score(block[:, None], gallery.supports[part]) / pooling
                index = owners.expand_as(scores)
                top = torch.full_like(rows, -torch.inf).scatter_reduce(1, index, scores, "amax")
                terms = (scores - top.gather(1, index)).exp()
                total = torch.zeros_like(rows).index_add(1, owners, terms)
                rows.copy_(torch.logaddexp(rows, top + total.log()))
        return pooling * (sums - gallery.owners.bincount().log())


def rank(scores: Tensor, seed: int) -> list[list[int]]:
    """Order the columns of finite scores ``(n, classes)`` from best to worst; ties at random."""
    keys = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)).numpy()
    order: list[list[int]] = np.lexsort((-keys, -scores.numpy()), axis=1).tolist()
    return order


def _read(images: ImageSource | Sequence[ImageSource]) -> list[ImageInput]:
    """Read all images, or raise a UserError that lists those that cannot be used."""
    sources: list[ImageSource] = [images] if is_single(images) else list(images)  # type: ignore
    read = read_many(sources)
    errors = [one for one in read if isinstance(one, ImageError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UserError(f"{len(errors)} images cannot be used:\n{list_errors(errors)}")
    return [one for one in read if isinstance(one, ImageInput)]


def weights_digest(model: TrainedModel) -> str:
    """A hash of the network's weights, and of test-time augmentation."""
    digest = hashlib.sha256(b"tta" if model.network.tta else b"")
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
