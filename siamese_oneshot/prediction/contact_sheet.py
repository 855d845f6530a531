"""The contact sheet: every image as it was given, beside what the network sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from siamese_oneshot.data.image_folder.image_input import THUMBNAIL, ImageInput
from siamese_oneshot.prediction.record import shown
from siamese_oneshot.prediction.results import Outcome
from siamese_oneshot.utils.io import whole_file

_MOST = 120  # images of each kind: with more, the sheet could hardly be opened
_COLUMNS = 6
_GAP = 4  # between the two views
_WIDTH = 2 * THUMBNAIL + _GAP
_HEIGHT = THUMBNAIL + 38  # with two lines of text
_MARGIN = 14
_HEAD = 40  # of a section
_GREEN, _RED, _GRAY, _BLACK = "#176b2c", "#b3261e", "#5f6368", "#202124"


@dataclass(frozen=True)
class Tile:
    """An image with two lines of text.

    Attributes:
        given: the image.
        lines: under it.
        color: of the second line.
    """

    given: ImageInput
    lines: tuple[str, str]
    color: str = _GRAY


def write_sheet(outcome: Outcome, path: Path) -> None:
    """Write the supports and the queries as PNG, at most 120 of each."""
    supports = [
        Tile(given, (name or "", given.path.name if given.path else ""))
        for name, given in outcome.supports.images
    ]
    marks = {True: ("✓ ", _GREEN), False: ("✗ ", _RED), None: ("", _BLACK)}
    queries = []
    for prediction, expected, right, verdict in zip(
        outcome.predictions, outcome.expected, outcome.right, outcome.verdicts, strict=True
    ):
        mark, color = marks[right]
        best = f"{mark}{prediction.best.name} {100 * prediction.best.probability:.0f}% {verdict}"
        name = prediction.path.name if prediction.path else ""
        name = name if expected is None else f"{expected}/{name}"
        queries.append(Tile(prediction.given, (name, best), color))
    size = outcome.classifier.trained.size
    views = f"left: as given; right: what the network sees ({size}×{size})"
    sections = [(f"Supports: {len(supports)}; {views}", supports)]
    sections.append((f"Queries: {len(queries)}; with the best class of each", queries))
    seen = [
        [image.numpy() for image in outcome.classifier.seen(_images(tiles)).pixels]
        for _, tiles in sections
    ]
    with whole_file(path) as file:
        draw_sheet(sections, seen).save(file, "PNG")


def draw_sheet(
    sections: Sequence[tuple[str, Sequence[Tile]]], seen: Sequence[Sequence[NDArray[np.uint8]]]
) -> Image.Image:
    """Draw tiles in rows, a section after the other.

    Args:
        sections: a title and tiles each; tiles after the 120th are only counted.
        seen: what the network sees of each tile's image: uint8 ``(size, size)``, 255 ink.
    """
    rows = [-(-min(len(tiles), _MOST) // _COLUMNS) for _, tiles in sections]
    width = _MARGIN + _COLUMNS * (_WIDTH + _MARGIN)
    height = _MARGIN + sum(_HEAD + count * (_HEIGHT + _MARGIN) for count in rows)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    large, small = _font(17), _font(13)
    top = _MARGIN
    for (title, tiles), count, views in zip(sections, rows, seen, strict=True):
        more = f" (the first {_MOST} of them are here)" if len(tiles) > _MOST else ""
        draw.text((_MARGIN, top + 6), title + more, _BLACK, large)
        top += _HEAD
        for number, (tile, view) in enumerate(zip(tiles[:_MOST], views, strict=False)):
            row, column = divmod(number, _COLUMNS)
            left, upper = _MARGIN + column * (_WIDTH + _MARGIN), top + row * (_HEIGHT + _MARGIN)
            for place, image in enumerate((_as_given(tile.given), _as_seen(view))):
                across = left + place * (THUMBNAIL + _GAP)
                sheet.paste(image, (across, upper))
                frame = (across - 1, upper - 1, across + THUMBNAIL, upper + THUMBNAIL)
                draw.rectangle(frame, outline="#bdc1c6")
            for line, (text, color) in enumerate(
                zip(tile.lines, (_BLACK, tile.color), strict=True)
            ):
                below = upper + THUMBNAIL + 3 + 17 * line
                draw.text((left, below), _fitting(text, small), color, small)
        top += count * (_HEIGHT + _MARGIN)
    return sheet


def _images(tiles: Sequence[Tile]) -> list[ImageInput]:
    return [tile.given for tile in tiles[:_MOST]]


def _as_given(given: ImageInput) -> Image.Image:
    """In the middle of a square; transparency shows a chequered ground."""
    rows, columns = np.indices((THUMBNAIL, THUMBNAIL)) // 7
    ground = np.where((rows + columns) % 2, 255, 222).astype(np.uint8)
    square = Image.fromarray(ground).convert("RGB")
    image = given.thumbnail
    zoom = max(1, THUMBNAIL // max(image.size))
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BOX)
    place = ((THUMBNAIL - image.width) // 2, (THUMBNAIL - image.height) // 2)
    if (
        image.getchannel("A").getextrema()[0] == 255
    ):  # no transparency, so the ground has no meaning
        square.paste("#f1f3f4", (0, 0, THUMBNAIL, THUMBNAIL))
    square.paste(image, place, image)
    return square


def _as_seen(view: NDArray[np.uint8]) -> Image.Image:
    """Black ink on white."""
    image = Image.fromarray(255 - view)
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).convert("RGB")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """One that has Greek, Cyrillic, Hebrew and Arabic letters, too."""
    import matplotlib  # here, as it is slow to load

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size
    )


def _fitting(text: str, font: ImageFont.FreeTypeFont) -> str:
    """With an ellipsis in the middle where it is too long."""
    whole = " ".join(shown(text).split())
    kept = whole
    while font.getlength(kept) > _WIDTH:
        half = (len(kept) - 2) // 2
        kept = f"{whole[:half]}…{whole[-half:]}"
    return kept
