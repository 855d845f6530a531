"""``evaluation.json`` (version 2), its one writer and reader."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils import check
from siamese_oneshot.utils.io import json_content, previous, write_json

VERSION = 2
FILE = "evaluation.json"
_SCORES = ("scores", "alphabets")


@dataclass(frozen=True)
class ModelRecord:
    """The results of one model in plain values."""

    name: str
    kind: str  # network or baseline
    trained_on: str
    split: str  # its rule
    scores: list[Score]
    alphabets: list[Score]  # within-alphabet accuracy by alphabet
    threshold: float  # of verification
    reject_threshold: float  # on the highest score, for unknown classes
    metadata: dict[str, Any] = field(default_factory=dict)  # of the training
    temperature: float = 1.0  # of the softmax over classes
    parameters: int = 0  # learned
    n_networks: int = 1  # of an ensemble
    # By list: pairs of classes with ``times`` and ``n``, the most frequent first.
    confusions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    # By list: its digest, and one character per episode, 1 for correct.
    predictions: dict[str, dict[str, str]] = field(default_factory=dict)
    summary: dict[str, float] = field(default_factory=dict)  # summary metrics
    images_embedded: int = 0
    comparisons: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class EvaluationRecord:
    """Everything in ``evaluation.json``; `run_info.environment` gives what is not said here."""

    models: list[ModelRecord]
    data_source: str
    data_digest: str
    warnings: list[str] = field(default_factory=list)
    precision: str = ""
    command: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    hardware: str = ""
    paired_tests: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)

    @property
    def network(self) -> ModelRecord | None:
        """The first network; None if only baselines were evaluated."""
        return next((model for model in self.models if model.kind == "network"), None)


def write_evaluation(folder: Path, record: EvaluationRecord) -> Path:
    """Write ``evaluation.json`` atomically; the one before is ``evaluation.previous.json``."""
    path = folder / FILE
    content = {"version": VERSION, **dataclasses.asdict(record)}
    return write_json(path, content, keep=previous(path))


def find_evaluation(folder: Path) -> Path | None:
    """The ``evaluation.json`` of a run's folder, or in the folder itself; None if there is none."""
    paths = (folder / "evaluation" / FILE, folder / FILE)
    return next((path for path in paths if path.is_file()), None)


def read_evaluation(path: Path) -> EvaluationRecord:
    """Read ``evaluation.json``; a UserError if it is missing, damaged or of another version."""
    with json_content(path, VERSION, "run evaluate first", "run evaluate again") as content:
        models = []
        for row in content.pop("models"):
            row = {**row, **{name: list(map(Score.from_dict, row[name])) for name in _SCORES}}
            models.append(ModelRecord(**row))
            check.plain_fields(models[-1])
        record = EvaluationRecord(models=models, **content)
        check.plain_fields(record)
        return record
