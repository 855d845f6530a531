"""The charts of a sweep: all validations, its history, what mattered, and the jobs by setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siamese_oneshot.reports.files import ACCURACY
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, Sweep
from siamese_oneshot.reports.pages.charts import (
    POINTS,
    Chart,
    add_curve,
    add_hover,
    add_legend,
    item_of,
    new_chart,
    source_of,
)
from siamese_oneshot.reports.pages.colours import BEST, LINES, on_ramp
from siamese_oneshot.reports.pages.metrics import Curve
from siamese_oneshot.reports.pages.parallel_chart import parallel_chart, percent_of, ranked
from siamese_oneshot.reports.tables import settings_text
from siamese_oneshot.reports.value import cut
from siamese_oneshot.utils.text import short_keys

_BY_NAME = 8  # more lines than these are told apart by score, not by name
_ALL_POINTS = 60_000  # of all lines together: a page has to load
_MOST_BARS = 20
_SHORT = 44  # letters that a legend has room for on a phone


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
        parallel_chart(sweep, importance),
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
    places = ranked([job for job, _ in shown])
    for place, (job, curve) in enumerate(shown):
        name = cut(f"{job.number}: {settings_text(job.settings, sweep.keys)}", 90)
        thin = curve.thinned(most)
        if len(shown) <= _BY_NAME:
            lines = add_curve(made, name, thin, job.number, scale=100, dots=True)
            entries.append((job.number, name, lines))
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
        short = all(len(name) <= _SHORT for _, name, _ in entries)
        named = [(name if short else f"job {n}", lines) for n, name, lines in entries]
        add_legend(made, named, columns=1 if short else 4)
    best = shown[-1][0]
    words = f"Validation one-shot accuracy of {len(shown)} jobs over their steps"
    if best.validation is not None:
        words += f"; the highest is job {best.number} with {100 * best.validation:.2f}%"
    words += "." if entries else ". The stronger the color, the better the job."
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
    entries: list[tuple[str, list[Any]]] = []
    if finished:
        steps: list[int] = []
        heights: list[float] = []
        for job in finished:
            steps.append(job.number)
            heights.append(max([percent_of(job), *heights[-1:]]))
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
                    "y": [percent_of(job) for job in jobs],
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
    add_legend(made, entries, columns=1)
    made.xaxis.ticker.min_interval = 1
    words = f"Validation accuracy by job: {sweep.described()}."
    if finished:
        top = max(finished, key=percent_of)
        words += f" The best finished one is job {top.number} with {percent_of(top):.2f}%."
    return Chart("history", "Validation by job", words, item_of(made), None, made.height)


def _importance(importance: Importance) -> Chart | None:
    shown = importance.shares[:_MOST_BARS]
    if not shown:
        return None
    names = short_keys([one.key for one in importance.shares])
    labels = [cut(names[one.key], 26) for one in shown]
    labels = [
        label if labels.count(label) == 1 else f"{n}. {label}" for n, label in enumerate(labels)
    ]
    height = 80 + 26 * len(shown)
    made = new_chart(
        "share, %",
        "",
        height=height,
        y_range=labels[::-1],
    )
    shares = [100 * one.share for one in shown]
    made.x_range.start = 0
    bars = made.hbar(y=labels, right=shares, height=0.7, color=LINES[0][0])
    add_hover(made, [bars], [("setting", "@y"), ("share", "@right{0.0} %")])
    told = ", ".join(f"{one.key} {100 * one.share:.1f}%" for one in shown[:6])
    words = f"Share of what all settings tell of the better half of the jobs: {told}."
    return Chart("importance", "Importance of the settings", words, item_of(made), None, height)
