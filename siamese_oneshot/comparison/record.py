"""What an evaluation leaves behind: ``evaluation.json`` and ``evaluation.md``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamese_oneshot.atomic import whole_file
from siamese_oneshot.comparison.paired import Paired
from siamese_oneshot.comparison.sitting import Outcome
from siamese_oneshot.comparison.tables import trained_on
from siamese_oneshot.data.exam import Question
from siamese_oneshot.evaluation.confusion import confusions
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.evaluation.published import published
from siamese_oneshot.tracking.table import Table

VERSION = 1
FILE = "evaluation.json"


def write_json(
    folder: Path,
    outcomes: Sequence[Outcome],
    tests: Sequence[Paired],
    surroundings: dict[str, Any],
) -> Path:
    """Write everything that was found, whole or not at all."""
    content = {
        "version": VERSION,
        **surroundings,
        "subjects": [plain(outcome) for outcome in outcomes],
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
    """One subject's findings in plain values."""
    trained, verified = outcome.subject.trained, outcome.test.verified
    return {
        "name": outcome.subject.name,
        "kind": "baseline" if trained is None else "network",
        "trained_on": trained_on(outcome),
        "facts": {} if trained is None else trained.facts,
        "parameters": outcome.subject.parameters,
        "networks": outcome.subject.members,
        "split": outcome.split,
        "scores": [dataclasses.asdict(score) for score in outcome.scores],
        "alphabets": [dataclasses.asdict(score) for score in outcome.alphabets],
        "mixed_up": {one.question.key: _mixed_up(one, outcome) for one in outcome.mixed_up},
        "verification": {
            "accuracy": verified.accuracy,
            "auroc": verified.auroc,
            "equal_error_rate": verified.eer,
        },
        "threshold": verified.threshold,
        "unknown_below": outcome.unknown_below,
        "pictures_embedded": outcome.pictures,
        "comparisons": outcome.comparisons,
        "seconds": outcome.seconds,
        "right": {key: _right(one.question, one.right.tolist()) for key, one in _kept(outcome)},
    }


def _mixed_up(answered: Answered, outcome: Outcome) -> list[dict[str, Any]]:
    names = outcome.drawings.class_names
    return [
        {"classes": [names[c.one], names[c.other]], "times": c.times, "chances": c.chances}
        for c in confusions(answered, outcome.drawings.classes)
    ]


def _kept(outcome: Outcome) -> list[tuple[str, Any]]:
    """The lists whose every answer is kept, so that a later subject can be compared by pairs."""
    return [(key, one) for key, one in outcome.answered.items() if key in ("official", "paper")]


def _right(question: Question, right: list[bool]) -> dict[str, str]:
    return {
        "digest": question.trials.digest,
        "answers": "".join("1" if one else "0" for one in right),
    }
