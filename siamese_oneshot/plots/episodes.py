"""One episode with its scores (the paper's first figure), and the episodes that went worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.results import EpisodeResults
from siamese_oneshot.plots.style import (
    BLUE,
    GREEN,
    RED,
    frame,
    heading,
    new_figure,
    readable,
    show_image,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_GROUPS = 3  # mistakes side by side
_GROUP_WIDTH = 4.2  # inches


def draw_episode(dataset: CharacterDataset, results: EpisodeResults, index: int) -> Figure:
    """The query beside its supports, each with its score; right and chosen ones are framed.

    Args:
        images: the images that the episodes speak of.
        answered: a list of episodes and how it was answered.
        index: of the episode.
    """
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
        score, words, color = f"{float(results.scores[index, number]):.1f}", "", "black"
        if number == answer:
            words, color = ("✓ right" if number == pick else "✓ this one"), GREEN
        elif number == pick:
            words, color = "✗ chosen", RED
        if words:
            frame(cell, color, 3)
        cell.set_title(f"{score} {words}".strip(), fontsize=8.5, color=color)
    heading(figure, _title(dataset, results, index), width)
    return figure


def _title(dataset: CharacterDataset, results: EpisodeResults, index: int) -> str:
    episodes = results.task.episodes
    shots = (
        "one-shot" if episodes.shot == 1 else f"{episodes.shot}-shot (the first of each is shown)"
    )
    alphabets = dataset.alphabets[episodes.supports[index].flatten()].unique()
    own = readable(dataset.alphabet_names[int(dataset.alphabets[episodes.queries[index]])])
    where = f"in {own}"
    if len(alphabets) > 1:
        where = f"across {len(alphabets)} alphabets, the query from {own}"
    outcome = "right" if bool(results.right[index]) else "wrong"
    return f"{episodes.way}-way {shots} {where}: {outcome}"


def draw_mistakes(dataset: CharacterDataset, results: EpisodeResults, count: int = 24) -> Figure:
    """The episodes whose wrong choice was furthest ahead: query, right support, chosen support.

    Args:
        images: the images that the episodes speak of.
        answered: a list of episodes and how it was answered.
        count: at most so many; queries are shown once each.
    """
    worst = worst_mistakes(results, count)
    title = tally(results)
    if not worst:
        figure = new_figure(6, 0.9)
        heading(figure, f"{title}; no mistake to show", 6)
        return figure
    groups = min(_GROUPS, len(worst))
    rows = math.ceil(len(worst) / groups)
    width = _GROUP_WIDTH * groups
    figure = new_figure(width, 0.7 + 1.85 * rows)
    heading(figure, f"{title}; those whose wrong choice was furthest ahead", width)
    parts = figure.subfigures(rows, groups, squeeze=False, wspace=0.04).flatten()
    for index, part in zip(worst, parts, strict=False):
        _draw_mistake(part, dataset, results, index)
    return figure


def tally(results: EpisodeResults) -> str:
    """A list's name and how many of its episodes went wrong."""
    wrong = results.n - results.correct
    return f"{results.task.title}: {wrong:,} of {results.n:,} episodes wrong"


def worst_mistakes(results: EpisodeResults, count: int) -> list[int]:
    """Indices of wrong episodes by how far the chosen class was ahead, each query once."""
    chosen: list[int] = []
    seen: set[int] = set()
    for index in _ahead(results).argsort(descending=True, stable=True).tolist():
        query = int(results.task.episodes.queries[index])
        if not bool(results.right[index]) and query not in seen and len(chosen) < count:
            chosen.append(index)
            seen.add(query)
    return chosen


def _ahead(results: EpisodeResults) -> torch.Tensor:
    """By how much the chosen class outscores the right one: ``(episodes,)``."""
    rows = torch.arange(results.n)
    right = results.scores[rows, results.task.episodes.answers]
    return results.scores[rows, results.picks] - right


def _draw_mistake(
    part: SubFigure, dataset: CharacterDataset, results: EpisodeResults, index: int
) -> None:
    episodes = results.task.episodes
    supports = episodes.supports[index, :, 0]
    pick, answer = int(results.picks[index]), int(episodes.answers[index])
    own, other = (
        dataset.class_names[int(dataset.classes[index])].partition("/")
        for index in (episodes.queries[index], supports[pick])
    )
    taken = other[2] if other[0] == own[0] else "/".join(other[::2])
    ahead = float(_ahead(results)[index])
    words = f"{own[0]}\n{own[2]} taken for {taken}, ahead by {ahead:.1f}"
    heading(part, readable(words), _GROUP_WIDTH, 8)
    cells: list[Axes] = list(part.subplots(1, 3))
    shown = [
        ("query", int(episodes.queries[index]), BLUE),
        (f"✓ right {float(results.scores[index, answer]):.1f}", int(supports[answer]), GREEN),
        (f"✗ chosen {float(results.scores[index, pick]):.1f}", int(supports[pick]), RED),
    ]
    for cell, (word, index, color) in zip(cells, shown, strict=True):
        show_image(cell, dataset.pixels[index])
        frame(cell, color, 1.8)
        cell.set_title(word, fontsize=8.5, color=color)
