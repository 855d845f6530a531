"""What an evaluation leaves behind: ``evaluation.json`` and ``evaluation.md``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.confusions import confusions
from siamese_oneshot.evaluation.evaluator import Outcome
from siamese_oneshot.evaluation.published import published
from siamese_oneshot.evaluation.results import EpisodeResults
from siamese_oneshot.evaluation.significance import PairedTest
from siamese_oneshot.evaluation.tables import trained_on
from siamese_oneshot.utils.io import whole_file
from siamese_oneshot.utils.tables import Table

VERSION = 2
FILE = "evaluation.json"


def write_json(
    folder: Path,
    outcomes: Sequence[Outcome],
    tests: Sequence[PairedTest],
    surroundings: dict[str, Any],
) -> Path:
    """Write everything that was found, whole or not at all."""
    content = {
        "version": VERSION,
        **surroundings,
        "models": [plain(outcome) for outcome in outcomes],
        "paired": [{**dataclasses.asdict(one), "difference": one.difference} for one in tests],
        "published": [dataclasses.asdict(one) for one in published()],
    }
    path = folder / FILE
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")
    return path


def write_markdown(folder: Path, title: str, tables: Sequence[Table]) -> Path:
    """Write the tables as a page, whole or not at all."""
    path = folder / "evaluation.md"
    with whole_file(path) as file:
        file.write("\n".join([f"# {title}\n", *(table.markdown() for table in tables)]).encode())
    return path


def plain(outcome: Outcome) -> dict[str, Any]:
    """One model's findings in plain values."""
    trained, verification = outcome.model.trained, outcome.test.verification
    return {
        "name": outcome.model.name,
        "kind": "baseline" if trained is None else "network",
        "trained_on": trained_on(outcome),
        "metadata": {} if trained is None else trained.metadata,
        "parameters": outcome.model.parameters,
        "networks": outcome.model.members,
        "split": outcome.split,
        "scores": [dataclasses.asdict(score) for score in outcome.scores],
        "alphabets": [dataclasses.asdict(score) for score in outcome.alphabets],
        "confused_lists": {
            one.task.key: _confused_lists(one, outcome) for one in outcome.confused_lists
        },
        "verification": {
            "accuracy": verification.accuracy,
            "auroc": verification.auroc,
            "equal_error_rate": verification.eer,
        },
        "threshold": verification.threshold,
        "reject_threshold": outcome.reject_threshold,
        "pictures_embedded": outcome.images,
        "comparisons": outcome.comparisons,
        "seconds": outcome.seconds,
        "right": {key: _right(one.task, one.right.tolist()) for key, one in _kept(outcome)},
    }


def _confused_lists(results: EpisodeResults, outcome: Outcome) -> list[dict[str, Any]]:
    names = outcome.dataset.class_names
    return [
        {"classes": [names[c.one], names[c.other]], "times": c.times, "chances": c.chances}
        for c in confusions(results, outcome.dataset.classes)
    ]


def _kept(outcome: Outcome) -> list[tuple[str, Any]]:
    """The lists whose every answer is kept, so that a later model can be compared by pairs."""
    return [
        (key, one) for key, one in outcome.results.items() if key in ("lake_runs", "koch_protocol")
    ]


def _right(task: EpisodeTask, right: list[bool]) -> dict[str, str]:
    return {
        "digest": task.episodes.digest,
        "answers": "".join("1" if one else "0" for one in right),
    }
