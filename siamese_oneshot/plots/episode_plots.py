"""Plots of episodes: one episode with its scores, the worst mistakes, and confused classes."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.evaluator import EpisodeResults, confusions
from siamese_oneshot.plots.style import (
    BLUE,
    GREEN,
    RED,
    frame,
    heading,
    new_figure,
    readable,
    show_image,
    tiled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUPS, _GROUP_WIDTH = 3, 4.2  # mistakes side by side, inches of each
_WIDTH, _GAP = 11.0, 6  # of the confusions: inches, and pixels between two images


def draw_episode(dataset: CharacterDataset, results: EpisodeResults, index: int) -> Figure:
    """The query and the support set of episode ``index`` with scores, as the paper's figure 1."""
    episodes = results.task.episodes
    way, columns = episodes.way, min(episodes.way, 5 if episodes.way <= 20 else 6)
    rows = math.ceil(way / columns)
    width = 2.4 + 1.25 * columns
    figure = new_figure(width, 0.9 + 1.45 * max(rows, 1.5))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.7, columns])[0]
    query = int(episodes.queries[index])
    pick, answer = int(results.picks[index]), int(episodes.answers[index])
    axes = left.subplots()
    show_image(axes, dataset.pixels[query])
    frame(axes, BLUE, 2.5)
    axes.set_title("query", fontsize=11, color=BLUE)
    cells = right.subplots(rows, columns, squeeze=False).flatten()
    for number, cell in enumerate(cells):
        if number >= way:
            cell.set_axis_off()
            continue
        show_image(cell, dataset.pixels[int(episodes.supports[index, number, 0])])
        score, label, color = f"{float(results.scores[index, number]):.1f}", "", "black"
        if number == answer:
            label, color = ("✓ correct" if number == pick else "✓ true class"), GREEN
        elif number == pick:
            label, color = "✗ predicted", RED
        if label:
            frame(cell, color, 3)
        cell.set_title(f"{score} {label}".strip(), fontsize=8.5, color=color)
    heading(figure, _title(dataset, results, index), width)
    return figure


def _title(dataset: CharacterDataset, results: EpisodeResults, index: int) -> str:
    episodes = results.task.episodes
    shots = "one-shot" if episodes.shot == 1 else f"{episodes.shot}-shot (first image of each)"
    alphabets = dataset.alphabets[episodes.supports[index].flatten()].unique()
    own = readable(dataset.alphabet_names[int(dataset.alphabets[episodes.queries[index]])])
    where = f"in {own}"
    if len(alphabets) > 1:
        where = f"across {len(alphabets)} alphabets, the query from {own}"
    outcome = "correct" if bool(results.is_correct[index]) else "wrong"
    return f"{episodes.way}-way {shots} {where}: {outcome}"


def draw_mistakes(dataset: CharacterDataset, results: EpisodeResults, count: int = 24) -> Figure:
    """The ``count`` wrong predictions with the largest margins, each query once.

    A row for each: the query, the true class and the predicted class.
    """
    worst = worst_mistakes(results, count)
    title = _errors(results)
    if not worst:
        return _only_title(title)
    groups = min(_GROUPS, len(worst))
    rows = math.ceil(len(worst) / groups)
    width = _GROUP_WIDTH * groups
    figure = new_figure(width, 0.7 + 1.85 * rows)
    heading(figure, f"{title}; those with the largest margins", width)
    for index, axes in zip_longest(worst, figure.subplots(rows, groups, squeeze=False).flatten()):
        if index is None:
            axes.set_axis_off()
        else:
            _draw_mistake(axes, dataset, results, index)
    return figure


def worst_mistakes(results: EpisodeResults, count: int) -> list[int]:
    """Indices of wrong episodes by decreasing margin, each query once."""
    chosen: list[int] = []
    seen: set[int] = set()
    for index in _margin(results).argsort(descending=True, stable=True).tolist():
        query = int(results.task.episodes.queries[index])
        if not bool(results.is_correct[index]) and query not in seen and len(chosen) < count:
            chosen.append(index)
            seen.add(query)
    return chosen


def _only_title(title: str) -> Figure:
    figure = new_figure(6, 0.9)
    heading(figure, title, 6)
    return figure


def _errors(results: EpisodeResults) -> str:
    wrong = results.n - results.correct
    return f"{results.task.title}: {wrong:,} of {results.n:,} episodes wrong"


def _margin(results: EpisodeResults) -> torch.Tensor:
    """The predicted class's score minus the true class's: ``(episodes,)``."""
    rows = torch.arange(results.n)
    truth = results.scores[rows, results.task.episodes.answers]
    return results.scores[rows, results.picks] - truth


def _draw_mistake(
    axes: Axes, dataset: CharacterDataset, results: EpisodeResults, index: int
) -> None:
    """Three images in one axes, which is laid out much faster than three."""
    from matplotlib.patches import Rectangle

    episodes = results.task.episodes
    supports = episodes.supports[index, :, 0]
    pick, answer = int(results.picks[index]), int(episodes.answers[index])
    truth, predicted = (
        dataset.class_names[int(dataset.classes[image])].partition("/")
        for image in (episodes.queries[index], supports[pick])
    )
    wrong = predicted[2] if predicted[0] == truth[0] else "/".join(predicted[::2])
    margin = float(_margin(results)[index])
    title = f"{truth[0]}\n{truth[2]} predicted as {wrong}, margin {margin:.1f}"
    axes.set_title(wrapped(readable(title), _GROUP_WIDTH, 8), fontsize=8, pad=16)
    shown = [
        ("query", int(episodes.queries[index]), BLUE),
        (f"✓ true class {float(results.scores[index, answer]):.1f}", int(supports[answer]), GREEN),
        (f"✗ predicted {float(results.scores[index, pick]):.1f}", int(supports[pick]), RED),
    ]
    images = dataset.pixels[[image for _, image, _ in shown]]
    side = images.shape[-1]
    gap = side // 8
    show_image(axes, tiled(images.float(), 3, gap).nan_to_num(0).byte())
    frame(axes, "white", 0)
    axes.set_xlim(-gap, 3 * (side + gap))  # apart from the next mistake
    for number, (label, _, color) in enumerate(shown):
        left = number * (side + gap) - 0.5
        look: dict[str, Any] = {"fill": False, "color": color, "linewidth": 1.8, "clip_on": False}
        axes.add_patch(Rectangle((left, -0.5), side, side, **look))
        axes.annotate(label, (left + side / 2, -0.5), (0, 4), textcoords="offset points",
                      ha="center", fontsize=8.5, color=color)  # fmt: skip


def draw_confusions(
    dataset: CharacterDataset, results: EpisodeResults, count: int = 16, each: int = 6
) -> Figure:
    """The most frequently confused pairs of classes: ``count`` rows, ``each`` images per class."""
    shown, title = confusions(results, dataset.classes)[:count], _errors(results)
    if not shown:
        return _only_title(title)
    figure = new_figure(_WIDTH, 0.9 + 0.95 * len(shown))
    heading(figure, f"{title}; the most frequent confusions", _WIDTH)
    cells = figure.subplots(len(shown), 2, squeeze=False)
    for row, one in zip(cells, shown, strict=True):
        for axes, number in zip(row, (one.first, one.second), strict=True):
            indices = (dataset.classes == number).nonzero().flatten()[:each]
            grid = tiled(dataset.pixels[indices].float(), each, _GAP)
            show_image(axes, grid.nan_to_num(0).byte())
            frame(axes, "white", 0)
            axes.set_title(readable(dataset.class_names[number]), fontsize=8, pad=2)
        label = f"{one.times} of\n{one.n}"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10)
    return figure
