"""Predictions for a folder of queries: accuracy and caveats, table, CSV, JSON, contact sheet."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from siamese_oneshot.classifier import OneShotClassifier, Prediction
from siamese_oneshot.data.image_input import (
    THUMBNAIL,
    ImageError,
    ImageInput,
    list_errors,
)
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.utils.tables import Table, terminal_width, text_of
from siamese_oneshot.utils.text import duration, near, path_text, printable, spreadsheet_cell

_MAX_ROWS = 60  # of the table in the terminal
_MIN_PROBABILITY = 0.005  # of the classes after the best in the table
_COLUMNS = ("query", "expected", "verdict", "rank", "class", "probability", "score")
_MARKS = {True: "✓", False: "✗", None: ""}
_WORDS = {True: "right", False: "wrong", None: ""}  # every terminal has these letters

_MAX_TILES = 120  # of supports and of queries on a contact sheet
_TILES_PER_ROW = 6
_GAP = 4  # between the two images of a tile
_WIDTH = 2 * THUMBNAIL + _GAP
_HEIGHT = THUMBNAIL + 38  # with two lines of text
_MARGIN = 14
_TITLE = 40  # height of a section's title
_BLACK, _GRAY = "#202124", "#5f6368"
_COLORS = {True: "#176b2c", False: "#b3261e", None: _BLACK}


@dataclass(frozen=True, eq=False)
class Answer:
    """The prediction for a query."""

    prediction: Prediction
    label: str | None  # name of the query's folder; None in the folder of all queries
    is_class: bool  # whether the label names a class, which is then the expected one
    repeated: bool  # whether the query is the same image as a support

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
    """The predictions for a folder of queries."""

    classifier: OneShotClassifier
    supports: Sequence[tuple[str, ImageInput]]  # class and image of each
    answers: Sequence[Answer]  # one per query
    skipped: Sequence[ImageError]  # of supports and queries
    settings: dict[str, Any]  # the arguments of `predict`

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
        inputs = [image for _, image in self.supports]
        owners: dict[bytes, set[str]] = defaultdict(set)
        for name, image in self.supports:
            owners[image.digest].add(name)
        if shared := [" = ".join(sorted(names)) for names in owners.values() if len(names) > 1]:
            notes.append(f"The same image is a support of several classes: {_some(shared)}.")
        by_note: dict[str, list[object]] = defaultdict(list)
        images = dict.fromkeys([*inputs, *(one.prediction.image for one in self.answers)])
        for image in images:
            taken = [
                f"taken out (see normalized.png), as it is no stroke: {part}"
                for part in image.normalized.removed
            ]
            for note in (*image.notes, *taken):
                by_note[note].append(image.path)
        unknown, n = sum(one.prediction.known is False for one in self.answers), len(self.answers)
        if 2 * unknown > n:
            notes.append(
                f"{unknown} of {n} unknown: look at normalized.png, what the network sees."
            )
        notes += [f"{note[0].upper()}{note[1:]}: {_some(p)}." for note, p in by_note.items()]
        others = sorted({one.label for one in self.answers if one.label and not one.is_class})
        if others and self.accuracy is not None:
            notes.append(f"Queries in folders that name no class are not counted: {_some(others)}.")
        return notes


def _some(names: Sequence[object]) -> str:
    """The first five."""
    return ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")


def write_results(results: PredictionResults, top_k: int, folder: Path) -> None:
    """Write ``predictions.csv``, ``predictions.json`` and ``normalized.png``."""
    with open(folder / "predictions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for answer in results.answers:
            start = [_cell(answer.path), _cell(answer.expected or ""), answer.verdict]
            for rank, one in enumerate(answer.prediction.classes[:top_k], 1):
                writer.writerow([*start, rank, _cell(one.name), one.probability, one.score])
    content = json.dumps(as_json(results, top_k), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "predictions.json").write_text(path_text(content), encoding="utf-8")
    contact_sheet(results).save(folder / "normalized.png", "PNG")


def print_results(results: PredictionResults, top_k: int, folder: Path, seconds: float) -> None:
    """Print the table, accuracy, notes, skipped images and where the files are."""
    table = as_table(results, top_k)
    parts: list[Table | str] = [table if table.fits(terminal_width()) else as_table(results, 1)]
    accuracy = results.accuracy
    if accuracy is not None:
        value, low, high = (100 * accuracy[key] for key in ("value", "low", "high"))
        share = f"{accuracy['correct']} of {accuracy['n']}"
        parts.append(
            f"Accuracy: {value:.1f}% ({share} correct, 95% interval {low:.1f}-{high:.1f}%)"
        )
    parts += [f"note: {printable(note)}" for note in results.notes]
    if results.skipped:
        parts.append(f"Skipped {len(results.skipped)}:\n{list_errors(results.skipped)}")
    parts.append(
        "predictions.csv, predictions.json and normalized.png (what the network sees):\n"
        f"{printable(near(folder))}; {duration(seconds)}"
    )
    print(text_of(*parts))


def as_table(results: PredictionResults, top_k: int) -> Table:
    """The best classes of each query."""
    labeled = any(answer.is_class for answer in results.answers)
    n_queries, n_classes = len(results.answers), len(results.classifier.classes)
    threshold = results.classifier.reject_threshold
    table = Table(
        f"{n_queries:,} {'query' if n_queries == 1 else 'queries'}, "
        f"{n_classes:,} {'class' if n_classes == 1 else 'classes'}, "
        f"network {results.classifier.model.name}",
        ["query", *(["expected", ""] if labeled else []), "class", ">probability", ">score",
         "verdict", *(["then"] if top_k > 1 else [])],
        note="score: the network's logit"
        + ("" if threshold is None else f", known above {threshold:.2f}")
        + "; probability: if the query shows one of the classes"
        + ("" if results.classifier.model.temperature else ", not calibrated"),
    )  # fmt: skip
    root = Path(results.settings["query"]).expanduser()
    for answer in results.answers[:_MAX_ROWS]:
        path = answer.path
        name = path.name if path == root else path.relative_to(root)
        truth = [answer.expected or "–", _WORDS[answer.right]] if labeled else []
        best, *others = answer.prediction.classes[:top_k]
        then = ", ".join(
            f"{one.name} {percent(one.probability)}"
            for one in others
            if one.probability >= _MIN_PROBABILITY
        )
        cells = [best.name, percent(best.probability), f"{best.score:.2f}"]
        row = [str(name), *truth, *cells, answer.verdict or "–", then]
        table.add(*row[: len(table.headings)])
    if n_queries > _MAX_ROWS:
        table.note += f"; {n_queries - _MAX_ROWS} more queries are in predictions.csv"
    return table


def percent(probability: float) -> str:
    """A probability in %; no rounding makes it certain."""
    if 0.9995 <= probability < 1:
        return ">99.9%"
    return "<0.1%" if 0 < probability < 0.0005 else f"{100 * probability:.1f}%"


def as_json(results: PredictionResults, top_k: int) -> dict[str, Any]:
    """Settings, network, supports, the best scores of all queries, and what was skipped."""
    model = results.classifier.model
    return {
        "settings": results.settings,
        "network": {
            "name": model.name,
            "parameters": model.parameters,
            "size": model.size,
            "metadata": model.metadata,
        },
        "reject_threshold": results.classifier.reject_threshold,
        "temperature": model.temperature,
        "classes": results.classifier.classes,
        "supports": [{"class": name, **_image_json(image)} for name, image in results.supports],
        "queries": [
            {
                **_image_json(answer.prediction.image),
                "expected": answer.expected,
                "right": answer.right,
                "known": answer.prediction.known,
                "also_support": answer.repeated,
                "classes": [asdict(one) for one in answer.prediction.classes[:top_k]],
            }
            for answer in results.answers
        ],
        "accuracy": results.accuracy,
        "notes": results.notes,
        "skipped": [{"path": str(one.path), "why": one.reason} for one in results.skipped],
    }


def _image_json(image: ImageInput) -> dict[str, Any]:
    found = image.normalized
    return {
        "path": str(image.path),
        "box": found.box,
        "stroke": round(found.stroke, 2),
        "polarity": found.polarity,
        "notes": image.notes,
        "removed": found.removed,
    }


def _cell(text: str | Path) -> str:
    return spreadsheet_cell(path_text(text))


@dataclass(frozen=True)
class Tile:
    """An image on a contact sheet with two lines of text below; the second has a color."""

    image: ImageInput
    lines: tuple[str, str]
    color: str = _GRAY


def contact_sheet(results: PredictionResults) -> Image.Image:
    """Draw the supports and the queries as they are and as the network sees them."""
    supports = [
        Tile(image, (name, _without(image) or (image.path.name if image.path else "")))
        for name, image in results.supports
    ]
    queries = []
    for answer in results.answers:
        best = answer.prediction.best
        image = answer.prediction.image
        name = "/".join(part for part in (answer.expected, answer.path.name) if part)
        name += " *" if _without(image) else ""
        text = f"{_MARKS[answer.right]} {best.name} {percent(best.probability)} {answer.verdict}"
        queries.append(Tile(image, (name, text), _COLORS[answer.right]))
    size, seen = results.classifier.model.size, results.classifier.network_input
    sections = {
        f"Supports: {len(supports)}; left: original; right: what the network sees "
        f"({size}×{size})": supports,
        f"Queries: {len(queries)}; with the best class of each; *: without a frame, a table, "
        "a shadow or lines": queries,
    }
    views = [
        seen([tile.image for tile in tiles[:_MAX_TILES]]).numpy() for tiles in sections.values()
    ]
    return draw_sheet(list(sections.items()), views)


def _without(image: ImageInput) -> str:
    """What was taken out of an image."""
    removed = image.normalized.removed
    return f"without {' and '.join(removed)}" if removed else ""


def draw_sheet(
    sections: Sequence[tuple[str, Sequence[Tile]]], views: Sequence[Iterable[NDArray[np.uint8]]]
) -> Image.Image:
    """Draw tiles in rows, one section below the other.

    Args:
        sections: Title and tiles of each; tiles after the 120th are not drawn.
        views: What the network sees of each tile: uint8 ``(size, size)``, 255 for strokes.
    """
    n_rows = [-(-min(len(tiles), _MAX_TILES) // _TILES_PER_ROW) for _, tiles in sections]
    width = _MARGIN + _TILES_PER_ROW * (_WIDTH + _MARGIN)
    height = _MARGIN + sum(_TITLE + rows * (_HEIGHT + _MARGIN) for rows in n_rows)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = _font(17), _font(13)
    top = _MARGIN
    for (title, tiles), rows, images in zip(sections, n_rows, views, strict=True):
        more = f" (the first {_MAX_TILES} are shown)" if len(tiles) > _MAX_TILES else ""
        draw.text((_MARGIN, top + 6), title + more, _BLACK, large)
        top += _TITLE
        for index, (tile, view) in enumerate(zip(tiles[:_MAX_TILES], images, strict=False)):
            row, column = divmod(index, _TILES_PER_ROW)
            left, upper = _MARGIN + column * (_WIDTH + _MARGIN), top + row * (_HEIGHT + _MARGIN)
            seen = Image.fromarray(255 - view).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
            for x, image in ((left, _square(tile.image)), (left + THUMBNAIL + _GAP, seen)):
                sheet.paste(image, (x, upper))
                frame = (x - 1, upper - 1, x + THUMBNAIL, upper + THUMBNAIL)
                draw.rectangle(frame, outline="#bdc1c6")
            for line, color in enumerate((_BLACK, tile.color)):
                text = _fit(tile.lines[line], small)
                draw.text((left, upper + THUMBNAIL + 3 + 17 * line), text, color, small)
        top += rows * (_HEIGHT + _MARGIN)
    return sheet


def _square(image: ImageInput) -> Image.Image:
    """The thumbnail in the middle of a square, which is gray where nothing is."""
    fitted = ImageOps.pad(image.thumbnail, (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    square = Image.new("RGB", fitted.size, "#dee1e6")
    square.paste(fitted, mask=fitted)
    return square


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has Greek, Cyrillic, Hebrew and Arabic letters, too."""
    found = find_spec("matplotlib")  # its font is there without importing it
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def _fit(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Put an ellipsis into the middle of a text that is too long."""
    full = " ".join(printable(text).split())
    fitted, half = full, len(full) // 2
    while font.getlength(fitted) > _WIDTH:
        half -= 1
        fitted = f"{full[:half]}…{full[-half:]}"
    return fitted
