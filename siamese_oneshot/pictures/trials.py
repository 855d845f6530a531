"""One trial with its scores (the paper's first figure), and the trials that went worst."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.pictures.style import BLUE, GREEN, RED, frame, new_figure, show_drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
_GROUPS = 3  # mistakes side by side


def draw_trial(drawings: Drawings, answered: Answered, index: int) -> Figure:
    """The query beside its supports, each with its score; right and chosen ones are framed.

    Args:
        drawings: the pictures that the trials speak of.
        answered: a list of trials and how it was answered.
        index: of the trial.
    """
    trials = answered.question.trials
    way, shot = trials.way, trials.shot
    rows = math.ceil(way / COLUMNS)
    figure = new_figure(2.4 + 1.25 * COLUMNS, 0.9 + 1.45 * max(rows, 2))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.7, COLUMNS])[0]
    query = int(trials.queries[index])
    pick, answer = int(answered.picks[index]), int(trials.answers[index])
    axes = left.subplots()
    show_drawing(axes, drawings.pixels[query])
    frame(axes, BLUE, 2.5)
    axes.set_title("query", fontsize=11, color=BLUE)
    cells = right.subplots(rows, COLUMNS, squeeze=False).flatten()
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
    alphabet = drawings.alphabet_names[int(drawings.alphabets[query])]
    outcome = "right" if pick == answer else "wrong"
    shots = "" if shot == 1 else f", first of {shot} shots shown"
    figure.suptitle(f"{way}-way one-shot in {alphabet}: {outcome}{shots}", fontsize=12)
    return figure


def draw_mistakes(drawings: Drawings, answered: Answered, count: int = 24) -> Figure:
    """The trials whose wrong choice was furthest ahead: query, right support, chosen support.

    Args:
        drawings: the pictures that the trials speak of.
        answered: a list of trials and how it was answered.
        count: at most so many; queries are shown once each.
    """
    worst = worst_mistakes(answered, count)
    rows = max(1, math.ceil(len(worst) / _GROUPS))
    figure = new_figure(4.2 * _GROUPS, 0.9 + 1.55 * rows)
    wrong = answered.trials - answered.correct
    title = f"{answered.question.title}: {wrong:,} of {answered.trials:,} trials wrong"
    if not worst:
        figure.suptitle(f"{title}; no mistake to show", fontsize=12)
        return figure
    figure.suptitle(f"{title}; those whose wrong choice was furthest ahead", fontsize=12)
    for number, group in enumerate(figure.subfigures(rows, _GROUPS, squeeze=False).flatten()):
        if number < len(worst):
            _draw_mistake(group.subplots(1, 3), drawings, answered, worst[number])
    return figure


def worst_mistakes(answered: Answered, count: int) -> list[int]:
    """Indices of wrong trials by how far the chosen class was ahead, each query once."""
    trials = answered.question.trials
    rows = torch.arange(answered.trials)
    ahead = answered.scores[rows, answered.picks] - answered.scores[rows, trials.answers]
    chosen: list[int] = []
    seen: set[int] = set()
    for index in ahead.argsort(descending=True, stable=True).tolist():
        query = int(trials.queries[index])
        if not bool(answered.right[index]) and query not in seen and len(chosen) < count:
            chosen.append(index)
            seen.add(query)
    return chosen


def _draw_mistake(cells: list[Axes], drawings: Drawings, answered: Answered, index: int) -> None:
    trials = answered.question.trials
    supports = trials.supports[index, :, 0]
    pick, answer = int(answered.picks[index]), int(trials.answers[index])
    parts = [
        ("query", int(trials.queries[index]), None, BLUE),
        ("right", int(supports[answer]), answer, GREEN),
        ("chosen", int(supports[pick]), pick, RED),
    ]
    for cell, (word, position, way, colour) in zip(cells, parts, strict=True):
        show_drawing(cell, drawings.pixels[position])
        frame(cell, colour, 1.8)
        score = "" if way is None else f" {float(answered.scores[index, way]):.1f}"
        cell.set_title(word + score, fontsize=8.5, color=colour)
    name = drawings.class_names[int(drawings.classes[trials.queries[index]])]
    alphabet, _, character = name.partition("/")
    cells[0].set_xlabel(f"{alphabet[:18]}\n{character}", fontsize=7)
    other = drawings.class_names[int(drawings.classes[supports[pick]])]
    cells[2].set_xlabel(f"\n{other.partition('/')[2]}", fontsize=7)
