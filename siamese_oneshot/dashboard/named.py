"""Which metrics, settings and images a dashboard names: to be checked against what runs log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Named:
    """Names by where they are looked for.

    Attributes:
        history: metrics over steps, images and tables.
        summary: one value a run.
        config: settings, by dotted path.
        patterns: regular expressions of metrics over steps.
    """

    history: set[str] = field(default_factory=set)
    summary: set[str] = field(default_factory=set)
    config: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, panels: Iterable[Any]) -> Named:
        """The names in panels of ``wandb_workspaces``.

        Raises:
            TypeError: a kind of panel that nothing is known of here.
        """
        found = cls()
        for panel in panels:
            getattr(found, f"_{type(panel).__name__}", found._unknown)(panel)
        return found

    def _LinePlot(self, panel: Any) -> None:
        self.history |= {str(panel.x), *map(str, panel.y)}
        if panel.metric_regex:
            self.patterns.add(panel.metric_regex)

    def _BarPlot(self, panel: Any) -> None:
        for one in panel.metrics:
            self._add(one)

    def _ScatterPlot(self, panel: Any) -> None:
        for one in (panel.x, panel.y):
            self._add(one)

    def _ScalarChart(self, panel: Any) -> None:
        self._add(panel.metric)

    def _ParallelCoordinatesPlot(self, panel: Any) -> None:
        for column in panel.columns:
            self._add(column.metric)

    def _ParameterImportancePlot(self, panel: Any) -> None:
        self.summary.add(panel.with_respect_to)

    def _MediaBrowser(self, panel: Any) -> None:
        self.history |= set(panel.media_keys)

    def _WeavePanelSummaryTable(self, panel: Any) -> None:
        self.history.add(panel.table_name)

    def _RunComparer(self, panel: Any) -> None:
        """It names nothing."""

    def _add(self, one: Any) -> None:
        into = self.config if type(one).__name__ == "Config" else self.summary
        into.add(one if isinstance(one, str) else one.name)

    def _unknown(self, panel: Any) -> None:
        raise TypeError(f"which names {type(panel).__name__} holds is not known here")
