"""The contact sheet shows each image beside what the network sees, in rows that fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageChops

from siamese_oneshot.data.image_input import THUMBNAIL, ImageInput, read_input
from siamese_oneshot.prediction.output import Tile, draw_sheet

COLUMNS, GAP, MARGIN, HEAD = 6, 4, 14, 40
WIDE, HIGH = 2 * THUMBNAIL + GAP + MARGIN, THUMBNAIL + 38 + MARGIN


def given(mode: str = "RGB") -> ImageInput:
    """Dark red, with a black bar; or a bar on nothing."""
    image = Image.new("RGBA", (60, 30), (120, 0, 0, 255) if mode == "RGB" else (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (10, 13, 50, 17))
    return read_input(image)


def view(row: int) -> np.ndarray:
    """Ink in one row of seven."""
    seen = np.zeros((7, 7), np.uint8)
    seen[row] = 255
    return seen


def test_both_views_stand_side_by_side() -> None:
    tiles = [Tile(given(), ("a", "b"), "#ff0000")] * 7
    sheet = draw_sheet([("first", tiles), ("second", tiles[:1])], [[view(2)] * 7, [view(5)]])
    assert sheet.size == (MARGIN + COLUMNS * WIDE, MARGIN + 2 * HEAD + 3 * HIGH)
    for column, row, heads, ink in ((0, 0, 1, 2), (5, 0, 1, 2), (0, 1, 1, 2), (0, 2, 2, 5)):
        left, top = MARGIN + column * WIDE, MARGIN + heads * HEAD + row * HIGH
        whole = sheet.crop((left, top, left + THUMBNAIL, top + THUMBNAIL))
        assert whole.getpixel((52, 45)) == (120, 0, 0)  # enlarged by a whole number
        assert whole.getpixel((52, 52)) == (0, 0, 0)
        across = left + THUMBNAIL + GAP
        seen = np.asarray(sheet.crop((across, top, across + THUMBNAIL, top + THUMBNAIL)))
        dark = (seen == 0).all((1, 2))
        assert dark.tolist() == [ink * 15 <= y < (ink + 1) * 15 for y in range(THUMBNAIL)]
    empty = sheet.crop((MARGIN + WIDE, MARGIN + HEAD + HIGH, sheet.width, MARGIN + HEAD + 2 * HIGH))
    assert empty.getextrema() == ((255, 255),) * 3


def test_transparency_shows_as_gray() -> None:
    sheet = draw_sheet([("t", [Tile(given("RGBA"), ("", ""))])], [[view(0)]])
    square = sheet.crop((MARGIN, MARGIN + HEAD, MARGIN + THUMBNAIL, MARGIN + HEAD + THUMBNAIL))
    colors = {color for _, color in square.getcolors() or []}
    assert colors == {(0, 0, 0), (222, 225, 230)}


@pytest.mark.parametrize("text", ["a very long name " * 9, "β" * 200, "two\nlines", "\udcff", "א"])
def test_text_stays_under_its_images(text: str) -> None:
    tile = Tile(given(), (text, "second line"), "#00ff00")
    blank = Tile(given(), ("", "second line"), "#00ff00")
    sheets = [draw_sheet([("t", [one])], [[view(1)]]) for one in (tile, blank)]
    box = ImageChops.difference(*sheets).getbbox()
    assert box is not None, "nothing is written"
    top = MARGIN + HEAD + THUMBNAIL
    assert box[0] >= MARGIN - 2
    assert box[2] <= MARGIN + 2 * THUMBNAIL + GAP + 2
    assert box[1] >= top
    assert box[3] <= top + 38


def test_a_sheet_does_not_grow_without_end() -> None:
    tile = Tile(given(), ("a", "b"))
    sheet = draw_sheet([("t", [tile] * 500)], [[view(1)] * 120])
    assert sheet.height == MARGIN + HEAD + 20 * HIGH
