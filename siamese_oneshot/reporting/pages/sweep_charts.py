"""The charts of a sweep: all validations, its history, what mattered, and the jobs by setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from siamese_oneshot.reporting.files import ACCURACY
from siamese_oneshot.reporting.importance import Importance
from siamese_oneshot.reporting.job import Job, Sweep
from siamese_oneshot.reporting.pages.charts import (
    POINTS,
    Chart,
    add_curve,
    add_hover,
    add_legend,
    item_of,
    new_chart,
    source_of,
)
from siamese_oneshot.reporting.pages.colours import AXIS, BEST, LINES, TEXT, on_ramp
from siamese_oneshot.reporting.pages.metrics import Curve
from siamese_oneshot.reporting.parallel import ABSENT, chosen_keys, scale_of
from siamese_oneshot.reporting.tables import settings_text
from siamese_oneshot.reporting.value import cut
from siamese_oneshot.sweeping.job import short_keys

_BY_NAME = 8  # more lines than these are told apart by score, not by name
_ALL_POINTS = 60_000  # of all lines together: a page has to load
_MOST_BARS = 20


def sweep_charts(
    sweep: Sweep, importance: Importance, curves: Mapping[int, Mapping[str, Curve]]
) -> list[Chart]:
    """Those that there is something to show on.

    Args:
        sweep: its jobs.
        importance: of their settings.
        curves: of each job, by its number.
    """
    made = [
        _validations(sweep, curves),
        _history(sweep),
        _importance(importance),
        _parallel(sweep, importance),
    ]
    return [one for one in made if one is not None]


def _validations(sweep: Sweep, curves: Mapping[int, Mapping[str, Curve]]) -> Chart | None:
    shown = [
        (job, curves[job.number][ACCURACY])
        for job in sweep.jobs
        if ACCURACY in curves.get(job.number, {})
    ]
    if not shown:
        return None
    made = new_chart("step", "one-shot accuracy, %", height=360)
    shown.sort(key=lambda one: one[0].validation or 0.0)  # the best on top
    most = max(2, min(POINTS, _ALL_POINTS // len(shown)))
    drawn = []
    entries = []
    places = _ranked([job for job, _ in shown])
    for place, (job, curve) in enumerate(shown):
        name = cut(f"{job.number}: {settings_text(job.settings, sweep.keys)}", 90)
        thin = curve.thinned(most)
        if len(shown) <= _BY_NAME:
            lines = add_curve(made, name, thin, job.number, scale=100, dots=True)
            entries.append((job.number, cut(name, 44), lines))
        else:
            lines = [
                made.line(
                    "step",
                    "value",
                    source=source_of(thin, name, 100),
                    color=on_ramp(places[place]),
                    line_width=3 if place == len(shown) - 1 else 1.5,
                )
            ]
        lines[0].name = name
        drawn.append(lines[0])
    tips = [("job", "$name"), ("step", "@step"), ("one-shot", "@value{0.00} %")]
    add_hover(made, drawn, tips)
    if entries:
        entries.sort(key=lambda one: one[0])
        add_legend(made, [(name, lines) for _, name, lines in entries])
        made.legend.ncols = 1
        made.height = 360 + 22 * len(entries)
    best = shown[-1][0]
    words = f"Validation one-shot accuracy of {len(shown)} jobs over their steps"
    if best.validation is not None:
        words += f"; the highest is job {best.number} with {100 * best.validation:.2f}%"
    words += "." if entries else ". The stronger the colour, the better the job."
    return Chart("validations", "Validation of every job", words, item_of(made), None, made.height)


def _history(sweep: Sweep) -> Chart | None:
    from bokeh.models import ColumnDataSource

    scored = [job for job in sweep.jobs if job.validation is not None]
    if not scored:
        return None
    made = new_chart("job", "validation accuracy, %")
    finished = [job for job in scored if job.counts]
    kinds: list[tuple[str, list[Job], str, dict[str, Any]]] = [
        ("finished", finished, "circle", {"fill_color": LINES[0][0]}),
        ("pruned", [job for job in scored if job.status == "pruned"], "circle", {"fill_alpha": 0}),
        (
            "not finished, best so far",
            [job for job in scored if job.status not in ("finished", "pruned")],
            "square",
            {"fill_alpha": 0},
        ),
    ]
    entries = []
    if finished:
        steps, heights = [], []
        for job in finished:
            steps.append(job.number)
            heights.append(max([_percent(job), *heights[-1:]]))
        steps.append(max(job.number for job in sweep.jobs))
        heights.append(heights[-1])
        best = made.step(steps, heights, mode="after", color=BEST[0], line_width=2)
        entries.append(("best finished so far", [best]))
    drawn = []
    for name, jobs, marker, options in kinds:
        if jobs:
            source = ColumnDataSource(
                {
                    "x": [job.number for job in jobs],
                    "y": [_percent(job) for job in jobs],
                    "settings": [cut(settings_text(job.settings, sweep.keys), 120) for job in jobs],
                    "status": [job.status for job in jobs],
                }
            )
            dots = made.scatter(
                "x", "y", source=source, marker=marker, size=8, line_color=LINES[0][0], **options
            )
            drawn.append(dots)
            entries.append((f"{name} ({len(jobs)})", [dots]))
    tips = [("job", "@x"), ("validation", "@y{0.00} %"), ("status", "@status")]
    add_hover(made, drawn, [*tips, ("settings", "@settings")])
    add_legend(made, entries)
    made.legend.ncols = 1
    made.height = 300 + 22 * len(entries)
    made.xaxis.ticker.min_interval = 1
    words = f"Validation accuracy by job: {sweep.described()}."
    if finished:
        top = max(finished, key=_percent)
        words += f" The best finished one is job {top.number} with {_percent(top):.2f}%."
    return Chart("history", "Validation by job", words, item_of(made), None, made.height)


def _importance(importance: Importance) -> Chart | None:
    shown = importance.shares[:_MOST_BARS]
    if not shown:
        return None
    names = short_keys([one.key for one in importance.shares])
    labels = [cut(names[one.key], 26) for one in shown]
    labels = [label if labels.count(label) == 1 else f"{n}. {label}" for n, label in enumerate(labels)]
    height = 80 + 26 * len(shown)
    made = new_chart(
        "share of what all settings tell of the better half, %",
        "",
        height=height,
        y_range=labels[::-1],
    )
    shares = [100 * one.share for one in shown]
    made.x_range.start = 0
    bars = made.hbar(y=labels, right=shares, height=0.7, color=LINES[0][0])
    add_hover(made, [bars], [("setting", "@y"), ("share", "@right{0.0} %")])
    told = ", ".join(f"{one.key} {100 * one.share:.1f}%" for one in shown[:6])
    words = f"Importance of the settings for the validation score: {told}."
    return Chart("importance", "Importance of the settings", words, item_of(made), None, height)


def _parallel(sweep: Sweep, importance: Importance) -> Chart | None:
    """A line a job over its most important settings, the stronger the better."""
    from bokeh.models import ColumnDataSource

    jobs = sorted(sweep.finished(), key=lambda job: job.validation or 0.0)
    keys = chosen_keys(jobs, sweep.keys, importance)
    if len(jobs) < 2 or not keys:
        return None
    scales = [scale_of([job.settings.get(key, ABSENT) for job in jobs]) for key in keys]
    scales.append(scale_of([round(_percent(job), 2) for job in jobs]))
    names = short_keys(sweep.keys)
    titles = [
        cut(names[key], 18) + (" (log)" if scale.logarithmic else "")
        for key, scale in zip(keys, scales, strict=False)
    ]
    titles.append("validation %")
    # The axes lie across, one below the other: so names have room, on a phone too.
    rows = list(range(len(scales) - 1, -1, -1))
    height = 90 + 62 * len(scales)
    made = new_chart("", "", height=height, x_range=(-0.06, 1.06), y_range=(-0.55, rows[0] + 0.75))
    made.xaxis.visible = made.yaxis.visible = False
    made.grid.grid_line_color = None
    source = ColumnDataSource(
        {
            "x": [[scale.places[n] for scale in scales] for n in range(len(jobs))],
            "y": [rows] * len(jobs),
            "colour": [on_ramp(place) for place in _ranked(jobs)],
            "job": [job.number for job in jobs],
            "validation": [_percent(job) for job in jobs],
            "settings": [cut(settings_text(job.settings, sweep.keys), 200) for job in jobs],
        }
    )
    lines = made.multi_line(
        "x", "y", source=source, line_color="colour", line_width=1.8, hover_line_color=BEST[0],
        hover_line_width=4,
    )  # fmt: skip
    add_hover(
        made,
        [lines],
        [("job", "@job"), ("validation", "@validation{0.00} %"), ("settings", "@settings")],
    )
    _axes(made, rows, titles, scales)
    left = len(sweep.keys) - len(keys)
    words = (
        f"{len(jobs)} finished jobs, a line each, over {', '.join(titles)}. The stronger the "
        "colour, the better the job."
    )
    if left > 0:
        words += f" {left} settings that matter less or do not differ are left out."
    return Chart("parallel", "Finished jobs by setting", words, item_of(made), None, height)


def _axes(made: Any, rows: Sequence[int], titles: Sequence[str], scales: Sequence[Any]) -> None:
    made.segment(x0=[0] * len(rows), x1=[1] * len(rows), y0=rows, y1=rows, color=AXIS[0])
    look: dict[str, Any] = {"text_color": TEXT[0], "text_font": "system-ui, sans-serif"}
    made.text(
        x=[0] * len(rows), y=rows, text=list(titles), text_font_size="12px", text_align="left",
        text_font_style="bold", text_baseline="bottom", y_offset=-9, **look,
    )  # fmt: skip
    ticks = [
        (place, row, label)
        for row, scale in zip(rows, scales, strict=True)
        for place, label in _apart(scale.ticks)
    ]
    made.scatter(
        [place for place, _, _ in ticks], [row for _, row, _ in ticks], marker="dash", angle=1.5708,
        size=8, color=AXIS[0],
    )  # fmt: skip
    made.text(
        x=[place for place, _, _ in ticks], y=[row for _, row, _ in ticks],
        text=[cut(label, 9) for _, _, label in ticks], text_font_size="11px", text_align="center",
        text_baseline="top", y_offset=5, **look,
    )  # fmt: skip


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without labels that would touch on a phone: both ends stay."""
    if len(ticks) < 3:
        return list(ticks)
    kept = [ticks[0]]
    for tick in ticks[1:-1]:
        if tick[0] - kept[-1][0] >= 0.17 and ticks[-1][0] - tick[0] >= 0.17:
            kept.append(tick)
    return [*kept, ticks[-1]]


def _ranked(jobs: Sequence[Job]) -> list[float]:
    """Where each score lies between the lowest (0) and the highest (1)."""
    scores = [job.validation or 0.0 for job in jobs]
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _percent(job: Job) -> float:
    assert job.validation is not None
    return 100 * job.validation
