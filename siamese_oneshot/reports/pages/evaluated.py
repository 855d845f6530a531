"""What ``evaluation/evaluation.json`` says of a run, however little that is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.files import usable
from siamese_oneshot.reports.job import Data

_PLACES = ("evaluation/evaluation.json", "evaluation.json")


@dataclass
class Evaluated:
    """The findings of a later evaluation.

    Attributes:
        source, digest, split: the images that were asked about, and how they were divided.
        scores: of every list.
        alphabets: of the within-alphabet.
        complaint: what is wrong with the file; empty where nothing is.
    """

    source: str = ""
    digest: str = ""
    split: str = ""
    scores: list[Score] = field(default_factory=list)
    alphabets: list[Score] = field(default_factory=list)
    complaint: str = ""

    @classmethod
    def read(cls, folder: Path) -> Evaluated:
        """Of a run's folder; nothing where there is no such file."""
        for place in _PLACES:
            path = folder / place
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                model = next(one for one in content["models"] if one["kind"] == "network")
                asked = content["data_source"], content["data_digest"], model["split"]
                if not all(isinstance(one, str) for one in asked):
                    raise ValueError("the data have no names")
                return cls(*asked, _scores(model["scores"]), _scores(model["alphabets"]))
            except FileNotFoundError:
                continue
            except StopIteration:
                return cls(complaint=f"{place} has no network in it")
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
                return cls(complaint=f"{place} is damaged ({problem}) and not used")
        return cls()

    def asked(self, trained: Data) -> Data:
        """What was asked about, of a network that was trained on ``trained``."""
        return Data(
            trained.experiment, self.source, self.digest, self.split, trained.trained_on
        )


def _scores(rows: list[dict[str, Any]]) -> list[Score]:
    made = [Score(**row) for row in rows]
    for one in made:
        numbers = (one.value, one.low, one.high)
        if not all(isinstance(value, int | float) and usable(value) for value in numbers):
            raise ValueError(f"{one.name} has no share")
        if not isinstance(one.n, int) or not all(
            isinstance(text, str) for text in (one.name, one.protocol, one.split, one.key)
        ):
            raise ValueError("a score is of the wrong kind")
    return made
