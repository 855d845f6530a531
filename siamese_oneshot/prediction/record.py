"""An outcome as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from siamese_oneshot.classifier import Prediction
from siamese_oneshot.data.image_folder.image_input import ImageInput
from siamese_oneshot.prediction.results import Outcome
from siamese_oneshot.utils.io import whole_file
from siamese_oneshot.utils.tables import Table

_ROWS = 60  # of the table in the terminal
_LEAST = 0.005  # the probability of a class that is told beside the best
_COLUMNS = ("query", "expected", "verdict", "rank", "class", "probability", "score")


def shown(text: str | Path | None) -> str:
    """As it can be written anywhere: names of files may hold bytes that are no text."""
    return os.fsencode(str(text)).decode("utf-8", "replace") if text is not None else ""


def counted(count: int, one: str, several: str) -> str:
    """``1 query``, ``2 queries``."""
    return f"{count:,} {one if count == 1 else several}"


def table_of(outcome: Outcome, top: int) -> Table:
    """The best classes of each query, for the terminal."""
    labeled = any(name is not None for name in outcome.expected)
    count = len(outcome.classifier.classes)
    queries = counted(len(outcome.predictions), "query", "queries")
    table = Table(
        f"{queries}, {counted(count, 'class', 'classes')}",
        ["query", *(["expected", ""] if labeled else []), "verdict", "classes, best first"],
    )
    root = Path(outcome.settings["query"]).expanduser()
    marks = {True: "✓", False: "✗", None: ""}
    rows = zip(outcome.predictions, outcome.expected, outcome.right, outcome.verdicts, strict=True)
    for prediction, expected, right, verdict in list(rows)[:_ROWS]:
        assert prediction.path is not None, "queries are read from files"
        name = (
            prediction.path.relative_to(root) if prediction.path != root else prediction.path.name
        )
        truth = [shown(expected) or "–", marks[right]] if labeled else []
        best = "  ".join(
            f"{shown(one.name)} {100 * one.probability:.1f}%"
            for one in prediction.classes[:top]
            if one is prediction.best or one.probability >= _LEAST
        )
        table.add(shown(name), *truth, verdict or "–", best)
    if len(outcome.predictions) > _ROWS:
        table.note = f"{len(outcome.predictions) - _ROWS} more are in predictions.csv"
    return table


def write_csv(outcome: Outcome, top: int, path: Path) -> None:
    """A row for each query and rank."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for prediction, expected, verdict in zip(
        outcome.predictions, outcome.expected, outcome.verdicts, strict=True
    ):
        start = [_cell(prediction.path), _cell(expected), verdict]
        for rank, one in enumerate(prediction.classes[:top], 1):
            writer.writerow([*start, rank, _cell(one.name), one.probability, one.score])
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def _cell(text: str | Path | None) -> str:
    """As a spreadsheet shows it, where it would run what begins like a formula."""
    word = shown(text)
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t", "\r")) else word


def write_json(outcome: Outcome, path: Path) -> None:
    """Everything: settings, network, supports, all ranks of all queries, what was left out."""
    trained = outcome.classifier.trained
    queries = zip(
        outcome.predictions, outcome.expected, outcome.right, outcome.repeated, strict=True
    )
    content = {
        "settings": {name: _plain(value) for name, value in outcome.settings.items()},
        "network": {
            "name": shown(trained.name),
            "parameters": trained.parameters,
            "size": trained.size,
            "metadata": trained.metadata,
        },
        "reject_threshold": outcome.classifier.reject_threshold,
        "classes": [shown(name) for name in outcome.classifier.classes],
        "supports": [
            {"class": shown(name), **_found(given)} for name, given in outcome.supports.images
        ],
        "queries": [
            {
                **_found(prediction.given),
                "expected": None if expected is None else shown(expected),
                "right": right,
                "known": prediction.known,
                "also_support": repeated,
                "classes": _classes(prediction),
            }
            for prediction, expected, right, repeated in queries
        ],
        "accuracy": outcome.accuracy,
        "notes": [shown(note) for note in outcome.notes],
        "skipped": [{"path": shown(one.path), "why": shown(one.why)} for one in outcome.skipped],
    }
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())


def _plain(value: Any) -> Any:
    return shown(value) if isinstance(value, str | Path) else value


def _found(given: ImageInput) -> dict[str, Any]:
    """An image's file, and what was seen in it."""
    seen = given.normalized
    return {
        "path": shown(given.path),
        "box": list(seen.box),
        "stroke": round(seen.stroke, 2),
        "polarity": seen.polarity,
    }


def _classes(prediction: Prediction) -> list[dict[str, Any]]:
    return [
        {"name": shown(one.name), "probability": one.probability, "score": one.score}
        for one in prediction.classes
    ]
