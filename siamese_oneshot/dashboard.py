"""The project's W&B workspace and report: ``python -m siamese_oneshot.dashboard``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from siamese_oneshot.loggers.wandb_run import default_project, has_login
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError

NAME = "Siamese one-shot"
STEP = "trainer/global_step"
BEST = "best_val/one_shot_accuracy"
LAKE = "test/lake_runs_accuracy"
SETTINGS = (
    "optimizer.lr", "optimizer.weight_decay", "model.encoder.embedding_dim", "callbacks.ema.decay",
    "seed",
)  # fmt: skip
_VIEW = "siameseoneshot"  # in the workspace's address, so that the same one is updated
_COLUMNS = 3  # of panels in a section, which has as many rows as they need: no second page
_FILE = Path(__file__).with_suffix(".yaml")
_KINDS = {  # where the names of a kind of panel are logged
    "bars": "summary", "scatter": "summary", "best": "summary", "table": "history",
    "lines": "history", "plot": "history", "pattern": "patterns",
}  # fmt: skip


class Dashboard:
    """The workspace and the report of a project, which show the same sections.

    Args:
        entity, project: of W&B.
        settings: dotted keys of the configuration, the columns of the parallel coordinates.
    """

    def __init__(self, entity: str, project: str, settings: Sequence[str] = SETTINGS) -> None:
        import wandb_workspaces.reports.v2 as wr  # late: an optional dependency

        self.entity, self.project, self.settings, self._wr = entity, project, settings, wr
        content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
        self.panels = [panel for section in content.values() for panel in section["panels"]]
        self.sections = [
            (title, section["text"], [self._panel(*panel) for panel in section["panels"]])
            for title, section in content.items()
        ]
        self.sections[-1][2].extend(self._sweep_panels())

    def _panel(self, kind: str, title: str, *names: str) -> Any:
        wr = self._wr
        if kind == "plot":
            return wr.MediaBrowser(title=title, media_keys=[f"plots/{title}"], num_columns=1)
        if kind == "table":
            layout = wr.Layout(w=24, h=9)
            return wr.WeavePanelSummaryTable(table_name=title, layout=layout)
        if kind == "lines":
            return wr.LinePlot(title=title, x=STEP, title_x="step", y=[*names])
        if kind == "pattern":
            return wr.LinePlot(title=title, x=STEP, title_x="step", metric_regex=names[0])
        metrics = [wr.SummaryMetric(name) for name in names]
        if kind == "bars":
            return wr.BarPlot(title=title, metrics=metrics)
        if kind == "scatter":
            return wr.ScatterPlot(title=title, x=metrics[0], y=metrics[1])
        return wr.ScalarChart(title=title, metric=metrics[0], groupby_aggfunc="max")

    def _sweep_panels(self) -> list[Any]:
        wr, best = self._wr, self._wr.SummaryMetric(BEST)
        wide, half = wr.Layout(w=24, h=9), wr.Layout(w=12, h=9)
        columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(key)) for key in self.settings]
        columns.append(wr.ParallelCoordinatesPlotColumn(best, display_name="validation"))
        first = self.settings[0]
        return [
            wr.ParallelCoordinatesPlot(title="settings and validation accuracy", columns=columns,
                                       layout=wide),
            wr.ParameterImportancePlot(with_respect_to=BEST, layout=half),
            wr.ScatterPlot(title=f"{first} and validation accuracy", x=wr.Config(first), y=best,
                           layout=half),
            wr.RunComparer(diff_only=True, layout=wide),
        ]  # fmt: skip

    def names(self) -> dict[str, list[str]]:
        """What the panels read, to be compared with what runs log."""
        names = {"history": {STEP}, "summary": {BEST}, "config": {*self.settings}}
        for kind, title, *read in self.panels:
            own = read or [f"plots/{title}" if kind == "plot" else title]
            names.setdefault(_KINDS[kind], set()).update(own)
        return {where: sorted(found) for where, found in names.items()}

    def workspace(self) -> Any:
        """The saved view of the project's runs."""
        import wandb_workspaces.workspaces as ws

        columns = [f"summary:{name}" for name in (BEST, LAKE, "delta_vs_koch2015/one_shot")]
        return ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=NAME,
            sections=[ws.Section(name=title, panels=panels, is_open=True,
                                 layout_settings=ws.SectionLayoutSettings(
                                     columns=_COLUMNS, rows=-(-len(panels) // _COLUMNS)))
                      for title, _, panels in self.sections],
            settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=50),
            runset_settings=ws.RunsetSettings(
                order=[ws.Ordering(ws.Summary(BEST), ascending=False)],
                pinned_columns=["run:displayName", "run:state", *columns],
            ),
        )  # fmt: skip

    def report(self) -> Any:
        """The same sections as a page."""
        wr = self._wr
        blocks: list[Any] = [wr.TableOfContents()]
        for title, text, panels in self.sections:
            # A run set without a project is of the report's project, and asks no server.
            order = [wr.OrderBy(wr.SummaryMetric(BEST), ascending=False)]
            runs = wr.Runset(name="all runs", order=order)
            blocks += [wr.H1(title), wr.P(text), wr.PanelGrid(runsets=[runs], panels=panels)]
        return wr.Report(
            entity=self.entity,
            project=self.project,
            title=NAME,
            description="One-shot recognition with Siamese networks.",
            blocks=blocks,
            width="fluid",
        )

    def definition(self) -> dict[str, Any]:
        """Workspace, report and names in plain values, as they would be sent."""
        parts = {"workspace": self.workspace(), "report": self.report()}
        plain = {
            name: json.loads(part._to_model().model_dump_json(by_alias=True, exclude_none=True))
            for name, part in parts.items()
        }
        return plain | {"names": self.names()}

    def save(self) -> list[str]:
        """Create both or update those of an earlier call; returns their addresses."""
        import wandb
        import wandb_workspaces.workspaces as ws

        view, page = self.workspace(), self.report()
        api = wandb.Api()
        path = f"{self.entity}/{self.project}"
        for report in api.reports(path):
            if report.display_name == page.title:
                page.id = report.id
        try:
            saved = ws.Workspace.from_url(f"{api.settings['base_url']}/{path}?nw={_VIEW}")
        except ValueError:  # there is none yet
            view._internal_name = f"nw-{_VIEW}-v"
        else:
            saved.name, saved.sections = view.name, view.sections
            saved.settings, saved.runset_settings = view.settings, view.runset_settings
            view = saved
        return [view.save().url, page.save().url]


@entry_point()
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point.

    Raises:
        SystemExit: 1 if the extra or the login is missing or the server fails, 2 for a wrong
            command line.
    """
    try:
        _run(_parser().parse_args(argv))
    except UserError as error:
        sys.exit(f"Error: {error}")


def _run(arguments: argparse.Namespace) -> None:
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError('wandb-workspaces is not installed: pip install -e ".[dashboard]"')
    if not arguments.dry_run and not has_login():
        raise UserError("not logged in to W&B: run `wandb login`, or use --dry-run")
    settings = SETTINGS if arguments.sweep is None else _swept(arguments.sweep)
    entity = arguments.entity or ("you" if arguments.dry_run else _own_entity())
    dashboard = Dashboard(entity, arguments.project, settings)
    if arguments.dry_run:
        print(json.dumps(dashboard.definition(), indent=2))
        return
    try:
        print("\n".join(dashboard.save()))
    except Exception as error:  # whatever the server or its client raises
        raise UserError(f"W&B has not accepted the dashboard: {error}") from error


def _own_entity() -> str:
    import wandb

    try:
        return str(wandb.Api(timeout=30).default_entity)
    except Exception as error:
        raise UserError(f"W&B cannot be reached: {error}") from error


def _swept(folder: Path) -> list[str]:
    """The settings that a sweep varies, without the seed."""
    from siamese_oneshot.runs.job import jobs_in

    keys = {key: None for job, _, _ in jobs_in(folder) for key in job.swept if key != "seed"}
    if not keys:
        raise UserError(f"{folder} holds no jobs that differ in a setting: name a sweep's folder")
    return [*keys]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.dashboard",
        description="Create the W&B workspace and report of a project, or update them: test "
        "results, learning curves, mistakes, speed and the sweep.",
    )
    add = parser.add_argument
    add("sweep", nargs="?", type=Path, help="folder of a sweep, whose settings are the columns")
    add("--project", default=default_project(), help="W&B project (default: %(default)s)")
    add("--entity", help="W&B entity that owns the project (default: yours)")
    add("--dry-run", action="store_true", help="print what would be sent, and stop; no server")
    return parser


if __name__ == "__main__":
    main()
