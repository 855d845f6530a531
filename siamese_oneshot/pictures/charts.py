"""Accuracy against ways, bars by alphabet, and the scores of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from siamese_oneshot.pictures.style import BLUE, GREY, LINES, ORANGE, bare, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_ways(curves: Mapping[str, Sequence[tuple[int, float, float, float]]]) -> Figure:
    """Accuracy against the number of ways (the replication's figure), with guessing.

    Args:
        curves: by name: (ways, value, low, high), shares 0 … 1.
    """
    figure = new_figure(7.5, 4.8)
    axes = figure.subplots()
    most = 1
    for number, (name, points) in enumerate(curves.items()):
        ways, values, lows, highs = (list(column) for column in zip(*points, strict=True))
        colour = LINES[number % len(LINES)]
        style = "-" if number < len(LINES) else "--"
        axes.plot(ways, [100 * v for v in values], style, color=colour, label=name, linewidth=1.8)
        band = [100 * v for v in lows], [100 * v for v in highs]
        axes.fill_between(ways, *band, color=colour, alpha=0.15, linewidth=0)
        most = max(most, *ways)
    every = range(1, most + 1)
    axes.plot(every, [100 / way for way in every], ":", color=GREY, label="guessing")
    axes.set(xlabel="ways", ylabel="accuracy, %", ylim=(0, 101), xlim=(1, most))
    axes.set_title("one-shot accuracy across alphabets, 95% intervals", fontsize=11)
    axes.set_xticks([way for way in every if way % 2])
    axes.grid(axis="y", color="#eeeeee")
    bare(axes)
    axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def draw_alphabets(rows: Sequence[tuple[str, float, float, float]]) -> Figure:
    """A bar an alphabet with its interval, best on top; the mean as a line.

    Args:
        rows: (name, value, low, high), shares 0 … 1.
    """
    ranked = sorted(rows, key=lambda row: row[1])
    figure = new_figure(7.5, 1.1 + 0.27 * len(ranked))
    axes = figure.subplots()
    values = [100 * value for _, value, _, _ in ranked]
    below = [100 * (value - low) for _, value, low, _ in ranked]
    above = [100 * (high - value) for _, value, _, high in ranked]
    names = [name.replace("_", " ") for name, *_ in ranked]
    axes.barh(names, values, color=BLUE, height=0.7)
    axes.errorbar(values, names, xerr=[below, above], fmt="none", ecolor="black", elinewidth=0.8)
    for place, value in enumerate(values):
        axes.text(1, place, f"{value:.1f}", va="center", fontsize=7.5, color="white")
    mean = fmean(values)
    axes.axvline(mean, color=ORANGE, linewidth=1.4, label=f"mean of alphabets {mean:.1f}")
    axes.set(xlim=(0, 100), xlabel="20-way accuracy within the alphabet, %")
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.tick_params(axis="y", labelsize=8, length=0)
    bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def draw_pair_scores(logits: Tensor, same: Tensor, threshold: float) -> Figure:
    """How scores of same and of different pairs are spread, and the threshold between them.

    Args:
        logits: ``(n,)``.
        same: ``(n,)``: 1 same, 0 different.
        threshold: above it a pair is called same.
    """
    figure = new_figure(7, 3.8)
    axes = figure.subplots()
    shown = logits.double()
    low, high = (float(torch.quantile(shown, q)) for q in (0.001, 0.999))
    low, high = min(low, threshold), max(high, threshold)
    bins = torch.linspace(low, max(high, low + 1e-6), 61, dtype=torch.float64).tolist()
    for value, name, colour in ((0.0, "different", ORANGE), (1.0, "same", BLUE)):
        scores = shown[same == value].clamp(low, high).numpy()
        axes.hist(scores, bins, color=colour, alpha=0.6, label=f"{name} ({len(scores):,})")
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold")
    axes.set(xlabel="score (logit of same)", ylabel="pairs", xlim=(low, high))
    axes.set_title("scores of verification pairs; the ends hold what lies beyond", fontsize=10)
    bare(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure
