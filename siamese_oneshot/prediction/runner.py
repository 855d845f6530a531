"""Classify the images of a folder and summarize the answers."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamese_oneshot.classifier import OneShotClassifier, Prediction
from siamese_oneshot.data.image_folder.folder import check_errors, load_queries, load_supports
from siamese_oneshot.data.image_folder.image_input import ImageError, ImageInput
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

_PATCH = 17  # side of a square in pixels; at most 1 in 1,000 Omniglot images fills one


@dataclass(frozen=True, eq=False)
class Answer:
    """The prediction for a query.

    Attributes:
        prediction: The scores of all classes.
        label: Name of the query's folder; None in the folder of all queries.
        is_class: Whether the label names a class, which is then the expected one.
        repeated: Whether the query is one of the support files, or has the same bytes.
    """

    prediction: Prediction
    label: str | None
    is_class: bool
    repeated: bool

    @property
    def path(self) -> Path:
        """The query's file."""
        assert self.prediction.image.path is not None
        return self.prediction.image.path

    @property
    def expected(self) -> str | None:
        """The true class, if it is known."""
        return self.label if self.is_class else None

    @property
    def right(self) -> bool | None:
        """Whether the prediction is correct; None if the answer does not count."""
        counts = self.is_class and not self.repeated
        return self.prediction.best.name == self.label if counts else None

    @property
    def verdict(self) -> str:
        """``known``, ``unknown`` or, without a threshold, an empty text."""
        return {True: "known", False: "unknown", None: ""}[self.prediction.known]


@dataclass(frozen=True, eq=False)
class PredictionResults:
    """The predictions for a folder of queries.

    Attributes:
        classifier: With the classes of the supports.
        supports: Class and image of each support.
        answers: One per query.
        skipped: The errors of supports and queries.
        settings: The arguments of `predict`.
    """

    classifier: OneShotClassifier
    supports: Sequence[tuple[str, ImageInput]]
    answers: Sequence[Answer]
    skipped: Sequence[ImageError]
    settings: dict[str, Any]

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """Accuracy on the queries that count, with Wilson's 95% interval."""
        right = [one.right for one in self.answers if one.right is not None]
        if not right:
            return None
        correct, n = sum(right), len(right)
        low, high = wilson(correct, n)
        return {"correct": correct, "n": n, "value": correct / n, "low": low, "high": high}

    @property
    def notes(self) -> list[str]:
        """Caveats of these predictions."""
        notes = []
        if len(self.classifier.classes) == 1:
            notes.append("There is only one class, so its probability is always 100%.")
        if self.classifier.reject_threshold is None:
            notes.append(
                "No verdict: this network has no threshold for unknown classes. Set "
                "reject_threshold to the highest score of an unknown image."
            )
        copies = [one.path for one in self.answers if one.repeated]
        if copies:
            start = "1 query is" if len(copies) == 1 else f"{len(copies)} queries are"
            notes.append(f"{start} also a support and not counted: {_some(copies)}.")
        patched = [image.path for _, image in self.supports if _has_patch(image)]
        if patched:
            notes.append(
                "A support has a solid patch, perhaps a shadow, which may cause errors. See "
                f"normalized.png and fix {_some(patched)}."
            )
        others = sorted({one.label for one in self.answers if one.label and not one.is_class})
        if others and self.accuracy is not None:
            notes.append(f"Queries in folders that name no class are not counted: {_some(others)}.")
        return notes


def predict(
    support: str | Path,
    query: str | Path,
    weights: str | Path = "pretrained",
    top_k: int = 5,
    reject_threshold: float | None = None,
    on_error: str = "skip",
    output_dir: str | Path | None = None,
    trust: Collection[str] = (),
) -> PredictionResults:
    """Classify the queries, print a table, and write CSV, JSON and a contact sheet.

    Args:
        support: A folder of supports, see `load_supports`.
        query: An image or a folder of images, see `load_queries`.
        weights: Name, run folder or file of the network, see `OneShotClassifier.from_pretrained`.
        top_k: Classes per query in the table and in the CSV file.
        reject_threshold: See `OneShotClassifier`.
        on_error: ``skip`` images that cannot be used, or ``stop`` and write nothing.
        output_dir: A folder; None for ``outputs/predict/<time>``.
        trust: See `OneShotClassifier.from_pretrained`.

    Raises:
        UserError: If an argument, the network or the images cannot be used.
    """
    from siamese_oneshot.prediction.output import print_results, write_results

    start = time.monotonic()
    settings: dict[str, Any] = {"weights": weights, "support": support, "query": query}
    for name, value in settings.items():
        if value is None or value == "":
            raise ArgumentError(name, value, "a path")
        settings[name] = str(value)
    settings |= {"top_k": top_k, "reject_threshold": reject_threshold, "on_error": on_error}
    check.integer("top_k", top_k, 1)
    check_errors((), on_error)
    classifier = OneShotClassifier.from_pretrained(settings["weights"], reject_threshold, trust)
    supports = load_supports(settings["support"], progress=True)
    queries = load_queries(settings["query"], progress=True)
    check_errors(supports.errors + queries.errors, on_error)
    names, images = zip(*supports.images, strict=True)
    classifier.add_images(names, images)
    predictions = classifier.predict([image for _, image in queries.images])
    classes, digests = set(classifier.classes), {_digest(image.path) for image in images}
    answers = [
        Answer(prediction, label, label in classes, _digest(prediction.image.path) in digests)
        for (label, _), prediction in zip(queries.images, predictions, strict=True)
    ]
    labeled = list(zip(names, images, strict=True))
    skipped = supports.errors + queries.errors
    results = PredictionResults(classifier, labeled, answers, skipped, settings)
    folder = Path(output_dir).expanduser() if output_dir else None
    default = Path("outputs", "predict", time.strftime("%Y-%m-%d_%H-%M-%S"))
    parent = (folder or default).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # First into a temporary folder on the same disk: a full disk leaves all files or none.
        nearby = folder if folder is not None and folder.is_dir() else parent
        with tempfile.TemporaryDirectory(prefix=".predict", dir=nearby) as temporary:
            write_results(results, top_k, Path(temporary))
            folder = folder or _new_folder(default)
            folder.mkdir(parents=True, exist_ok=True)
            for file in Path(temporary).iterdir():
                file.replace(folder / file.name)
    except OSError as error:
        reason = f"it cannot be written to: {error}"
        raise ArgumentError("output_dir", folder or default, message=reason) from error
    print_results(results, top_k, folder, time.monotonic() - start)
    return results


def _new_folder(path: Path) -> Path:
    """Create the folder, with a number if another run created it in the same second."""
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def _some(names: Sequence[object]) -> str:
    """The first five."""
    return ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def _has_patch(image: ImageInput) -> bool:
    """Whether the strokes fill a square that strokes of characters do not."""
    from scipy.ndimage import minimum_filter

    return bool(minimum_filter(image.normalized.strokes, _PATCH, mode="constant").any())


def _digest(path: Path | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
