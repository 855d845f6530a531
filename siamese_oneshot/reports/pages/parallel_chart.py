"""Parallel coordinates as a chart: an axis a setting, one below the other, and a line a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, Sweep
from siamese_oneshot.reports.pages.charts import FONT, Chart, add_hover, item_of, new_chart
from siamese_oneshot.reports.pages.colours import AXIS, BEST, PAGE, TEXT, on_ramp
from siamese_oneshot.reports.parallel import ABSENT, chosen_keys, scale_of
from siamese_oneshot.reports.tables import settings_text
from siamese_oneshot.reports.value import cut
from siamese_oneshot.utils.text import short_keys


def parallel_chart(sweep: Sweep, importance: Importance) -> Chart | None:
    """A line a job over its most important settings, the stronger the better."""
    from bokeh.models import ColumnDataSource

    jobs = sorted(sweep.finished(), key=lambda job: job.validation or 0.0)
    keys = chosen_keys(jobs, sweep.keys, importance)
    if len(jobs) < 2 or not keys:
        return None
    scales = [scale_of([job.settings.get(key, ABSENT) for job in jobs]) for key in keys]
    scales.append(scale_of([round(percent_of(job), 2) for job in jobs]))
    names = short_keys(sweep.keys)
    titles = [
        cut(names[key], 18) + (" (log)" if scale.logarithmic else "")
        for key, scale in zip(keys, scales, strict=False)
    ]
    titles.append("validation %")
    # The axes lie across, one below the other: so names have room, on a phone too.
    rows = list(range(len(scales) - 1, -1, -1))
    height = 90 + 62 * len(scales)
    made = new_chart("", "", height=height, x_range=(-0.03, 1.03), y_range=(-0.55, rows[0] + 0.75))
    made.xaxis.visible = made.yaxis.visible = False
    made.grid.grid_line_color = None
    source = ColumnDataSource(
        {
            "x": [[scale.places[n] for scale in scales] for n in range(len(jobs))],
            "y": [rows] * len(jobs),
            "colour": [on_ramp(place) for place in ranked(jobs)],
            "job": [job.number for job in jobs],
            "validation": [percent_of(job) for job in jobs],
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
        "color, the better the job."
    )
    if left > 0:
        words += f" {left} settings that matter less or do not differ are left out."
    return Chart("parallel", "Finished jobs by setting", words, item_of(made), None, height)


def _axes(made: Any, rows: Sequence[int], titles: Sequence[str], scales: Sequence[Any]) -> None:
    made.segment(x0=[0] * len(rows), x1=[1] * len(rows), y0=rows, y1=rows, color=AXIS[0])
    look: dict[str, Any] = {
        "text_color": TEXT[0],
        "text_font": {"value": FONT},
        "background_fill_color": PAGE[0],
        "background_fill_alpha": 0.75,
    }
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
    for side, chosen in (
        ("left", [one for one in ticks if one[0] < 0.01]),
        ("center", [one for one in ticks if 0.01 <= one[0] <= 0.99]),
        ("right", [one for one in ticks if one[0] > 0.99]),
    ):
        made.text(
            x=[place for place, _, _ in chosen], y=[row for _, row, _ in chosen],
            text=[cut(label, 9) for _, _, label in chosen], text_font_size="11px", text_align=side,
            text_baseline="top", y_offset=5, **look,
        )  # fmt: skip


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without labels that would touch on a phone: both ends stay."""
    if len(ticks) < 3:
        return list(ticks)
    kept = [ticks[0]]
    for tick in ticks[1:-1]:
        if tick[0] - kept[-1][0] >= 0.22 and ticks[-1][0] - tick[0] >= 0.22:
            kept.append(tick)
    return [*kept, ticks[-1]]


def ranked(jobs: Sequence[Job]) -> list[float]:
    """Where each score lies between the lowest (0) and the highest (1)."""
    scores = [job.validation or 0.0 for job in jobs]
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def percent_of(job: Job) -> float:
    """The validation score of a job that has one, in %."""
    assert job.validation is not None
    return 100 * job.validation
