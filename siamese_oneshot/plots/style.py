"""The style of all plots: a color-blind safe palette, and helpers for figures and images."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
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


def new_sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one axes all over it, in inches from the top left, for `place_image`.

    Axes of their own for many images take ten times as long to make, to lay out and to draw.
    """
    figure = new_figure(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_autoscale_on(False)
    return figure, axes


def place_image(
    axes: Axes,
    image: Tensor,
    box: tuple[float, float, float, float],
    title: str,
    color: str = "black",
    *,
    edge: str | None = None,
    linewidth: float = 1.8,
    size: float = 10,
) -> None:
    """Put an image as of `show_image` on a sheet, framed, below its title.

    Args:
        axes: Of the sheet.
        image: uint8 ``(height, width)``.
        box: Left, top, width and height, in whose middle the image stands as large as it can.
        title: Text above the image.
        color: Of the title.
        edge: Color of the frame; None for that of the title.
        linewidth: Of the frame.
        size: Of the title, in points.
    """
    from matplotlib.patches import Rectangle

    left, top, width, height = box
    scale = min(width / image.shape[1], height / image.shape[0])
    wide, high = scale * image.shape[1], scale * image.shape[0]
    left, top = left + (width - wide) / 2, top + (height - high) / 2
    extent = (left, left + wide, top + high, top)
    look: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
    axes.imshow(255 - image.numpy(), extent=extent, aspect="auto", **look)
    look = {"fill": False, "color": edge or color, "linewidth": linewidth}
    axes.add_patch(Rectangle((left, top), wide, high, **look))
    look = {"ha": "center", "va": "bottom", "fontsize": size, "color": color}
    axes.text(left + wide / 2, top - 0.05, title, **look)


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
