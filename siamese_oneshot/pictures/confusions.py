"""The classes that are taken for each other most often, in several hands each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.confusion import confusions
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.pictures.sheets import tiled
from siamese_oneshot.pictures.style import frame, heading, new_figure, readable, show_drawing
from siamese_oneshot.pictures.trials import tally

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 6  # pixels between two drawings
_WIDTH = 11.0  # inches


def draw_confusions(
    drawings: Drawings, answered: Answered, count: int = 16, each: int = 6
) -> Figure:
    """A row for every two classes, the most often mixed up first: drawings of either side by side.

    Args:
        drawings: the pictures that the trials speak of.
        answered: a list of trials and how it was answered.
        count: at most so many rows.
        each: drawings of a class, or all it has.
    """
    shown, title = confusions(answered, drawings.classes)[:count], tally(answered)
    if not shown:
        figure = new_figure(_WIDTH, 0.9)
        heading(figure, f"{title}; nothing was mixed up", _WIDTH)
        return figure
    figure = new_figure(_WIDTH, 0.9 + 0.95 * len(shown))
    heading(figure, f"{title}; the classes most often taken for each other", _WIDTH)
    cells = figure.subplots(len(shown), 2, squeeze=False)
    for row, one in zip(cells, shown, strict=True):
        for axes, number in zip(row, (one.one, one.other), strict=True):
            positions = (drawings.classes == number).nonzero().flatten()[:each]
            sheet = tiled(drawings.pixels[positions].float(), each, _GAP)
            show_drawing(axes, sheet.nan_to_num(0).byte())
            frame(axes, "white", 0)
            axes.set_title(readable(drawings.class_names[number]), fontsize=8, pad=2)
        words = f"{one.times} of\n{one.chances}"
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=10)
    return figure
