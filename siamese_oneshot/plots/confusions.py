"""The classes that are taken for each other most often, in several hands each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.confusions import confusions
from siamese_oneshot.evaluation.results import EpisodeResults
from siamese_oneshot.plots.episodes import tally
from siamese_oneshot.plots.montage import tiled
from siamese_oneshot.plots.style import frame, heading, new_figure, readable, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 6  # pixels between two images
_WIDTH = 11.0  # inches


def draw_confusions(
    dataset: CharacterDataset, results: EpisodeResults, count: int = 16, each: int = 6
) -> Figure:
    """A row for every two classes, the most often mixed up first: images of either side by side.

    Args:
        images: the images that the episodes speak of.
        answered: a list of episodes and how it was answered.
        count: at most so many rows.
        each: images of a class, or all it has.
    """
    shown, title = confusions(results, dataset.classes)[:count], tally(results)
    if not shown:
        figure = new_figure(_WIDTH, 0.9)
        heading(figure, f"{title}; nothing was mixed up", _WIDTH)
        return figure
    figure = new_figure(_WIDTH, 0.9 + 0.95 * len(shown))
    heading(figure, f"{title}; the classes most often taken for each other", _WIDTH)
    cells = figure.subplots(len(shown), 2, squeeze=False)
    for row, one in zip(cells, shown, strict=True):
        for axes, number in zip(row, (one.one, one.other), strict=True):
            indices = (dataset.classes == number).nonzero().flatten()[:each]
            sheet = tiled(dataset.pixels[indices].float(), each, _GAP)
            show_image(axes, sheet.nan_to_num(0).byte())
            frame(axes, "white", 0)
            axes.set_title(readable(dataset.class_names[number]), fontsize=8, pad=2)
        words = f"{one.times} of\n{one.chances}"
        row[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=10)
    return figure
