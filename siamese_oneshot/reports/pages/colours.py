"""Colours of the charts, each for a light page and a dark one.

Charts are drawn in the light ones; the page's script puts the dark ones in their place where the
reader wants a dark page. Lines of curves, marks and axes have a contrast of 3 to 1 and more against
their page, texts of 7 to 1 (tests/reporting/test_pages_parts.py); the grid is meant to be fainter.
"""

from __future__ import annotations

PAGE = ("#ffffff", "#14171c")
TEXT = ("#1c1f23", "#e7eaee")
GRID = ("#e4e6e9", "#30353d")
AXIS = ("#8a9099", "#777f8a")
# Blue and orange first: the color-blind tell them apart, and so a few more with the dashes.
LINES = (
    ("#0068a3", "#5cb8f0"),
    ("#b45309", "#f0a63a"),
    ("#00735a", "#35c79b"),
    ("#b3261e", "#ff8a7a"),
    ("#7b3fa0", "#cf9fee"),
    ("#5f6670", "#aab2bd"),
    ("#0f7a85", "#4fd0dd"),
    ("#8a5a00", "#dcc069"),
)
DASHES = ("solid", "dashed", "dotted")
# From low to high: dark means high on a light page, bright means high on a dark one.
RAMP = (
    ("#7f8fa9", "#5a6b8c"),
    ("#6f86b0", "#5f7ba8"),
    ("#5d7cb6", "#648cc2"),
    ("#4a71b9", "#6b9dd8"),
    ("#3665b8", "#74b0e6"),
    ("#2458ad", "#80c1ee"),
    ("#164b9c", "#92d1f3"),
    ("#0d3e87", "#a8dff6"),
    ("#083170", "#c1ecfa"),
    ("#042559", "#dcf7ff"),
)
BEST = ("#b45309", "#f0a63a")


def dark_of_light() -> dict[str, str]:
    """What the script puts for what.

    Raises:
        ValueError: one light color has two dark ones.
    """
    pairs = (PAGE, TEXT, GRID, AXIS, *LINES, *RAMP, BEST)
    table = dict(pairs)
    if any(table[light] != dark for light, dark in pairs):
        raise ValueError("one light color has two dark ones")
    return table


def style_of(number: int) -> tuple[str, str]:
    """Colour and dash of the line of that number: as many differ as there are of both."""
    return LINES[number % len(LINES)][0], DASHES[number // len(LINES) % len(DASHES)]


def on_ramp(share: float) -> str:
    """The color of a place between low (0) and high (1)."""
    return RAMP[round(min(1.0, max(0.0, share)) * (len(RAMP) - 1))][0]
