"""One look for all pictures: colours that the colour-blind tell apart, and nothing superfluous."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from siamese_oneshot.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
LINES = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", "#000000")
GREY = "#777777"
DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches; pyplot's global state is left alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def show_drawing(axes: Axes, picture: Tensor) -> None:
    """Black ink on white paper, without an axis.

    Args:
        axes: where.
        picture: uint8 ``(height, width)``: 255 ink.
    """
    axes.imshow(255 - picture.numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    frame(axes, "#cccccc", 0.6)


def frame(axes: Axes, colour: str, width: float) -> None:
    """A frame around a cell."""
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=width)


def bare(axes: Axes) -> None:
    """A chart without the box around it."""
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    options: dict[str, Any] = {"format": "png", "dpi": DPI, "facecolor": "white"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        figure.savefig(file, **options)
