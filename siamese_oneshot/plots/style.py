"""One look for all images: colors that the color-blind tell apart, and nothing superfluous."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from siamese_oneshot.utils.io import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

# Okabe and Ito's palette, less its yellow, which thin lines on white do not show.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#000000"
LINES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
GRAY = "#777777"
DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches; pyplot's global state is left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def heading(figure: FigureBase, text: str, width: float, size: float = 12) -> None:
    """A title over a figure, broken into lines that fit.

    Args:
        figure: or a part of one.
        text: its own line breaks are kept.
        width: of the figure in inches.
        size: of the letters in points; a letter is 0.54 of that wide on average.
    """
    letters = max(1, int(width * 72 / (0.54 * size)))
    lines = [textwrap.fill(line, letters) for line in text.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=size)


def readable(name: str) -> str:
    """A name of Omniglot's for people: ``Old_Church_Slavonic_(Cyrillic)`` with spaces."""
    return name.replace("_", " ")


def show_image(axes: Axes, image: Tensor) -> None:
    """Black ink on white paper, without an axis.

    Args:
        axes: where.
        image: uint8 ``(height, width)``: 255 ink.
    """
    axes.imshow(255 - image.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    frame(axes, "#cccccc", 0.6)


def frame(axes: Axes, color: str, width: float) -> None:
    """A frame around a cell."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=color, linewidth=width)


def bare(axes: Axes) -> None:
    """A chart without the box around it."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path, dpi: float = DPI) -> None:
    """Write a PNG of ``dpi`` pixels an inch, whole or not at all.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    options: dict[str, Any] = {"format": "png", "dpi": dpi, "facecolor": "white"}
    with whole_file(path) as file:
        figure.savefig(file, **options)
