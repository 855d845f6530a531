"""One chart as Bokeh draws it in the page: figure, what it says in words, and its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from siamese_oneshot.reports.pages.colours import AXIS, GRID, PAGE, TEXT, style_of
from siamese_oneshot.reports.pages.metrics import Curve
from siamese_oneshot.utils.tables import Table

POINTS = 500  # of a line
MOST_LINES = 24  # of a chart
Figure = Any  # Bokeh's; its declared types are wider than what a new one holds
FONT = "system-ui, sans-serif"


@dataclass
class Chart:
    """A chart with what stands for it where it cannot be seen.

    Attributes:
        key: of the element on the page.
        title: over it.
        words: what it shows, with its numbers.
        item: Bokeh's JSON.
        table: the numbers; None where they are elsewhere on the page.
        height: in pixels.
    """

    key: str
    title: str
    words: str
    item: str
    table: Table | None = None
    height: int = 300


def new_chart(x: str, y: str, *, height: int = 300, **options: Any) -> Figure:
    """An empty figure as wide as its place, in the page's look."""
    from bokeh.models import BoxZoomTool, ResetTool
    from bokeh.plotting import figure

    made = figure(
        height=height,
        sizing_mode="stretch_width",
        tools=[BoxZoomTool(), ResetTool()],
        toolbar_location="above",
        x_axis_label=x,
        y_axis_label=y,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=12,
        **options,
    )
    made.toolbar.logo = None
    made.grid.grid_line_color = GRID[0]
    for axis in made.axis:
        axis.axis_line_color = axis.major_tick_line_color = AXIS[0]
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = TEXT[0]
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
    return made


def add_hover(made: Figure, renderers: Sequence[Any], tips: Sequence[tuple[str, str]]) -> None:
    """Say what is under the pointer; texts of folders come as columns, which Bokeh escapes."""
    from bokeh.models import HoverTool

    made.add_tools(HoverTool(renderers=list(renderers), tooltips=list(tips)))


def add_curve(
    made: Figure, name: str, curve: Curve, number: int, *, scale: float = 1.0, dots: bool = False
) -> list[Any]:
    """A line with a legend's entry.

    Returns:
        What the legend switches on and off.
    """
    color, dash = style_of(number)
    source = source_of(curve, name, scale)
    drawn = [made.line("step", "value", source=source, color=color, line_dash=dash, line_width=2)]
    if dots or len(curve.steps) < 3:
        drawn.append(made.scatter("step", "value", source=source, color=color, size=5))
    return drawn


def source_of(curve: Curve, name: str, scale: float = 1.0, **more: Any) -> Any:
    """The points as Bokeh sends them: packed, a few kilobytes a line."""
    import numpy as np
    from bokeh.models import ColumnDataSource

    thin = curve.thinned(POINTS)
    return ColumnDataSource(
        {
            "step": np.array(thin.steps, dtype=np.int32),
            "value": (scale * np.array(thin.values)).astype(np.float32),
        }
        | more,
        name=name,
    )


def add_legend(
    made: Figure, entries: Sequence[tuple[str, Sequence[Any]]], columns: int = 2
) -> None:
    """Below the chart, so that it covers nothing; a click hides a line."""
    from bokeh.core.properties import value
    from bokeh.models.annotations import Legend, LegendItem

    items = [LegendItem(label=value(name), renderers=list(drawn)) for name, drawn in entries]
    legend = Legend(
        items=items,
        location="top_left",
        click_policy="hide",
        ncols=columns,
        label_text_color=TEXT[0],
        label_text_font=FONT,
        label_text_font_size="12px",
        background_fill_color=None,
        border_line_color=None,
        inactive_fill_color=PAGE[0],
        spacing=2,
    )
    made.add_layout(legend, "below")
    made.height += 22 * -(-len(items) // columns)


def item_of(made: Figure) -> str:
    """Bokeh's JSON of a figure, fit to stand within a page's ``<script>``."""
    from bokeh.embed import json_item

    text = json.dumps(json_item(made), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
