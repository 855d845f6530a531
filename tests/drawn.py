"""Symbols that a real mouse draws on a page of the package."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strokes = Sequence[Sequence[tuple[float, float]]]
SYMBOLS: dict[str, Strokes] = {  # in pixels of the canvas
    "tee": [[(60, 60), (220, 60)], [(140, 60), (140, 220)]],
    "ring": [[(140 + 80 * math.cos(t / 6), 140 + 80 * math.sin(t / 6)) for t in range(39)]],
    "zigzag": [[(50, 60), (110, 220), (170, 60), (230, 220)]],
    "cross": [[(60, 60), (220, 220)], [(220, 60), (60, 220)]],
    "stairs": [[(60, 60), (140, 60), (140, 140), (220, 140), (220, 220)]],
}


def problems_of(page: Any) -> list[str]:
    """Errors and warnings of a browser's page, also those to come."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda one: problems.append(one.text) if one.type in ("error", "warning") else None,
    )
    return problems


@contextmanager
def opened(browser: Any, url: str, offline: bool) -> Iterator[Any]:
    """A page that has loaded its network, without errors and without any other host."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, offline=offline)
    page = context.new_page()
    problems = problems_of(page)
    page.on(
        "request",
        lambda one: one.url.startswith((url, "data:", "blob:")) or problems.append(one.url),
    )
    page.goto(url)
    page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
    yield page
    assert problems == []
    context.close()


def draw(page: Any, canvas: str, strokes: Strokes, shift: float = 0, zoom: float = 1) -> None:
    """Draw with the mouse, moved to the right and zoomed about the middle of the canvas."""
    page.locator(canvas).scroll_into_view_if_needed()
    box = page.locator(canvas).bounding_box()
    x, y = box["x"] + 140 + shift, box["y"] + 140
    for stroke in strokes:
        points = [(x + (a - 140) * zoom, y + (b - 140) * zoom) for a, b in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()


def shows(page: Any, selector: str, text: str) -> None:
    """Wait for a text; the page's policy refuses `wait_for_function`, which evaluates a string."""
    page.locator(selector, has_text=text).wait_for(timeout=60_000)


def strokes_of(page: Any, canvas: str) -> tuple[NDArray[np.uint8], bytes]:
    """What was drawn, as the page's own script normalizes it: uint8 ``(105, 105)``; and as PNG."""
    pixels = page.evaluate(f"[...normalized({canvas}.strokes)]")
    png = base64.b64decode(page.evaluate(f"{canvas}.drawing.url").partition(",")[2])
    return np.array(pixels, np.uint8).reshape(105, 105), png
