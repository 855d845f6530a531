"""The project's W&B workspace and report: ``python -m siamese_oneshot.dashboard``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siamese_oneshot.loggers.wandb_run import has_login
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


class Dashboard:
    """The workspace and the report of a project.

    Both show the same sections. ``names`` collects what their panels read, so that it can be
    checked against what runs log: metrics over steps, images and tables (``history``), one value a
    run (``summary``), settings (``config``) and regular expressions of metrics (``patterns``).

    Args:
        entity, project: of W&B.
        settings: dotted keys of the configuration, the columns of the parallel coordinates.
    """

    def __init__(self, entity: str, project: str, settings: Sequence[str] = SETTINGS) -> None:
        import wandb_workspaces.reports.v2 as wr  # late: an optional dependency

        self.entity, self.project, self._wr = entity, project, wr
        kinds = ("history", "summary", "config", "patterns")
        self.names: dict[str, set[str]] = {kind: set() for kind in kinds}
        self.names["history"].add(STEP)
        self.sections = self._sections(settings)

    def _sections(self, settings: Sequence[str]) -> list[tuple[str, str, list[Any]]]:
        """Title, description and panels of each section."""
        wide = self._wr.Layout(w=24, h=9)
        half = self._wr.Layout(w=12, h=9)
        parallel = [self._wr.ParallelCoordinatesPlotColumn(self._config(key)) for key in settings]
        parallel.append(
            self._wr.ParallelCoordinatesPlotColumn(self._summary(BEST), display_name="validation")
        )
        results = [
            self._bars("one-shot accuracy, Lake's 20 runs, and Koch et al. 2015", LAKE,
                       "published/koch2015_one_shot_accuracy"),
            self._bars("one-shot accuracy minus Koch et al. 2015, points",
                       "delta_vs_koch2015/one_shot"),
            self._bars("verification accuracy, and Koch et al. 2015", "test/verification_accuracy",
                       "published/koch2015_verification_accuracy"),
            self._bars("verification accuracy minus Koch et al. 2015, points",
                       "delta_vs_koch2015/verification"),
            self._bars("one-shot accuracy within alphabets and its lower bound",
                       "test/within_alphabet_accuracy", "test/within_alphabet_ci_low"),
            self._scatter("validation and test accuracy", self._summary(BEST), self._summary(LAKE)),
            self._table("comparison"),
        ]  # fmt: skip
        learning = [
            self._lines("one-shot accuracy", "val/one_shot_accuracy"),
            self._lines("95% interval", "val/one_shot_ci_low", "val/one_shot_ci_high"),
            self._lines("verification", "val/verification_accuracy", "val/verification_auroc"),
            self._lines("loss and its parts", "train/loss", "train/cross_entropy", "train/l2"),
            self._lines("learning rate", pattern=r"^lr(-\w+)?(/[\w. ]+)?$"),
            self._lines("momentum", pattern="momentum"),
            self._lines("gradient norm", pattern="^gradient_norm/"),
            self._wr.ScalarChart(title="best one-shot accuracy", metric=self._summary(BEST),
                                 groupby_aggfunc="max"),
        ]  # fmt: skip
        mistakes = [
            *map(self._plot, ("episode", "mistakes", "confusions", "verification_scores",
                              "per_alphabet", "accuracy_vs_way")),
            self._table("mistakes"),
            *map(self._plot, ("filters", "augmentations")),
        ]  # fmt: skip
        speed = [
            self._lines("images per second", "speed/images_per_second"),
            self._lines("share of the time spent waiting for data", "speed/data_wait"),
            self._bars("training time, seconds", "train_seconds"),
        ]
        sweep = [
            self._wr.ParallelCoordinatesPlot(title="settings and validation accuracy",
                                             columns=parallel, layout=wide),
            self._wr.ParameterImportancePlot(with_respect_to=BEST, layout=half),
            self._scatter(f"{settings[0]} and validation accuracy", self._config(settings[0]),
                          self._summary(BEST), layout=half),
            self._wr.RunComparer(diff_only=True, layout=wide),
        ]  # fmt: skip
        return [
            ("Test results", "Accuracy on the test set, used once a run, beside published results.",
             results),
            ("Learning", "Scores on the validation set, with 95% intervals.", learning),
            ("Mistakes", "What the network confuses on the validation set.", mistakes),
            ("Speed", "Images per second, and time spent waiting for data.", speed),
            ("Sweep", "Effect of each setting on the best validation score.", sweep),
        ]  # fmt: skip

    def _summary(self, name: str) -> Any:
        self.names["summary"].add(name)
        return self._wr.SummaryMetric(name)

    def _config(self, key: str) -> Any:
        self.names["config"].add(key)
        return self._wr.Config(key)

    def _lines(self, title: str, *names: str, pattern: str | None = None) -> Any:
        self.names["history"] |= set(names)
        self.names["patterns"] |= {pattern} if pattern else set()
        y = {"metric_regex": pattern} if pattern else {"y": [*names]}
        return self._wr.LinePlot(title=title, x=STEP, title_x="step", **y)

    def _bars(self, title: str, *names: str) -> Any:
        return self._wr.BarPlot(title=title, metrics=[self._summary(name) for name in names])

    def _scatter(self, title: str, x: Any, y: Any, **options: Any) -> Any:
        return self._wr.ScatterPlot(title=title, x=x, y=y, **options)

    def _table(self, name: str) -> Any:
        self.names["history"].add(name)
        layout = self._wr.Layout(w=24, h=9)
        return self._wr.WeavePanelSummaryTable(table_name=name, layout=layout)

    def _plot(self, name: str) -> Any:
        key = f"plots/{name}"
        self.names["history"].add(key)
        return self._wr.MediaBrowser(title=name, media_keys=[key], num_columns=1)

    def workspace(self) -> Any:
        """The saved view of the project's runs."""
        import wandb_workspaces.workspaces as ws

        columns = [f"summary:{name}" for name in (BEST, LAKE, "delta_vs_koch2015/one_shot")]
        return ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=NAME,
            sections=[ws.Section(name=title, panels=panels, is_open=True)
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
        return plain | {"names": {kind: sorted(names) for kind, names in self.names.items()}}

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
    from siamese_oneshot.sweeps.job import jobs_in

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
    add("--project", default="siamese_oneshot", help="W&B project (default: siamese_oneshot)")
    add("--entity", help="W&B entity that owns the project (default: yours)")
    add("--dry-run", action="store_true", help="check and print the definition; needs no server")
    return parser


if __name__ == "__main__":
    main()
