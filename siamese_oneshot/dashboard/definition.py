"""The workspace and the report, built from the sections and saved on a W&B server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from siamese_oneshot.dashboard.named import Named
from siamese_oneshot.dashboard.sections import BEST, SETTINGS, STEP, sections

NAME = "Siamese one-shot"
_PINNED = (BEST, "test/lake_runs_accuracy", "delta_vs_koch2015/one_shot")
_VIEW = "siameseoneshot"  # in the workspace's address: the same one is updated ever after


def workspace(entity: str, project: str, settings: Sequence[str] = SETTINGS) -> ws.Workspace:
    """The saved view of the project's runs."""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[
            ws.Section(name=title, panels=panels, is_open=True)
            for title, (_, panels) in sections(settings).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=50),
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary(BEST), ascending=False)],
            pinned_columns=["run:displayName", "run:state", *(f"summary:{one}" for one in _PINNED)],
        ),
    )


def report(entity: str, project: str, settings: Sequence[str] = SETTINGS) -> wr.Report:
    """The same as a page to be read from top to bottom."""
    blocks: list[Any] = [wr.TableOfContents()]
    for title, (answer, panels) in sections(settings).items():
        # Without a project of its own a run set is the report's, and no server is asked for it.
        order = [wr.OrderBy(wr.SummaryMetric(BEST), ascending=False)]
        runs = wr.Runset(name="all runs", order=order)
        blocks += [wr.H1(title), wr.P(answer), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(
        entity=entity,
        project=project,
        title=NAME,
        description="One-shot recognition with Siamese networks: made by siamese_oneshot.dashboard.",
        blocks=blocks,
        width="fluid",
    )


def described(view: ws.Workspace, page: wr.Report) -> dict[str, Any]:
    """Both as they would be sent, in plain values; ``names`` are those that runs must log.

    Raises:
        pydantic.ValidationError: what the server would not understand.
    """
    named = Named.of(panel for section in view.sections for panel in section.panels)
    return {
        "workspace": _plain(view._to_model()),
        "report": _plain(page._to_model()),
        "names": {kind: sorted(names) for kind, names in vars(named).items()},
    }


def save(view: ws.Workspace, page: wr.Report) -> list[str]:
    """Create both, or update those that an earlier call has made.

    Returns:
        Their addresses.
    """
    api = wandb.Api()
    place = f"{view.entity}/{view.project}"
    for one in api.reports(place):
        if one.display_name == page.title:
            page.id = one.id
    try:
        known = ws.Workspace.from_url(f"{api.settings['base_url']}/{place}?nw={_VIEW}")
    except ValueError:  # there is none yet
        view._internal_name = f"nw-{_VIEW}-v"
    else:
        known.name, known.sections = view.name, view.sections
        known.settings, known.runset_settings = view.settings, view.runset_settings
        view = known
    return [view.save().url, page.save().url]


def _plain(model: Any) -> Any:
    return json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
