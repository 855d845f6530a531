"""An outcome as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from siamese_oneshot.atomic import whole_file
from siamese_oneshot.data.own.given import Given
from siamese_oneshot.prediction.outcome import Outcome
from siamese_oneshot.recogniser import Ranking
from siamese_oneshot.tracking.table import Table

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
    labelled = any(name is not None for name in outcome.expected)
    count = len(outcome.recogniser.classes)
    queries = counted(len(outcome.rankings), "query", "queries")
    table = Table(
        f"{queries}, {counted(count, 'class', 'classes')}",
        ["query", *(["expected", ""] if labelled else []), "verdict", "classes, best first"],
    )
    root = Path(outcome.settings["query"]).expanduser()
    marks = {True: "✓", False: "✗", None: ""}
    rows = zip(outcome.rankings, outcome.expected, outcome.right, outcome.verdicts, strict=True)
    for ranking, expected, right, verdict in list(rows)[:_ROWS]:
        assert ranking.path is not None, "queries are read from files"
        name = ranking.path.relative_to(root) if ranking.path != root else ranking.path.name
        truth = [shown(expected) or "–", marks[right]] if labelled else []
        best = "  ".join(
            f"{shown(one.name)} {100 * one.probability:.1f}%"
            for one in ranking.classes[:top]
            if one is ranking.best or one.probability >= _LEAST
        )
        table.add(shown(name), *truth, verdict or "–", best)
    if len(outcome.rankings) > _ROWS:
        table.note = f"{len(outcome.rankings) - _ROWS} more are in predictions.csv"
    return table


def write_csv(outcome: Outcome, top: int, path: Path) -> None:
    """A row for each query and rank."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for ranking, expected, verdict in zip(
        outcome.rankings, outcome.expected, outcome.verdicts, strict=True
    ):
        start = [_cell(ranking.path), _cell(expected), verdict]
        for rank, one in enumerate(ranking.classes[:top], 1):
            writer.writerow([*start, rank, _cell(one.name), one.probability, one.score])
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def _cell(text: str | Path | None) -> str:
    """As a spreadsheet shows it, where it would run what begins like a formula."""
    word = shown(text)
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t", "\r")) else word


def write_json(outcome: Outcome, path: Path) -> None:
    """Everything: settings, network, supports, all ranks of all queries, what was left out."""
    trained = outcome.recogniser.trained
    queries = zip(outcome.rankings, outcome.expected, outcome.right, outcome.repeated, strict=True)
    content = {
        "settings": {name: _plain(value) for name, value in outcome.settings.items()},
        "network": {
            "name": shown(trained.name),
            "parameters": trained.parameters,
            "size": trained.size,
            "facts": trained.facts,
        },
        "unknown_below": outcome.recogniser.unknown_below,
        "classes": [shown(name) for name in outcome.recogniser.classes],
        "supports": [
            {"class": shown(name), **_found(given)} for name, given in outcome.supports.pictures
        ],
        "queries": [
            {
                **_found(ranking.given),
                "expected": None if expected is None else shown(expected),
                "right": right,
                "known": ranking.known,
                "also_support": repeated,
                "classes": _classes(ranking),
            }
            for ranking, expected, right, repeated in queries
        ],
        "accuracy": outcome.accuracy,
        "notes": [shown(note) for note in outcome.notes],
        "skipped": [{"path": shown(one.path), "why": shown(one.why)} for one in outcome.skipped],
    }
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())


def _plain(value: Any) -> Any:
    return shown(value) if isinstance(value, str | Path) else value


def _found(given: Given) -> dict[str, Any]:
    """A picture's file, and what was seen in it."""
    seen = given.normalised
    return {
        "path": shown(given.path),
        "box": list(seen.box),
        "stroke": round(seen.stroke, 2),
        "polarity": seen.polarity,
    }


def _classes(ranking: Ranking) -> list[dict[str, Any]]:
    return [
        {"name": shown(one.name), "probability": one.probability, "score": one.score}
        for one in ranking.classes
    ]
