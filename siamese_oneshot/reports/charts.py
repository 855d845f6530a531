"""Interactive charts of runs and sweeps, drawn with Bokeh.

On a dark page the style sheet inverts their lightness. Lines, marks and axes have a contrast of at
least 3 to 1 with either page, text of 7 to 1; the grid is fainter on purpose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from siamese_oneshot.reports.aggregate import Importance, Mean, Report
from siamese_oneshot.reports.read import (
    ACCURACY,
    Curve,
    RunRecord,
    number_of,
    numbers_of,
    spans_decades,
)
from siamese_oneshot.reports.tables import settings_text
from siamese_oneshot.runs.job import rounded
from siamese_oneshot.utils.text import short_keys, shorten

TEXT, AXIS = "#1c1f23", "#8a9099"
LINES = (  # blue and orange first, which the color-blind can tell apart
    "#0068a3", "#b45309", "#00735a", "#b3261e", "#7b3fa0", "#5f6670", "#0f7a85", "#8a5a00",
)  # fmt: skip
_DASHES = ("solid", "dashed", "dotted")
_FONT = "system-ui, sans-serif"
_MAX_POINTS = 500  # of a line
_MAX_ALL_POINTS = 30_000  # of the lines of all jobs
_MAX_LINES = 24  # of a chart: each color in each dash
_MAX_DOTS = 60  # points of a line that are marked
_MAX_KNOTS = 100  # of an axis of minutes
_MAX_AXES = 8
_MAX_TICKS = 5  # values of a setting that are the marks of its axis
_MAX_BESIDE = 30  # characters beside each other on an axis, on a phone
_SPEED = "speed/images_per_second"
_INTERVAL = ("val/one_shot_ci_low", "val/one_shot_ci_high")  # 95%, of the accuracy
_BATCH = (  # of samplers
    "n_alphabets", "n_way", "n_drawers", "batch_size", "steps_per_epoch", "n_fixed_pairs",
    "n_augmented_copies",
)  # fmt: skip
_LOG_RATIO = 20  # of the values of a setting whose axis is logarithmic
ABSENT = "not set"  # the value of a setting that a run lacks

Figure = Any  # Bokeh's; its declared types are wider than what a new figure holds


@dataclass(frozen=True)
class CurveChart:
    """Which metrics are drawn over the steps of a training, and how."""

    key: str  # of the element on the page
    title: str
    axis: str  # title of the vertical axis
    prefix: str  # of the metrics' names, the longest that fits; what follows names their lines
    scale: float = 1.0  # factor of the values
    log: bool = False  # whether values that span two decades have a logarithmic axis
    from_zero: bool = False  # whether the axis begins at 0, so that small changes look small


CURVE_CHARTS = (
    CurveChart("validation", "One-shot accuracy on the validation set", "%", ACCURACY, 100),
    CurveChart("verification", "Verification on the validation set", "%", "val/verification_", 100),
    CurveChart("error", "Equal error rate on the validation set", "%", "val/verification_eer", 100),
    CurveChart("loss", "Training loss", "loss", "train/"),
    CurveChart("learning-rate", "Learning rate", "learning rate", "lr", log=True),
    CurveChart("momentum", "Momentum", "momentum", "momentum", log=True),
    CurveChart("gradient-norm", "Gradient norm before clipping", "norm", "gradient_norm", log=True),
    CurveChart("speed", "Throughput", "images per second", _SPEED, from_zero=True),
    CurveChart("data-wait", "Time spent waiting for data", "% of the time", "speed/data_wait", 100,
               from_zero=True),
)  # fmt: skip


@dataclass
class Chart:
    """A chart, and what stands for it if it cannot be seen."""

    key: str  # of the element on the page
    title: str
    description: str  # what it shows, with numbers
    item: str  # Bokeh's JSON, which can stand within a <script>
    height: int  # in pixels

    @classmethod
    def of(cls, key: str, title: str, description: str, figure: Figure) -> Chart:
        """The chart of a figure."""
        from bokeh.embed import json_item

        text = json.dumps(json_item(figure), separators=(",", ":"), allow_nan=False)
        item = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        return cls(key, title, description, item, figure.height)


def run_charts(run: RunRecord) -> list[Chart]:
    """The charts of the metrics that one run has logged."""
    charts = [_curve_chart(spec, run) for spec in CURVE_CHARTS]
    return [chart for chart in charts if chart is not None]


def sweep_charts(report: Report) -> list[Chart]:
    """The charts of a sweep."""
    curves = _validations(report)
    scores = _against_settings(report) if report.sweep.scored() else []
    return scores if curves is None else [curves, *scores]


def step_axes(runs: Sequence[RunRecord]) -> dict[str, dict[str, list[list[float]]]]:
    """What may stand on the axis of steps, for each run: steps, and the value at each of them.

    ``epochs`` and ``images`` follow from the sampler's settings, ``minutes`` from the throughput,
    without validations. An axis that some run lacks is left out.
    """
    axes: dict[str, dict[str, list[list[float]]]] = {"epochs": {}, "images": {}, "minutes": {}}
    for run in runs:
        numbers = {key: number_of(run.value(f"sampler.{key}")) or 0.0 for key in _BATCH}
        images = numbers["n_alphabets"] * numbers["n_way"] * numbers["n_drawers"]
        images = images or 2 * numbers["batch_size"]
        if numbers["n_fixed_pairs"] and numbers["batch_size"]:  # an epoch is all of them
            pairs = numbers["n_fixed_pairs"] * (1 + numbers["n_augmented_copies"])
            numbers["steps_per_epoch"] = math.ceil(pairs / numbers["batch_size"])
        batches = number_of(run.value("trainer.accumulate_grad_batches")) or 1.0  # of a step
        images *= batches
        if numbers["steps_per_epoch"]:
            axes["epochs"][str(run.number)] = [[0, numbers["steps_per_epoch"] / batches], [0, 1]]
        if images:
            axes["images"][str(run.number)] = [[0, 1], [0, images]]
        speed = run.curves.get(_SPEED, Curve()).thinned(_MAX_KNOTS)
        if images and speed.steps and min(speed.values) > 0:
            lengths = np.diff([0, *speed.steps])
            minutes = (lengths * images / 60 / np.array(speed.values)).cumsum()
            axes["minutes"][str(run.number)] = [[0, *speed.steps], [0, *minutes.round(4).tolist()]]
    return {name: knots for name, knots in axes.items() if runs and len(knots) == len(runs)}


def _curve_chart(spec: CurveChart, run: RunRecord) -> Chart | None:
    """The chart; None if none of its lines ever changes."""
    curves, is_accuracy = run.curves, spec.prefix == ACCURACY
    own = [name for name in curves if _prefix_of(name) == spec.prefix and any(curves[name].values)]
    equal: dict[str, list[str]] = {}  # lines that coincide are one
    for name in own:
        label = name.removeprefix(spec.prefix).lstrip("/") or "all"
        equal.setdefault(repr(curves[name]), []).append(label)
    chosen = {", ".join(equal[text]): curves[name] for name in own if (text := repr(curves[name]))}
    changes = any(len(set(curve.values)) > 1 for curve in chosen.values())
    if not chosen or not (changes or is_accuracy):
        return None
    shown = [*chosen.items()][:_MAX_LINES]
    log = spec.log and spans_decades([value for _, curve in shown for value in curve.values])
    figure = _new_figure("step", spec.axis, y_axis_type="log" if log else "linear")
    if spec.from_zero:
        figure.y_range.start = 0
    first = min(curve.steps[0] for _, curve in shown)
    last = max(curve.steps[-1] for _, curve in shown)
    band = [curves[name] for name in _INTERVAL if is_accuracy and name in curves]
    has_band = (
        len(band) == 2 and first < last and all(end.steps == shown[0][1].steps for end in band)
    )
    if has_band:
        _add_band(figure, band[0], band[1], run.number, scale=spec.scale)
    drawn: list[tuple[str, list[Any]]] = []
    for n, (name, curve) in enumerate(shown):
        color, dash = LINES[n % len(LINES)], _DASHES[n // len(LINES)]
        line = _add_line(figure, shorten(name, 40), curve, color, spec.scale, run.number, dash)
        drawn.append((shorten(name, 28), line))
    tips = [("line", "$name"), ("at", "@step"), (spec.axis, "@value")]
    _add_hover(figure, [line[0] for _, line in drawn], tips)
    if len(drawn) > 1:
        _add_legend(figure, drawn)
    span = f"step {last:,}" if first == last else f"steps {first:,} to {last:,}"
    text = f"{'In ' if spec.axis[0] == '%' else ''}{spec.axis}, {span}."
    text = text[0].upper() + text[1:]
    if len(shown) == 1 and first < last:
        change = (f"{spec.scale * shown[0][1].values[n]:.4g}" for n in (0, -1))
        text += f" From {' to '.join(change)}."
    if is_accuracy:
        curve = shown[0][1]
        best = max(range(len(curve.values)), key=curve.values.__getitem__)
        text += f" Highest: {100 * curve.values[best]:.2f}% at step {curve.steps[best]:,}."
    text += " Band: 95% interval." if has_band else ""
    if len(chosen) > len(shown):
        text += f" The first {len(shown)} of {len(chosen)} lines; csv/ has all."
    return Chart.of(spec.key, spec.title, text, figure)


def _prefix_of(name: str) -> str:
    """The prefix of the chart that a metric belongs to; empty if there is none."""
    return max((s.prefix for s in CURVE_CHARTS if name.startswith(s.prefix)), key=len, default="")


def _validations(report: Report) -> Chart | None:
    """Validation accuracy of each combination of settings: the mean over seeds, and their range."""
    keys = report.sweep.keys
    logged = [run for run in report.sweep.runs if ACCURACY in run.curves]
    if not logged:
        return None
    grouped = [[run for run in group.runs if run in logged] for group in report.groups]
    alone = [[run] for run in logged if not any(run in runs for runs in grouped)]
    lines = [runs for runs in [*grouped, *alone] if runs]
    lines.sort(key=lambda runs: -Mean.of([run.val_accuracy or 0.0 for run in runs]).value)
    figure = _new_figure("step", "one-shot accuracy, %", height=360)
    limit = max(2, min(_MAX_POINTS, _MAX_ALL_POINTS // len(lines)))
    drawn: list[tuple[str, list[Any]]] = []
    for n, runs in reversed([*enumerate(lines)]):  # the best is drawn last, over the others
        name = shorten(f"{_jobs(runs)}: {settings_text(runs[0].settings, keys)}", 90)
        low, mean, high = (curve.thinned(limit) for curve in over_seeds(runs))
        color = LINES[n] if n < len(LINES) else AXIS
        if len(runs) > 1 and low.steps == mean.steps == high.steps:
            _add_band(figure, low, high, runs[0].number, color=color)
        drawn.insert(0, (name, _add_line(figure, name, mean, color, 100, runs[0].number)))
    tips = [("line", "$name"), ("at", "@step"), ("one-shot", "@value{0.00} %")]
    _add_hover(figure, [line[0] for _, line in drawn], tips)
    named = [(shorten(name, 42), line) for name, line in drawn[: len(LINES)]]  # fits a phone
    _add_legend(figure, named, columns=1)
    text = f"One-shot accuracy on the validation set of {len(logged)} jobs"
    if any(run.val_accuracy is not None for run in logged):
        text += f"; the highest of single jobs: {_highest(logged)}"
    text += ". Point at a gray line for its job." if len(lines) > len(LINES) else "."
    if max(map(len, lines)) > 1:
        text += " Lines: means over seeds; bands: from the lowest to the highest seed."
    return Chart.of("validations", "Validation accuracy", text, figure)


def over_seeds(runs: Sequence[RunRecord]) -> tuple[Curve, Curve, Curve]:
    """The lowest, the mean and the highest validation accuracy at the steps that all runs have."""
    tables = [dict(zip(run.curves[ACCURACY].steps, run.curves[ACCURACY].values, strict=True))
              for run in runs]  # fmt: skip
    steps = [step for step in tables[0] if all(step in table for table in tables)]
    if not steps:  # such as jobs of different lengths of an epoch: the first of them
        tables, steps = tables[:1], [*tables[0]]
    columns = [[table[step] for table in tables] for step in steps]
    low, mean, high = ([how(column) for column in columns] for how in (min, fmean, max))
    return Curve(steps, low), Curve(steps, mean), Curve(steps, high)


def _against_settings(report: Report) -> list[Chart]:
    """Validation scores against each setting that differs, most important first, and the job."""
    runs, names = report.sweep.scored(), short_keys(report.sweep.keys)
    keys = chosen_keys(runs, report.sweep.keys, report.importance)
    columns = {names[key]: [run.settings.get(key, ABSENT) for run in runs] for key in keys}
    columns["job"] = [str(run.number) for run in runs]
    return [_scores(n, name, values, report) for n, (name, values) in enumerate(columns.items())]


def _scores(n: int, name: str, values: Sequence[str], report: Report) -> Chart:
    """Chart ``n`` of those: the score of each job with one, over the values of one setting."""
    from bokeh.models import CategoricalColorMapper, ColumnDataSource

    sweep, runs = report.sweep, report.sweep.scored()
    kinds = {"finished": "blue", "pruned": "gray", "not finished, best so far": "orange"}
    statuses = [run.status if run.status in kinds else [*kinds][2] for run in runs]
    options: dict[str, Any] = {}
    x: list[Any] | None = numbers_of(values)
    if x is None:
        x = [shorten(rounded(value), 24) for value in values]
        options["x_range"] = sorted(set(x))
    elif spans_decades(x, _LOG_RATIO):
        options["x_axis_type"] = "log"
    figure = _new_figure(name, "validation accuracy, %", **options)
    levels = options.get("x_range", [""])
    longest = max(map(len, levels))
    if len(levels) * longest > _MAX_BESIDE:
        figure.xaxis.major_label_orientation = "vertical"
        figure.height += 6 * longest
    if "x_range" not in options and len(set(x)) <= _MAX_TICKS:
        figure.xaxis.ticker = sorted(set(x))
    source = ColumnDataSource({  # Bokeh escapes what it shows under the pointer
        "x": x,
        "job": [run.number for run in runs],
        "validation": [100 * (run.val_accuracy or 0.0) for run in runs],
        "settings": [shorten(settings_text(run.settings, sweep.keys), 160) for run in runs],
        "status": statuses,
    })  # fmt: skip
    mapper = CategoricalColorMapper(factors=[*kinds], palette=[LINES[n] for n in (0, 5, 1)])
    marks = figure.scatter("x", "validation", source=source, size=9, fill_alpha=0.6,
                           color={"field": "status", "transform": mapper})  # fmt: skip
    tips = [("job", "@job"), ("validation", "@validation{0.00} %"), ("settings", "@settings")]
    _add_hover(figure, [marks], [*tips, ("status", "@status")])
    colors = (f"{color}: {kind}" for kind, color in kinds.items() if kind in statuses)
    text = f"{sweep.summary()}."
    text += f" {'; '.join(colors).capitalize()}." if len(set(statuses)) > 1 else ""
    return Chart.of(f"against-{n}", f"Validation accuracy against {name}", text, figure)


def chosen_keys(
    runs: Sequence[RunRecord], keys: Sequence[str], importance: Importance
) -> list[str]:
    """At most ``_MAX_AXES`` settings that differ between runs, the most important first."""
    differing = [key for key in keys if len({run.settings.get(key) for run in runs}) > 1]
    ranked = [key for key in importance.shares if key in differing]
    return [*ranked, *(key for key in differing if key not in ranked)][:_MAX_AXES]


def _highest(runs: Sequence[RunRecord]) -> str:
    """``jobs 11, 15 with 42.45%``: all that share the highest score."""
    top = max(run.val_accuracy or 0.0 for run in runs)
    return f"{_jobs([run for run in runs if run.val_accuracy == top])} with {100 * top:.2f}%"


def _jobs(runs: Sequence[RunRecord]) -> str:
    return f"job{'s' if len(runs) > 1 else ''} {', '.join(str(run.number) for run in runs)}"


def _new_figure(x: str, y: str, *, height: int = 300, **options: Any) -> Figure:
    from bokeh import models
    from bokeh.plotting import figure

    plot: Figure = figure(
        height=height, sizing_mode="stretch_width", tools="box_zoom,reset",
        toolbar_location="above", x_axis_label=x, y_axis_label=y, background_fill_color=None,
        border_fill_color=None, outline_line_color=None, min_border_right=12, **options,
    )  # fmt: skip
    plot.toolbar.logo = None
    plot.grid.grid_line_color = AXIS
    plot.grid.grid_line_alpha = 0.25
    if x == "step":
        plot.xaxis.ticker.min_interval = 1
    for axis in plot.axis:
        if isinstance(axis.formatter, models.BasicTickFormatter):
            axis.formatter.use_scientific = False
        elif isinstance(axis.formatter, models.LogTickFormatter):
            axis.formatter = models.PrintfTickFormatter(format="%.6g")  # 0.0001, not a power
        axis.axis_line_color = axis.major_tick_line_color = AXIS
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = TEXT
        axis.major_label_text_font = axis.axis_label_text_font = _FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    return plot


def _add_line(
    figure: Figure, name: str, curve: Curve, color: str, scale: float, number: int,
    dash: str = "solid",
) -> list[Any]:  # fmt: skip
    """Draw a line of run ``number``, dotted if it is short.

    Returns:
        What a legend entry switches on and off.
    """
    source = _step_source(number, scale, value=curve.thinned(_MAX_POINTS))
    drawn = [figure.line("step", "value", source=source, color=color, line_dash=dash, line_width=2,
                         name=name)]  # fmt: skip
    if len(curve.steps) <= _MAX_DOTS:
        drawn.append(figure.scatter("step", "value", source=source, color=color, size=5))
    return drawn


def _add_band(
    figure: Figure, low: Curve, high: Curve, number: int, *, scale: float = 100,
    color: str = LINES[0],
) -> None:  # fmt: skip
    """Fill what is between two curves of equal steps."""
    source = _step_source(number, scale, low=low, high=high)
    figure.varea("step", "low", "high", source=source, color=color, alpha=0.18)


def _step_source(number: int, scale: float, **curves: Curve) -> Any:
    """Curves of equal steps of a run, whose number lets the page's script change the axis."""
    from bokeh.models import ColumnDataSource

    first = next(iter(curves.values()))
    data: dict[str, Any] = {"step": np.array(first.steps, dtype=np.int32)}
    for name, curve in curves.items():  # float32 is packed: kilobytes for a line
        data[name] = (scale * np.array(curve.values)).astype(np.float32)
    return ColumnDataSource(data, tags=[str(number)])


def _add_hover(figure: Figure, drawn: Sequence[Any], tips: Sequence[tuple[str, str]]) -> None:
    from bokeh.models import HoverTool

    figure.add_tools(HoverTool(renderers=list(drawn), tooltips=list(tips), attachment="vertical"))


def _add_legend(
    figure: Figure, entries: Sequence[tuple[str, Sequence[Any]]], columns: int = 2
) -> None:
    """A legend below the chart, so that it covers nothing; a click hides a line."""
    from bokeh.core.properties import value
    from bokeh.models.annotations import Legend, LegendItem

    items = [LegendItem(label=value(name), renderers=list(drawn)) for name, drawn in entries]
    legend = Legend(
        items=items, location="top_left", click_policy="hide", ncols=columns,
        label_text_color=TEXT, label_text_font=_FONT, label_text_font_size="12px",
        background_fill_color=None, border_line_color=None, spacing=6,
    )  # fmt: skip
    figure.add_layout(legend, "below")
    figure.height += 26 * -(-len(items) // columns)
