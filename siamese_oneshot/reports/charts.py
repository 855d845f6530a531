"""The history of a sweep and the importance of its settings as images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siamese_oneshot.plots.style import BLUE, GRAY, ORANGE, SKY, bare, heading, new_figure
from siamese_oneshot.reports.importance import Importance
from siamese_oneshot.reports.job import Job, Sweep
from siamese_oneshot.reports.value import cut
from siamese_oneshot.utils.text import short_keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BARS = 20


def draw_history(sweep: Sweep) -> Figure | None:
    """The validation score by job, and the best so far; None where no job has a score."""
    from matplotlib.ticker import MaxNLocator

    scored = [job for job in sweep.jobs if job.validation is not None]
    if not scored:
        return None
    figure = new_figure(7.5, 4.4)
    axes = figure.subplots()
    finished = [job for job in scored if job.counts]
    pruned = [job for job in scored if job.status == "pruned"]
    rest = [job for job in scored if job.status not in ("finished", "pruned")]
    best: list[tuple[int, float]] = []
    for job in finished:
        best.append((job.number, max([_percent(job), *(value for _, value in best[-1:])])))
    if best:  # to the last job, finished or not
        best.append((max(job.number for job in sweep.jobs), best[-1][1]))
        axes.step(
            *zip(*best, strict=True), where="post", color=ORANGE, label="best finished so far"
        )
    for jobs, name, options in (
        (finished, "finished", {"marker": "o", "color": BLUE}),
        (pruned, "pruned", {"marker": "o", "edgecolors": BLUE, "facecolors": "none"}),
        (
            rest,
            "not finished, best so far",
            {"marker": "s", "edgecolors": GRAY, "facecolors": "none"},
        ),
    ):
        if jobs:
            places = [job.number for job in jobs]
            heights = [_percent(job) for job in jobs]
            axes.scatter(places, heights, s=28, zorder=3, label=f"{name} ({len(jobs)})", **options)  # type: ignore[arg-type]
    axes.set(xlabel="job", ylabel="validation one-shot accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    first, last = min(job.number for job in sweep.jobs), max(job.number for job in sweep.jobs)
    axes.set_xlim(first - 0.5 - 0.01 * (last - first), last + 0.5 + 0.01 * (last - first))
    axes.grid(axis="y", color="#eeeeee")
    missing = len(sweep.jobs) - len(scored)
    note = f"; {missing} without a score" if missing else ""
    heading(figure, f"validation score by job{note}", 7.5, 11)
    bare(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_importance(importance: Importance) -> Figure | None:
    """A bar a setting, the most important on top; None where there is no ranking."""
    shown = importance.shares[:_MOST_BARS]
    if not shown:
        return None
    names = short_keys([one.key for one in importance.shares])
    figure = new_figure(7.5, 1.3 + 0.3 * len(shown))
    axes = figure.subplots()
    places = range(len(shown), 0, -1)
    axes.barh(places, [100 * one.share for one in shown], color=SKY, height=0.7)
    for place, one in zip(places, shown, strict=True):
        words = f"{100 * one.share:.1f}" + (f"  ({one.jobs} jobs)" if one.lacking else "")
        axes.annotate(words, (100 * one.share, place), (4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_yticks(places, [cut(names[one.key], 36) for one in shown])
    axes.tick_params(axis="y", labelsize=9, length=0)
    axes.set(
        xlim=(0, 118 * max(one.share for one in shown) or 1),
        xlabel="share of what all settings tell of the better half, %",
    )
    rest = len(importance.shares) - len(shown)
    note = f"; {rest} less important ones are left out" if rest else ""
    heading(figure, f"importance of the settings for the validation score{note}", 7.5, 11)
    bare(axes)
    return figure


def _percent(job: Job) -> float:
    assert job.validation is not None
    return 100 * job.validation
