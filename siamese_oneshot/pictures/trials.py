"""One trial with its scores (the paper's first figure), and the trials that went worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.pictures.style import (
    BLUE,
    GREEN,
    RED,
    frame,
    heading,
    new_figure,
    readable,
    show_drawing,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_GROUPS = 3  # mistakes side by side
_GROUP_WIDTH = 4.2  # inches


def draw_trial(drawings: Drawings, answered: Answered, index: int) -> Figure:
    """The query beside its supports, each with its score; right and chosen ones are framed.

    Args:
        drawings: the pictures that the trials speak of.
        answered: a list of trials and how it was answered.
        index: of the trial.
    """
    trials = answered.question.trials
    way, columns = trials.way, min(trials.way, 5 if trials.way <= 20 else 6)
    rows = math.ceil(way / columns)
    width = 2.4 + 1.25 * columns
    figure = new_figure(width, 0.9 + 1.45 * max(rows, 1.5))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.7, columns])[0]
    query = int(trials.queries[index])
    pick, answer = int(answered.picks[index]), int(trials.answers[index])
    axes = left.subplots()
    show_drawing(axes, drawings.pixels[query])
    frame(axes, BLUE, 2.5)
    axes.set_title("query", fontsize=11, color=BLUE)
    cells = right.subplots(rows, columns, squeeze=False).flatten()
    for number, cell in enumerate(cells):
        if number >= way:
            cell.set_axis_off()
            continue
        show_drawing(cell, drawings.pixels[int(trials.supports[index, number, 0])])
        score, words, colour = f"{float(answered.scores[index, number]):.1f}", "", "black"
        if number == answer:
            words, colour = ("✓ right" if number == pick else "✓ this one"), GREEN
        elif number == pick:
            words, colour = "✗ chosen", RED
        if words:
            frame(cell, colour, 3)
        cell.set_title(f"{score} {words}".strip(), fontsize=8.5, color=colour)
    heading(figure, _title(drawings, answered, index), width)
    return figure


def _title(drawings: Drawings, answered: Answered, index: int) -> str:
    trials = answered.question.trials
    shots = "one-shot" if trials.shot == 1 else f"{trials.shot}-shot (the first of each is shown)"
    alphabets = drawings.alphabets[trials.supports[index].flatten()].unique()
    own = readable(drawings.alphabet_names[int(drawings.alphabets[trials.queries[index]])])
    where = f"in {own}"
    if len(alphabets) > 1:
        where = f"across {len(alphabets)} alphabets, the query from {own}"
    outcome = "right" if bool(answered.right[index]) else "wrong"
    return f"{trials.way}-way {shots} {where}: {outcome}"


def draw_mistakes(drawings: Drawings, answered: Answered, count: int = 24) -> Figure:
    """The trials whose wrong choice was furthest ahead: query, right support, chosen support.

    Args:
        drawings: the pictures that the trials speak of.
        answered: a list of trials and how it was answered.
        count: at most so many; queries are shown once each.
    """
    worst = worst_mistakes(answered, count)
    title = tally(answered)
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
        _draw_mistake(part, drawings, answered, index)
    return figure


def tally(answered: Answered) -> str:
    """A list's name and how many of its trials went wrong."""
    wrong = answered.trials - answered.correct
    return f"{answered.question.title}: {wrong:,} of {answered.trials:,} trials wrong"


def worst_mistakes(answered: Answered, count: int) -> list[int]:
    """Indices of wrong trials by how far the chosen class was ahead, each query once."""
    chosen: list[int] = []
    seen: set[int] = set()
    for index in _ahead(answered).argsort(descending=True, stable=True).tolist():
        query = int(answered.question.trials.queries[index])
        if not bool(answered.right[index]) and query not in seen and len(chosen) < count:
            chosen.append(index)
            seen.add(query)
    return chosen


def _ahead(answered: Answered) -> torch.Tensor:
    """By how much the chosen class outscores the right one: ``(trials,)``."""
    rows = torch.arange(answered.trials)
    right = answered.scores[rows, answered.question.trials.answers]
    return answered.scores[rows, answered.picks] - right


def _draw_mistake(part: SubFigure, drawings: Drawings, answered: Answered, index: int) -> None:
    trials = answered.question.trials
    supports = trials.supports[index, :, 0]
    pick, answer = int(answered.picks[index]), int(trials.answers[index])
    own, other = (
        drawings.class_names[int(drawings.classes[position])].partition("/")
        for position in (trials.queries[index], supports[pick])
    )
    taken = other[2] if other[0] == own[0] else "/".join(other[::2])
    ahead = float(_ahead(answered)[index])
    words = f"{own[0]}\n{own[2]} taken for {taken}, ahead by {ahead:.1f}"
    heading(part, readable(words), _GROUP_WIDTH, 8)
    cells: list[Axes] = list(part.subplots(1, 3))
    shown = [
        ("query", int(trials.queries[index]), BLUE),
        (f"✓ right {float(answered.scores[index, answer]):.1f}", int(supports[answer]), GREEN),
        (f"✗ chosen {float(answered.scores[index, pick]):.1f}", int(supports[pick]), RED),
    ]
    for cell, (word, position, colour) in zip(cells, shown, strict=True):
        show_drawing(cell, drawings.pixels[position])
        frame(cell, colour, 1.8)
        cell.set_title(word, fontsize=8.5, color=colour)
