"""The predictions for a folder of queries, with accuracy and caveats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siamese_oneshot.classifier import OneShotClassifier, Prediction
from siamese_oneshot.data.image_folder.image_input import ImageError, ImageInput
from siamese_oneshot.evaluation.significance import wilson

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


def _some(names: Sequence[object]) -> str:
    """The first five."""
    return ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def _has_patch(image: ImageInput) -> bool:
    """Whether the strokes fill a square that strokes of characters do not."""
    from scipy.ndimage import minimum_filter

    return bool(minimum_filter(image.normalized.strokes, _PATCH, mode="constant").any())
