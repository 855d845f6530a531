"""The style of all plots: a color-blind safe palette, and helpers for figures and images."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from siamese_oneshot.utils.io import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without yellow, which is invisible in thin lines on white.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#000000"
LINES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
GRAY = "#777777"
DPI = 130


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """A figure of a size in inches, outside pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout=layout)  # type: ignore[arg-type]


def fixed_grid(
    figure: Figure, rows: int, columns: int, margins: Sequence[float], gaps: tuple[float, float]
) -> NDArray[Any]:
    """Axes ``(rows, columns)`` at fixed places in a figure without a layout.

    Measuring the texts of many axes takes as long as drawing them.

    Args:
        figure: The figure.
        rows, columns: Of axes.
        margins: Inches at the left, right, bottom and top.
        gaps: Inches between two columns and between two rows.
    """
    width, height = figure.get_size_inches()
    left, right, bottom, top = margins
    wide = (width - left - right - (columns - 1) * gaps[0]) / columns
    high = (height - bottom - top - (rows - 1) * gaps[1]) / rows
    where = {"left": left / width, "right": 1 - right / width, "bottom": bottom / height}
    where |= {"top": 1 - top / height, "wspace": gaps[0] / wide, "hspace": gaps[1] / high}
    return figure.subplots(rows, columns, squeeze=False, gridspec_kw=where)


def heading(figure: Figure, text: str, width: float, size: float = 12) -> None:
    """Set a title of ``size`` points, wrapped to ``width`` inches."""
    placed = figure.get_layout_engine() is not None
    at: dict[str, Any] = {} if placed else {"y": 1 - 0.08 / figure.get_figheight()}
    figure.suptitle(wrapped(text, width, size), fontsize=size, **at)


def describe(figure: Figure, text: str) -> Figure:
    """Set the caption that stands below the figure on a page; `save` keeps it in the PNG."""
    figure.set_label(text)
    return figure


def wrapped(text: str, width: float, size: float) -> str:
    """Wrap a text of ``size`` points to ``width`` inches; its own line breaks are kept."""
    letters = max(1, int(width * 72 / (0.54 * size)))  # 0.54 of the size wide on average
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def readable(name: str) -> str:
    """A class or alphabet name with spaces for underscores."""
    return name.replace("_", " ")


def show_image(axes: Axes, image: Tensor) -> None:
    """Show a uint8 ``(height, width)`` image, foreground 255, as black on white without axes."""
    axes.imshow(255 - image.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_visible(False)  # which the layout then need not measure
    frame(axes, "#cccccc", 0.6)


def frame(axes: Axes, color: str, width: float) -> None:
    """Draw a frame around an image."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=color, linewidth=width)


def bare(axes: Axes) -> None:
    """Hide the top and right spines of a chart."""
    axes.spines[["top", "right"]].set_visible(False)


def tiled(images: Tensor, columns: int, gap: int) -> Tensor:
    """Arrange images in a grid with NaN gaps; one grid is drawn faster than many axes.

    Args:
        images: float ``(n, height, width)``.
        columns: Images per row.
        gap: Pixels between two images.

    Returns:
        float ``(rows * (height + gap) - gap, columns * (width + gap) - gap)``.
    """
    count, height, width = images.shape
    rows = math.ceil(count / columns)
    cells = images.new_full((rows * columns, height + gap, width + gap), torch.nan)
    cells[:count, :height, :width] = images
    grid = cells.unflatten(0, (rows, columns)).transpose(1, 2).flatten(2).flatten(0, 1)
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def save(figure: Figure, path: Path, dpi: float = DPI) -> None:
    """Write a figure with its caption as PNG, atomically.

    Raises:
        OSError: If the disk is full or the folder closed.
    """
    about = {"Description": str(figure.get_label())}
    figure.dpi = dpi
    if (layout := figure.get_layout_engine()) is not None:  # else savefig draws twice to lay it out
        layout.execute(figure)
        figure.set_layout_engine(None)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=dpi, facecolor="white", metadata=about)
