"""One report: read the jobs, rank and draw them, print, write, log."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from siamese_oneshot.plots.style import save
from siamese_oneshot.reports.charts import draw_history, draw_importance
from siamese_oneshot.reports.groups import group_jobs
from siamese_oneshot.reports.importance import Importance, importance_of
from siamese_oneshot.reports.job import Sweep
from siamese_oneshot.reports.pages.write import write_pages
from siamese_oneshot.reports.parallel import draw_parallel
from siamese_oneshot.reports.record import content_of, write_csv, write_json, write_markdown
from siamese_oneshot.reports.summary import log_summary
from siamese_oneshot.reports.sweep import read_sweep
from siamese_oneshot.reports.tables import (
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    settings_table,
)
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.tables import Table, wide_console

log = logging.getLogger(__name__)


def make_report(
    folders: Sequence[Path],
    output: Path | None = None,
    *,
    command: str = "",
    wandb: str = "auto",
    project: str = "siamese_oneshot",
    entity: str | None = None,
) -> Path:
    """Report on all jobs below some folders, in which nothing is changed.

    Args:
        folders: of sweeps or runs.
        output: where index.html, the runs' pages, report.md, jobs.csv, report.json and the
            images go; None: ``report`` in the first folder.
        command: what was typed; it is told in the report.
        wandb, project, entity: the mode, project and owner of the W&B run.

    Returns:
        The output folder.

    Raises:
        UserError: there is no job, or the output folder cannot be written to.
    """
    sweep = read_sweep(folders)
    output = folders[0] / "report" if output is None else output
    groups, repeated = group_jobs(sweep)
    left_out = [*sweep.left_out, *repeated]
    importance = importance_of(sweep)
    settings = settings_table(sweep, groups)
    prediction = importance_table(importance, sweep.keys)
    excuses = left_out_table(left_out)
    none = f"There is no ranking of the settings: {importance.why}."
    told = [f"Importance: {importance.why}."] if prediction is not None and importance.why else []
    shown: list[Table | str] = [settings] if groups else ["No job has finished yet."]
    shown += [none if prediction is None else prediction, *told]
    rest = [jobs_table(sweep), *([] if excuses is None else [excuses])]
    try:
        images = _draw(sweep, importance, output)
        title = f"Report on {folders[0].resolve().name}: {sweep.described()}"
        write_markdown(output / "report.md", title, [*shown, *rest], images, command)
        write_csv(output / "jobs.csv", sweep)
        content = content_of(sweep, groups, importance, left_out, command)
        write_json(output / "report.json", content)
        page = write_pages(output, sweep, groups, importance, left_out, settings, command)
    except OSError as problem:
        raise UserError(
            f"the report cannot be written to {output} ({problem.strerror}): name another folder "
            "with --output"
        ) from problem
    console = wide_console()
    if groups:
        shown[0] = first_rows(settings)
    for part in [sweep.described(), *shown, *([] if excuses is None else [excuses])]:
        if isinstance(part, Table):
            console.print(part.rich())
        else:
            console.print(part, markup=False, soft_wrap=True)
    console.print(
        f"the report is in {output}; open {page} in a browser", markup=False, soft_wrap=True
    )
    log_summary(
        output,
        sweep,
        groups,
        importance,
        settings,
        images,
        mode=wandb,
        project=project,
        entity=entity,
    )
    return output


def _draw(sweep: Sweep, importance: Importance, output: Path) -> dict[str, Path]:
    """The images that there is something to show on; those of an older report are removed."""
    figures = {
        "history": draw_history(sweep),
        "importance": draw_importance(importance),
        "parallel_coordinates": draw_parallel(sweep, importance),
    }
    paths = {}
    for name, figure in figures.items():
        path = output / f"{name}.png"
        if figure is not None:
            save(figure, path)
            paths[name] = path
        elif os.path.lexists(path):
            path.unlink()
    return paths
