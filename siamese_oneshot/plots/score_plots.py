"""Charts: accuracy vs. way, accuracy per alphabet, verification scores, filters, augmentations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from siamese_oneshot.data.augmentation import Augmentation, apply_warp
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.plots.style import (
    BLUE,
    GRAY,
    LINES,
    ORANGE,
    SKY,
    bare,
    frame,
    heading,
    new_figure,
    readable,
    show_image,
    tiled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float, float, float]]  # (way, accuracy, low, high), each in [0, 1]

_GAP, _GRAY = 4, 48  # between two augmented images: pixels, and gray level


def draw_accuracy_vs_way(curves: Mapping[str, Curve]) -> Figure:
    """Accuracy against the number of ways with 95% intervals, and chance."""
    drawn = {name: np.array(sorted(points)).T for name, points in curves.items() if points}
    ranked = sorted(drawn, key=lambda name: -drawn[name][1, -1])  # as the curves end
    figure = new_figure(7.5, 4.8 + 0.22 * ((len(drawn) + 2) // 2))
    axes = figure.subplots()
    for number, name in enumerate(ranked):
        ways, values, lows, highs = drawn[name]
        color = LINES[number % len(LINES)]
        style = "-" if number < len(LINES) else "-."
        marker = "o" if len(ways) == 1 else ""  # a single point has no line
        axes.plot(ways, 100 * values, style, marker=marker, color=color, label=name, linewidth=1.8)
        axes.fill_between(ways, 100 * lows, 100 * highs, color=color, alpha=0.15, linewidth=0)
    max_way = max([2, *(int(points[0, -1]) for points in drawn.values())])
    every = np.arange(1, max_way + 1)
    axes.plot(every, 100 / every, "--", color=GRAY, label="chance", linewidth=1)
    axes.set(xlabel="N (ways)", ylabel="accuracy, %", ylim=(0, 101), xlim=(0.9, max_way + 0.1))
    heading(figure, "N-way one-shot accuracy, 95% intervals", 7.5, 11)
    axes.set_xticks(range(1, max_way + 1, 1 + max_way // 12))
    axes.grid(axis="y", color="#eeeeee")
    bare(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_per_alphabet(scores: Sequence[Score]) -> Figure:
    """A bar with its 95% interval for each alphabet, best on top, and their mean."""
    ranked = sorted(scores, key=lambda score: score.value)
    figure = new_figure(7.5, 1.1 + 0.27 * len(ranked))
    axes = figure.subplots()
    values = [100 * score.value for score in ranked]
    below = [100 * (score.value - score.low) for score in ranked]
    above = [100 * (score.high - score.value) for score in ranked]
    rows = range(len(ranked))
    axes.barh(rows, values, color=SKY, height=0.7)
    axes.errorbar(values, rows, xerr=[below, above], fmt="none", ecolor="black", elinewidth=1)
    for row, value in enumerate(values):
        axes.text(101.5, row, f"{value:.1f}", va="center", fontsize=8)
    mean = fmean(values)
    axes.axvline(mean, color=BLUE, linestyle="--", linewidth=1.3, label=f"mean {mean:.1f}")
    label = f"within-alphabet {ranked[0].way}-way accuracy, %, 95% intervals"
    axes.set(xlim=(0, 100), xlabel=label)
    axes.set_yticks(rows, [readable(score.name) for score in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.tick_params(axis="y", labelsize=8, length=0)
    bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def draw_verification_scores(logits: Tensor, same: Tensor, threshold: float) -> Figure:
    """Histograms of the scores of same and different pairs, and the threshold.

    Args:
        logits: ``(n,)``; outliers and infinities are counted in the outermost bins.
        same: ``(n,)``: 1 same, 0 different.
        threshold: Pairs with a higher score are called same.
    """
    figure = new_figure(7, 3.8)
    axes = figure.subplots()
    shown = logits.double()
    low, high = _range(shown, threshold)
    bins = torch.linspace(low, high, 61, dtype=torch.float64)
    for value, name, color in ((0.0, "different", ORANGE), (1.0, "same", BLUE)):
        scores = shown[same == value].clamp(low, high).numpy()
        axes.hist(scores, bins.tolist(), color=color, alpha=0.6, label=f"{name} ({len(scores):,})")
    label = f"threshold {threshold:.2f}"
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label=label)
    margin = (high - low) / 50
    axes.set(xlabel="score (logit of same)", ylabel="pairs", xlim=(low - margin, high + margin))
    outliers = int(((shown < low) | (shown > high)).sum())
    note = f"; {outliers:,} outliers in the outermost bins" if outliers else ""
    heading(figure, f"Scores of verification pairs{note}", 7, 10)
    bare(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _range(scores: Tensor, threshold: float) -> tuple[float, float]:
    """The 5% to 95% quantiles, extended by their distance on either side as far as scores go."""
    finite = scores[scores.isfinite()]
    if not len(finite):
        return threshold - 1, threshold + 1
    ordered = finite.sort().values
    first, last = (float(ordered[round(q * (len(ordered) - 1))]) for q in (0.05, 0.95))
    near = ordered[(ordered >= 2 * first - last) & (ordered <= 2 * last - first)]
    low, high = min(float(near[0]), threshold), max(float(near[-1]), threshold)
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def draw_filters(weight: Tensor) -> Figure:
    """First-layer filters ``(n, 1, k, k)``, each scaled to its largest absolute weight."""
    count, side = len(weight), weight.shape[-1]
    columns = min(count, 16 if count > 24 else 8)
    rows = math.ceil(count / columns)
    width = max(4.0, 0.62 * columns)
    figure = new_figure(width, 0.7 + 0.62 * rows)
    title = f"First-layer filters: {count} of {side}×{side}; red positive, blue negative"
    heading(figure, title, width, 11)
    kernels = weight[:, 0].float()
    scale = kernels.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    axes = figure.subplots()
    axes.set_axis_off()
    grid = tiled(kernels / scale, columns, max(1, side // 8))
    axes.imshow(grid.numpy(), cmap="RdBu_r", vmin=-1, vmax=1)  # NaN gaps stay white
    return figure


def draw_augmentations(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator, copies: int = 8
) -> Figure:
    """Original images in the first column, ``copies`` augmented ones beside each.

    ``images`` are float ``(n, 1, side, side)``, 0 background … 1 foreground.
    """
    count = len(images)
    many = images.repeat_interleave(copies, 0)
    warped = apply_warp(many, augmentation.draw(len(many), generator)).unflatten(0, (count, copies))
    columns = torch.cat([images[:, None], warped], 1)[:, :, 0].flatten(0, 1)
    width = max(4.0, 1.1 * (copies + 1))
    figure = new_figure(width, 0.9 + 1.1 * count)
    heading(figure, _ranges(augmentation), width, 10)
    axes = figure.subplots()
    show_image(axes, tiled((columns * 255).round(), copies + 1, _GAP).nan_to_num(_GRAY).byte())
    frame(axes, "white", 0)
    side = columns.shape[-1]
    ticks = [side / 2, side + _GAP + side / 2][: copies + 1]
    axes.xaxis.tick_top()
    axes.set_xticks(ticks, ["original", "augmented"][: len(ticks)], fontsize=9)
    axes.tick_params(length=0)
    return figure


def _ranges(augmentation: Augmentation) -> str:
    low, high = augmentation.scale
    elastic = f", elastic {augmentation.elastic:g} px" if augmentation.elastic else ""
    return (
        f"rotation ±{augmentation.rotation:g}°, shear ±{augmentation.shear:g}, scale "
        f"{low:g}-{high:g}, shift ±{augmentation.shift:g} px of 105, each with probability "
        f"{augmentation.probability:g}{elastic}"
    )
