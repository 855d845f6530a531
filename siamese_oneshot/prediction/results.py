"""What a prediction found: rankings, and how many are right where the classes are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from siamese_oneshot.classifier import OneShotClassifier, Prediction
from siamese_oneshot.data.image_folder.decode import ImageError
from siamese_oneshot.data.image_folder.image_input import ImageInput
from siamese_oneshot.data.image_folder.support_query import LabeledImages
from siamese_oneshot.evaluation.significance import wilson

_PATCH = 17  # pixels along the side of a square that at most 1 in 1,000 Omniglot images fill


@dataclass(frozen=True, eq=False)
class Outcome:
    """A prediction.

    Attributes:
        classifier: with the supports enrolled.
        supports, queries: the images and what was left out.
        rankings: one a query.
        settings: what was asked for.
    """

    classifier: OneShotClassifier
    supports: LabeledImages
    queries: LabeledImages
    predictions: Sequence[Prediction]
    settings: dict[str, Any]

    @cached_property
    def expected(self) -> list[str | None]:
        """The class of each query where its folder is named after an enrolled one."""
        enrolled = set(self.classifier.classes)
        return [name if name in enrolled else None for name, _ in self.queries.images]

    @property
    def right(self) -> list[bool | None]:
        """Whether the best class of each query is the expected one; None where nothing counts."""
        return [
            None if name is None or repeated else prediction.best.name == name
            for prediction, name, repeated in zip(
                self.predictions, self.expected, self.repeated, strict=True
            )
        ]

    @property
    def verdicts(self) -> list[str]:
        """``known``, ``unknown`` or, where the network has no threshold, nothing."""
        words = {True: "known", False: "unknown", None: ""}
        return [words[prediction.known] for prediction in self.predictions]

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """Right answers among the queries whose class is expected, with Wilson's 95% interval."""
        answers = [one for one in self.right if one is not None]
        if not answers:
            return None
        low, high = wilson(sum(answers), len(answers))
        share = sum(answers) / len(answers)
        return {
            "correct": sum(answers), "n": len(answers), "value": share, "low": low,
            "high": high,
        }  # fmt: skip

    @cached_property
    def repeated(self) -> list[bool]:
        """Whether each query's file is one of the supports', or holds the same bytes."""
        known = {_digest(given.path) for _, given in self.supports.images if given.path}
        return [
            prediction.path is not None and _digest(prediction.path) in known
            for prediction in self.predictions
        ]

    @property
    def skipped(self) -> tuple[ImageError, ...]:
        """What was left out."""
        return self.supports.faults + self.queries.faults

    @property
    def notes(self) -> list[str]:
        """What a reader must know to take the answers for what they are."""
        notes = []
        if len(self.classifier.classes) == 1:
            notes.append("Only one class is enrolled, so its probability is always 100%.")
        if self.classifier.reject_threshold is None:
            notes.append(
                "No verdict: this network has no threshold for unknown classes. "
                "Give the least score of a known one: reject_threshold=…"
            )
        copies = [
            prediction.path
            for prediction, repeated in zip(self.predictions, self.repeated, strict=True)
            if repeated
        ]
        if copies:
            whose = "1 query is" if len(copies) == 1 else f"{len(copies)} queries are"
            notes.append(
                f"{whose} also a support ({_some(copies)}): such answers prove nothing and are not "
                "counted."
            )
        patched = [given.path for _, given in self.supports.images if _has_patch(given)]
        if patched:
            notes.append(
                "A solid patch was found in a support, perhaps a shadow: answers may suffer. Look "
                f"at normalized.png and mend {_some(patched)}."
            )
        strange = sorted(
            {
                filed
                for (filed, _), name in zip(self.queries.images, self.expected, strict=True)
                if filed is not None and name is None
            }
        )
        if strange and self.accuracy is not None:
            notes.append(
                f"Not counted as right or wrong, as no such class is enrolled: {_some(strange)}."
            )
        return notes


def _some(names: Sequence[object]) -> str:
    """The first few."""
    return ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def _has_patch(given: ImageInput) -> bool:
    """Whether ink is wider than images are: a part of it is filled by a large square."""
    from scipy.ndimage import minimum_filter

    filled = minimum_filter(given.normalized.ink, _PATCH, mode="constant")
    return bool(filled.any())


def _digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
