"""Parallel coordinates: an axis a setting, a line a job, coloured by its validation score."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siamese_oneshot.plots.style import heading, new_figure
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, Sweep
from siamese_oneshot.reports.value import Value, cut, identity, numeric, shown, wide
from siamese_oneshot.utils.text import short_keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_AXES = 8
_MOST_TICKS = 14  # of words along an axis
_GAP = 0.07  # between labels, of an axis' height
_COLORS = "viridis"  # its darkness alone tells high from low
ABSENT = "not set"  # stands for the value of a setting that a job lacks


@dataclass(frozen=True)
class Scale:
    """Where values lie along an axis.

    Attributes:
        places: 0 (bottom) … 1 of each job, in order.
        ticks: (place, label), from the bottom up.
        logarithmic: whether equal steps are equal factors.
    """

    places: list[float]
    ticks: list[tuple[float, str]]
    logarithmic: bool = False


def draw_parallel(sweep: Sweep, importance: Importance) -> Figure | None:
    """The finished jobs over their most important settings; None where nothing compares."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    jobs = sorted(sweep.finished(), key=lambda job: job.validation or 0.0)  # the best on top
    keys = chosen_keys(jobs, sweep.keys, importance)
    if len(jobs) < 2 or not keys:
        return None
    figure = new_figure(max(5.5, 2.2 + 1.35 * len(keys)), 4.8)
    axes = figure.subplots()
    scores = [100 * (job.validation or 0.0) for job in jobs]
    spread = Normalize(min(scores), max(scores) if max(scores) > min(scores) else min(scores) + 1)
    colors = ScalarMappable(spread, _COLORS)
    scales = [scale_of([job.settings.get(key, ABSENT) for job in jobs]) for key in keys]
    for number, score in enumerate(scores):
        heights = [scale.places[number] for scale in scales]
        color = colors.get_cmap()(spread(score))
        order = 2 + number / len(jobs)
        axes.plot(heights, "-o", color=color, linewidth=1.4, markersize=3.5, zorder=order)
    names = short_keys(sweep.keys)
    for place, (key, scale) in enumerate(zip(keys, scales, strict=True)):
        _draw_axis(axes, place, names[key], scale)
    axes.set(xlim=(-0.35, len(keys) - 0.9), ylim=(-0.05, 1.05))
    axes.axis("off")
    bar = figure.colorbar(colors, ax=axes, pad=0.02, fraction=0.05, aspect=30)
    bar.set_label("validation one-shot accuracy, %")
    bar.ax.ticklabel_format(useOffset=False)
    left = len([key for key in sweep.keys if _varies(jobs, key)]) - len(keys)
    note = f"; {left} less important settings are left out" if left else ""
    if len({job.data for job in jobs}) > 1:
        note += "; their data differ, so that scores do not compare"
    if len({job.validation for job in jobs}) == 1:
        bar.set_ticks([scores[0]])
    heading(figure, f"{len(jobs)} finished jobs by setting{note}", figure.get_figwidth(), 11)
    return figure


def chosen_keys(jobs: Sequence[Job], keys: Sequence[str], importance: Importance) -> list[str]:
    """At most ``MOST_AXES`` settings that differ between jobs, the most important first."""
    ranked = [one.key for one in importance.shares]
    varying = [key for key in keys if _varies(jobs, key)]
    order = [key for key in ranked if key in varying]
    return [*order, *(key for key in varying if key not in order)][:MOST_AXES]


def scale_of(values: Sequence[Value]) -> Scale:
    """Numbers by size, by their logarithm where they span two decades; others side by side."""
    if not numeric(values):
        return _words(values)
    numbers = [float(value) for value in values]  # type: ignore[arg-type]
    low, high = min(numbers), max(numbers)
    logarithmic = wide(numbers)

    def place(number: float) -> float:
        if low == high:
            return 0.5
        if logarithmic:
            return math.log(number / low) / math.log(high / low)
        return (number - low) / (high - low)

    few = sorted(set(numbers))
    if len(few) > 6:
        few = _round_numbers(low, high, logarithmic)
    ticks = [(place(number), shown(_whole(number))) for number in few]
    return Scale([place(number) for number in numbers], _spaced(ticks), logarithmic)


def _round_numbers(low: float, high: float, logarithmic: bool) -> list[float]:
    """Numbers to mark between two ends, and the ends."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator: Any = LogLocator() if logarithmic else MaxNLocator(5)
    inner = [float(tick) for tick in locator.tick_values(low, high) if low < tick < high]
    return [low, *inner, high]


def _spaced(ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without labels that would touch: both ends stay, then from the bottom up."""
    first, *inner, last = ticks if len(ticks) > 1 else [*ticks, *ticks]
    kept = [first]
    for tick in inner:
        if tick[0] - kept[-1][0] >= _GAP and last[0] - tick[0] >= _GAP:
            kept.append(tick)
    return [*kept, last] if last != first else kept


def _words(values: Sequence[Value]) -> Scale:
    present = [value for value in values if value is not ABSENT]
    kinds = {identity(value): value for value in present}
    if numeric(present):
        ordered = sorted(kinds.values())  # type: ignore[type-var]
    else:
        ordered = sorted(kinds.values(), key=shown)
    if len(present) < len(values):
        ordered = [ABSENT, *ordered]
    step = 1 / max(1, len(ordered) - 1)
    where = {identity(value): number * step for number, value in enumerate(ordered)}
    if len(ordered) == 1:
        where = {identity(ordered[0]): 0.5}
    ticks = [(where[identity(value)], cut(shown(value), 16)) for value in ordered]
    every = -(-len(ticks) // _MOST_TICKS)
    return Scale([where[identity(value)] for value in values], ticks[::every])


def _whole(number: float) -> Value:
    return int(number) if number.is_integer() and abs(number) < 1e6 else number


def _varies(jobs: Sequence[Job], key: str) -> bool:
    found = {(key in job.settings, identity(job.settings.get(key))) for job in jobs}
    return len(found) > 1


def _draw_axis(axes: Axes, place: int, name: str, scale: Scale) -> None:
    axes.plot([place, place], [0, 1], color="black", linewidth=0.8, zorder=1)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    for height, label in scale.ticks:
        axes.plot([place - 0.025, place], [height, height], color="black", linewidth=0.8, zorder=4)
        axes.annotate(label, (place, height), (-5, 0), textcoords="offset points", ha="right",
                      va="center", fontsize=8, bbox=box, zorder=5)  # fmt: skip
    lines = textwrap.wrap(name.replace(".", ". ").replace("_", "_ "), 14)
    broken = [line.replace(". ", ".").replace("_ ", "_") for line in lines]
    words = "\n".join(
        cut(line, 15) for line in (broken if len(broken) < 3 else [broken[0], f"…{broken[-1]}"])
    )
    words += "\n(log)" if scale.logarithmic else ""
    axes.annotate(words, (place, 1), (0, 8), textcoords="offset points", ha="center", va="bottom",
                  fontsize=9, annotation_clip=False)  # fmt: skip
