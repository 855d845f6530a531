"""Charts: accuracy vs. way, accuracy per alphabet, verification scores, filters, augmentations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from siamese_oneshot.data.augmentation import Augmentation, Warp, apply_warp
from siamese_oneshot.evaluation.metrics import roc
from siamese_oneshot.evaluation.published import published
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.plots.style import (
    BLUE,
    GRAY,
    LINES,
    ORANGE,
    SKY,
    bare,
    describe,
    frame,
    heading,
    new_figure,
    readable,
    show_image,
    tiled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float, float, float]]  # (way, accuracy, low, high), each in [0, 1]

_GAP, _GRAY = 4, 48  # between two augmented images: pixels, and gray level
_WIDTH = 10.4  # inches of a figure that takes a page's width
_TICKS = (2, 5, 10, 20, 30, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9)  # %


def draw_accuracy_vs_way(curves: Mapping[str, Curve], protocol: str = "") -> Figure:
    """Accuracy against the number of ways with 95% intervals, chance, and published accuracies.

    The axis is that of log odds, so that 95% and 99% stand as far apart as 5% and 1%.

    Args:
        curves: Points by the name of the curve, which says on which set; 1-way is left out.
        protocol: Of the published accuracies, as in ``published.yaml``; empty for none.
    """
    from matplotlib.ticker import NullLocator

    drawn = {name: np.array([p for p in sorted(points) if p[0] > 1]).T
             for name, points in curves.items()}  # fmt: skip
    drawn = {name: points for name, points in drawn.items() if points.size}
    ranked = sorted(drawn, key=lambda name: -drawn[name][1, -1])  # as the curves end
    max_way = max([2, *(int(points[0, -1]) for points in drawn.values())])
    others = [one for one in published(protocol) if not one.uncertain and max_way >= 20]
    others.sort(key=lambda one: -one.value)
    figure = new_figure(_WIDTH, 5.4 + 0.2 * len(drawn))
    axes = figure.subplots()
    top = max([0.99, *(float(points[3].max()) for points in drawn.values())])
    low, high = 0.8 / max_way, min(1 - (1 - top) / 2, 0.9995)
    for number, name in enumerate(ranked):
        ways, *rates = drawn[name]
        values, lows, highs = (np.clip(rate, low, high) for rate in rates)
        color = LINES[number % len(LINES)]
        style = "-" if number < len(LINES) else "-."
        marker = "o" if len(ways) == 1 else ""  # a single point has no line
        axes.plot(ways, values, style, marker=marker, color=color, label=name, linewidth=1.8)
        axes.fill_between(ways, lows, highs, color=color, alpha=0.15, linewidth=0)
    every = np.arange(2, max_way + 1)
    axes.plot(every, 1 / every, "--", color=GRAY, label="chance", linewidth=1)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    way = 21 if protocol.endswith("21way") else 20
    line: dict[str, Any] = {"arrowstyle": "-", "color": GRAY, "linewidth": 0.6}
    line |= {"relpos": (-0.01, 0.5), "patchA": None, "shrinkA": 0, "shrinkB": 0}  # cut to no shape
    for number, one in enumerate(others):  # each named beside its value, at even distances
        source = one.source.removeprefix(f"{one.method}, ").replace(" et al.", "")
        remark = f", {one.remark}" if 5 < len(one.remark) < 20 else ""  # minimal background
        axes.plot(way, one.value / 100, ".", color="black", clip_on=False, zorder=3)
        axes.annotate(
            f"{one.value:.4g} {one.method}, {source}{remark}",
            (way, one.value / 100),
            (1.1, 1 - (number + 0.5) / len(others)),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops=line,
        )
    axes.set_yscale("logit")
    axes.yaxis.set_minor_locator(NullLocator())
    ticks = [tick for tick in _TICKS if low <= tick / 100 <= high]
    axes.set_yticks([tick / 100 for tick in ticks], [f"{tick:g}" for tick in ticks])
    axes.set(xlabel="number of classes to choose from (ways)", ylabel="accuracy, % (log odds)")
    axes.set(ylim=(low, high), xlim=(1.9, max_way + 0.1))
    axes.set_xticks([2, 5, 10, 15, 20] if max_way >= 20 else range(2, max_way + 1))
    axes.grid(axis="y", color="#e4e4e4")
    bare(axes)
    heading(figure, "N-way one-shot accuracy, 95% intervals", _WIDTH, 11)
    listed = ", ".join(ranked)
    text = f"Accuracy against the number of ways ({listed}). On this axis 90% and 99% are as far"
    text += " apart as 1% and 10%."
    if others:
        text += f" Named: published {way}-way accuracies on test alphabets."
    return describe(figure, text)


def draw_per_alphabet(scores: Sequence[Score]) -> Figure:
    """A bar with its 95% interval for each alphabet, best on top, and their mean."""
    ranked = sorted(scores, key=lambda score: score.value)
    figure = new_figure(7.5, 1.3 + 0.3 * len(ranked))
    axes = figure.subplots()
    values = [100 * score.value for score in ranked]
    below = [100 * (score.value - score.low) for score in ranked]
    above = [100 * (score.high - score.value) for score in ranked]
    rows = range(len(ranked))
    axes.barh(rows, values, color=SKY, height=0.7)
    axes.errorbar(values, rows, xerr=[below, above], fmt="none", ecolor="black", elinewidth=1)
    for row, value in enumerate(values):  # beside the axes, where the mean's line crosses none
        axes.text(107, row, f"{value:.1f}", ha="right", va="center", fontsize=10)
    mean = fmean(values)
    axes.axvline(mean, color=BLUE, linestyle="--", linewidth=1.3, label=f"mean {mean:.1f}")
    where = f"{ranked[0].split} set, within-alphabet {ranked[0].way}-way accuracy"
    axes.set(xlim=(0, 100), xlabel=f"{where}, %, 95% intervals")
    axes.set_yticks(rows, [readable(score.name) for score in ranked])
    axes.set_ylim(-0.6, len(ranked) - 0.4)
    axes.tick_params(axis="y", labelsize=10, length=0)
    bare(axes)
    axes.legend(frameon=False, fontsize=10, loc="lower right", bbox_to_anchor=(1, 1))
    best, worst = ranked[-1], ranked[0]
    text = f"Accuracy of each alphabet, best first ({where}): from {100 * worst.value:.1f}%"
    text += f" ({readable(worst.name)}) to {100 * best.value:.1f}% ({readable(best.name)})."
    return describe(figure, text)


def draw_verification_scores(
    logits: Tensor,
    same: Tensor,
    threshold: float,
    temperature: float = 1.0,
    split: str = "test",
) -> Figure:
    """Histograms of the scores of same and different pairs, the ROC curve, and reliability.

    Args:
        logits: ``(n,)``; outliers and infinities are counted in the outermost bins.
        same: ``(n,)``: 1 same, 0 different.
        threshold: Pairs with a higher score are called same.
        temperature: Of the probability ``sigmoid((logit - threshold) / temperature)``, as in
            ``OneShotClassifier.similarity``.
        split: Of the pairs: ``validation`` or ``test``.
    """
    figure = new_figure(_WIDTH, 3.9)
    axes, curve, reliability = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
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
    title = f"{split} set, {len(same):,} verification pairs"
    heading(figure, f"{title}: scores, ROC curve, reliability{note}", _WIDTH, 11)
    axes.legend(edgecolor="none", fontsize=9)  # the threshold passes behind it
    curve.plot(*roc(shown, same), color=BLUE)
    at = [float((shown[same == value] > threshold).double().mean()) for value in (0.0, 1.0)]
    curve.plot(*at, "o", color="black", label="at the threshold")
    curve.plot([0, 1], [0, 1], "--", color=GRAY, linewidth=1)
    curve.set(
        xlabel="false accept rate", ylabel="true accept rate", xlim=(-0.02, 1), ylim=(0, 1.02)
    )
    curve.legend(frameon=False, fontsize=9, loc="lower right")
    stated, found = reliability_of((shown - threshold) / temperature, same)
    reliability.plot(stated, found, "o-", color=BLUE)
    reliability.plot([0, 1], [0, 1], "--", color=GRAY, linewidth=1)
    reliability.set(
        xlabel=f"sigmoid((score - threshold) / {temperature:.3g})", ylabel="share of same pairs"
    )
    reliability.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for one in (axes, curve, reliability):
        bare(one)
    text = f"{title}. At the threshold {100 * at[1]:.1f}% of the same pairs and {100 * at[0]:.1f}%"
    text += " of the different ones are called same. Right: the probability that a pair is the same"
    text += " class, as the classifier states it, against the share that is; above the dashed line"
    text += " it is too low, below too high."
    return describe(figure, text)


def reliability_of(logits: Tensor, same: Tensor, bins: int = 10) -> tuple[list[float], list[float]]:
    """The mean probability, ``sigmoid(logit)``, and the share of same pairs in each bin.

    Bins are equally wide; empty ones are left out.
    """
    stated = logits.double().sigmoid()
    bin_of = (stated * bins).long().clamp(max=bins - 1)
    masks = [bin_of == number for number in range(bins)]
    pairs = [(float(stated[m].mean()), float(same[m].double().mean())) for m in masks if m.any()]
    means, shares = zip(*pairs, strict=True)
    return [*means], [*shares]


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
    text = "The weights of each filter of the first layer, of no image: red is above 0, blue below."
    return describe(figure, text)


def draw_augmentations(
    images: Tensor,
    own: Augmentation | None,
    shared: Augmentation | None,
    generator: torch.Generator,
    copies: int = 7,
) -> Figure:
    """Training images as they are, with their alphabet's augmentation, and with their own, too.

    Args:
        images: float ``(n, 1, side, side)``, 0 background … 1 foreground; each of an alphabet.
        own: Drawn for each image; None for none.
        shared: Drawn for a whole alphabet; None for none.
        generator: Source of randomness.
        copies: Draws of ``own`` beside each image.
    """
    count = len(images)
    alphabet = Warp.identity(count) if shared is None else shared.draw(count, generator)
    columns = [images[:, None]]
    if shared is not None:
        columns.append(apply_warp(images, alphabet)[:, None])
    if own is not None:
        alphabet = alphabet.map(lambda one: one.repeat_interleave(copies, 0))
        warp = own.draw(count * copies, generator).after(alphabet)
        drawn = apply_warp(images.repeat_interleave(copies, 0), warp)
        columns.append(drawn.unflatten(0, (count, copies)))
    cells = torch.cat(columns, 1)
    shown = cells.shape[1]
    lines = [f"{name}: {_ranges(one)}" for name, one in
             (("alphabet", shared), ("image", own)) if one is not None]  # fmt: skip
    width = max(6.0, 0.85 * shown)
    title = wrapped("\n".join(["Augmented training images", *lines]), width, 10)
    figure = new_figure(width, 0.3 + 0.17 * len(title.splitlines()) + 0.85 * count)
    heading(figure, title, width, 10)
    axes = figure.subplots()
    grid = tiled((cells[:, :, 0].flatten(0, 1) * 255).round(), shown, _GAP)
    show_image(axes, grid.nan_to_num(_GRAY).byte())
    frame(axes, "white", 0)
    side = images.shape[-1]
    names = {0.0: "original"} | ({} if shared is None else {1.0: "alphabet"})
    if own is not None:
        names[shown - (copies + 1) / 2] = f"{copies} draws of the image's own"
    axes.xaxis.set_visible(True)
    axes.xaxis.tick_top()
    axes.set_xticks([n * (side + _GAP) + side / 2 for n in names], [*names.values()], fontsize=10)
    axes.tick_params(length=0)
    text = "Training images: the original; "
    text += "with the draw that its whole alphabet shares; " if shared is not None else ""
    text += f"with {copies} draws of its own." if own is not None else "nothing of its own."
    return describe(figure, text)


def _ranges(augmentation: Augmentation) -> str:
    low, high = augmentation.scale
    elastic = f", elastic {augmentation.elastic:g} px" if augmentation.elastic else ""
    return (
        f"rotation ±{augmentation.rotation:g}°, shear ±{augmentation.shear:g}, scale "
        f"{low:g}-{high:g}, shift ±{augmentation.shift:g} px of 105, each with probability "
        f"{augmentation.probability:g}{elastic}"
    )
