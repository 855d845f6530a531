"""What a prediction found: rankings, and how many are right where the classes are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from siamese_oneshot.data.own.given import Given
from siamese_oneshot.data.own.labelled import Labelled
from siamese_oneshot.data.own.picture import PictureFaulty
from siamese_oneshot.evaluation.interval import wilson
from siamese_oneshot.recogniser import Ranking, Recogniser

_PATCH = 17  # pixels along the side of a square that at most 1 in 1,000 Omniglot drawings fill


@dataclass(frozen=True, eq=False)
class Outcome:
    """A prediction.

    Attributes:
        recogniser: with the supports enrolled.
        supports, queries: the pictures and what was left out.
        rankings: one a query.
        settings: what was asked for.
    """

    recogniser: Recogniser
    supports: Labelled
    queries: Labelled
    rankings: Sequence[Ranking]
    settings: dict[str, Any]

    @cached_property
    def expected(self) -> list[str | None]:
        """The class of each query where its folder is named after an enrolled one."""
        enrolled = set(self.recogniser.classes)
        return [name if name in enrolled else None for name, _ in self.queries.pictures]

    @property
    def right(self) -> list[bool | None]:
        """Whether the best class of each query is the expected one; None where nothing counts."""
        return [
            None if name is None or repeated else ranking.best.name == name
            for ranking, name, repeated in zip(
                self.rankings, self.expected, self.repeated, strict=True
            )
        ]

    @property
    def verdicts(self) -> list[str]:
        """``known``, ``unknown`` or, where the network has no threshold, nothing."""
        words = {True: "known", False: "unknown", None: ""}
        return [words[ranking.known] for ranking in self.rankings]

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """Right answers among the queries whose class is expected, with Wilson's 95% interval."""
        answers = [one for one in self.right if one is not None]
        if not answers:
            return None
        low, high = wilson(sum(answers), len(answers))
        share = sum(answers) / len(answers)
        return {
            "correct": sum(answers), "trials": len(answers), "value": share, "low": low,
            "high": high,
        }  # fmt: skip

    @cached_property
    def repeated(self) -> list[bool]:
        """Whether each query's file is one of the supports', or holds the same bytes."""
        known = {_digest(given.path) for _, given in self.supports.pictures if given.path}
        return [
            ranking.path is not None and _digest(ranking.path) in known for ranking in self.rankings
        ]

    @property
    def skipped(self) -> tuple[PictureFaulty, ...]:
        """What was left out."""
        return self.supports.faults + self.queries.faults

    @property
    def notes(self) -> list[str]:
        """What a reader must know to take the answers for what they are."""
        notes = []
        if len(self.recogniser.classes) == 1:
            notes.append("Only one class is enrolled, so its probability is always 100%.")
        if self.recogniser.unknown_below is None:
            notes.append(
                "No verdict: this network has no threshold for unknown classes. "
                "Give the least score of a known one: unknown_below=…"
            )
        copies = [
            ranking.path
            for ranking, repeated in zip(self.rankings, self.repeated, strict=True)
            if repeated
        ]
        if copies:
            whose = "1 query is" if len(copies) == 1 else f"{len(copies)} queries are"
            notes.append(
                f"{whose} also a support ({_some(copies)}): such answers prove nothing and are not "
                "counted."
            )
        patched = [given.path for _, given in self.supports.pictures if _has_patch(given)]
        if patched:
            notes.append(
                "A solid patch was found in a support, perhaps a shadow: answers may suffer. Look "
                f"at normalised.png and mend {_some(patched)}."
            )
        strange = sorted(
            {
                filed
                for (filed, _), name in zip(self.queries.pictures, self.expected, strict=True)
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


def _has_patch(given: Given) -> bool:
    """Whether ink is wider than drawings are: a part of it is filled by a large square."""
    from scipy.ndimage import minimum_filter

    filled = minimum_filter(given.normalised.ink, _PATCH, mode="constant")
    return bool(filled.any())


def _digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
