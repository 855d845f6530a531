"""Accuracy against ways, bars by alphabet, and the scores of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from siamese_oneshot.plots.style import (
    BLUE,
    GRAY,
    LINES,
    ORANGE,
    SKY,
    bare,
    heading,
    new_figure,
    readable,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_ways(curves: Mapping[str, Sequence[tuple[int, float, float, float]]]) -> Figure:
    """Accuracy against the number of ways (the replication's figure), with guessing.

    Args:
        curves: by name: (ways, value, low, high), shares 0 … 1; a curve without points is left out.
    """
    drawn = {name: sorted(points) for name, points in curves.items() if points}
    # The names below the chart stand in the order in which the curves end.
    ranked = sorted(drawn, key=lambda name: -drawn[name][-1][1])
    figure = new_figure(7.5, 4.8 + 0.22 * ((len(drawn) + 2) // 2))
    axes = figure.subplots()
    most = 2
    for number, name in enumerate(ranked):
        ways, values, lows, highs = (list(column) for column in zip(*drawn[name], strict=True))
        color = LINES[number % len(LINES)]
        style = "-" if number < len(LINES) else "-."
        # A lone point has no line to be seen by.
        dot = "o" if len(ways) == 1 else ""
        heights = [100 * v for v in values]
        axes.plot(ways, heights, style, marker=dot, color=color, label=name, linewidth=1.8)
        band = [100 * v for v in lows], [100 * v for v in highs]
        axes.fill_between(ways, *band, color=color, alpha=0.15, linewidth=0)
        most = max(most, *ways)
    every = range(1, most + 1)
    axes.plot(every, [100 / way for way in every], "--", color=GRAY, label="guessing", linewidth=1)
    axes.set(xlabel="ways N", ylabel="accuracy, %", ylim=(0, 101), xlim=(0.9, most + 0.1))
    heading(figure, "one-shot accuracy by ways, 95% intervals", 7.5, 11)
    axes.set_xticks(range(1, most + 1, 1 + most // 12))
    axes.grid(axis="y", color="#eeeeee")
    bare(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_alphabets(rows: Sequence[tuple[str, float, float, float]], way: int) -> Figure:
    """A bar an alphabet with its interval, best on top; the mean as a line.

    Args:
        rows: (name, value, low, high), shares 0 … 1; at least one.
        way: classes to choose from.
    """
    ranked = sorted(rows, key=lambda row: row[1])
    figure = new_figure(7.5, 1.1 + 0.27 * len(ranked))
    axes = figure.subplots()
    values = [100 * value for _, value, _, _ in ranked]
    below = [100 * (value - low) for _, value, low, _ in ranked]
    above = [100 * (high - value) for _, value, _, high in ranked]
    names = [readable(name) for name, *_ in ranked]
    places = range(len(ranked))
    axes.barh(places, values, color=SKY, height=0.7)
    axes.errorbar(values, places, xerr=[below, above], fmt="none", ecolor="black", elinewidth=1)
    for place, value in enumerate(values):
        axes.text(101.5, place, f"{value:.1f}", va="center", fontsize=8)
    mean = fmean(values)
    axes.axvline(mean, color=BLUE, linestyle="--", linewidth=1.3, label=f"mean {mean:.1f}")
    label = f"{way}-way accuracy within the alphabet, %; lines: 95% intervals"
    axes.set(xlim=(0, 100), xlabel=label)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.tick_params(axis="y", labelsize=8, length=0)
    bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def draw_pair_scores(logits: Tensor, same: Tensor, threshold: float) -> Figure:
    """How scores of same and of different pairs are spread, and the threshold between them.

    Args:
        logits: ``(n,)``; those far off or infinite are counted in the outermost bars.
        same: ``(n,)``: 1 same, 0 different.
        threshold: above it a pair is called same.
    """
    figure = new_figure(7, 3.8)
    axes = figure.subplots()
    shown = logits.double()
    low, high = _range(shown, threshold)
    bins = torch.linspace(low, high, 61, dtype=torch.float64)
    for value, name, color in ((0.0, "different", ORANGE), (1.0, "same", BLUE)):
        scores = shown[same == value].clamp(low, high).numpy()
        axes.hist(scores, bins.tolist(), color=color, alpha=0.6, label=f"{name} ({len(scores):,})")
    words = f"threshold {threshold:.2f}"
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=words)
    margin = (high - low) / 50
    axes.set(xlabel="score (logit of same)", ylabel="pairs", xlim=(low - margin, high + margin))
    beyond = int(((shown < low) | (shown > high)).sum())
    note = f"; {beyond:,} beyond the ends are in the outermost bars" if beyond else ""
    heading(figure, f"scores of verification pairs{note}", 7, 10)
    bare(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _range(scores: Tensor, threshold: float) -> tuple[float, float]:
    """From where to where scores are worth showing.

    The middle nine tenths and as much on either side, no further than there are scores.
    """
    finite = scores[scores.isfinite()]
    if not len(finite):
        return threshold - 1, threshold + 1
    ordered = finite.sort().values
    first, last = (float(ordered[round(q * (len(ordered) - 1))]) for q in (0.05, 0.95))
    near = ordered[(ordered >= 2 * first - last) & (ordered <= 2 * last - first)]
    low, high = min(float(near[0]), threshold), max(float(near[-1]), threshold)
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)
