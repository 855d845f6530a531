"""The charts of one run: how validation rose, and what the training did meanwhile."""

from __future__ import annotations

from siamese_oneshot.reports.files import ACCURACY
from siamese_oneshot.reports.pages.charts import (
    MOST_LINES,
    Chart,
    add_curve,
    add_hover,
    add_legend,
    item_of,
    new_chart,
)
from siamese_oneshot.reports.pages.colours import LINES
from siamese_oneshot.reports.pages.metrics import Curve, merged
from siamese_oneshot.reports.value import cut, wide
from siamese_oneshot.utils.tables import Table

Curves = dict[str, Curve]
_INTERVAL = ("val/one_shot_ci_low", "val/one_shot_ci_high")
_VERIFICATION = ("val/verification_accuracy", "val/verification_auroc")
_ROWS = 250  # of the table of validations


def run_charts(curves: Curves, trials: int | None) -> list[Chart]:
    """Those that there is something to show on.

    Args:
        curves: as ``read_curves`` finds them.
        trials: of a validation; None where it is not known.
    """
    made = [_validation(curves, trials), _verification(curves)]
    made += [
        _lines("loss", "Loss and its parts", "loss", _named(curves, "train/")),
        _rates(curves, "rates", "Learning rate", "learning rate", momentum=False),
        _rates(curves, "momentum", "Momentum", "momentum", momentum=True),
        _lines(
            "gradients",
            "Gradient norms",
            "norm before clipping",
            _named(curves, "gradient_norm/"),
            log=True,
        ),
        _lines(
            "speed", "Speed", "images a second", _only(curves, "speed/images_per_second"), low=0
        ),
        _lines(
            "wait",
            "Waiting for data",
            "% of the time",
            _only(curves, "speed/data_wait"),
            scale=100,
            low=0,
        ),
    ]
    return [one for one in made if one is not None]


def _validation(curves: Curves, trials: int | None) -> Chart | None:
    curve = curves.get(ACCURACY)
    if curve is None:
        return None
    from bokeh.models import ColumnDataSource

    band = _band(curves, curve)
    made = new_chart("step", "one-shot accuracy, %")
    if band is not None:
        low, high = band
        sides = ColumnDataSource(
            {
                "step": curve.steps,
                "low": [100 * value for value in low],
                "high": [100 * value for value in high],
            }
        )
        area = made.varea("step", "low", "high", source=sides, color=LINES[0][0], alpha=0.18)
        area.name = "band"
    (line, *_) = add_curve(made, "one-shot", curve, 0, scale=100, dots=True)
    add_hover(made, [line], [("step", "@step"), ("one-shot", "@value{0.00} %")])
    best = max(range(len(curve.steps)), key=lambda n: curve.values[n])
    words = (
        f"Validation one-shot accuracy after each of {len(curve.steps)} validations: "
        f"{100 * curve.values[0]:.2f}% at step {curve.steps[0]:,}, best "
        f"{100 * curve.values[best]:.2f}% at step {curve.steps[best]:,}, last "
        f"{100 * curve.values[-1]:.2f}% at step {curve.steps[-1]:,}."
    )
    if band is not None:
        words += " The band is the 95% interval" + (f" of {trials:,} trials." if trials else ".")
    return Chart(
        "validation", "Validation one-shot accuracy", words, item_of(made), _numbers(curves, band)
    )


def _band(curves: Curves, curve: Curve) -> tuple[list[float], list[float]] | None:
    """Low and high of each validation, as they were logged."""
    low, high = (curves.get(name, Curve()) for name in _INTERVAL)
    return (low.values, high.values) if low.steps == high.steps == curve.steps else None


def _numbers(curves: Curves, band: tuple[list[float], list[float]] | None) -> Table:
    """Each validation in a row, the last ones where there are many."""
    curve = curves[ACCURACY]
    others = [
        dict(zip(one.steps, one.values, strict=True))
        for one in (curves.get(name, Curve()) for name in _VERIFICATION)
    ]
    headings = [">step", ">one-shot %", *([">low %", ">high %"] if band else [])]
    table = Table("Every validation", [*headings, ">verification %", ">AUROC"])
    for n in range(max(0, len(curve.steps) - _ROWS), len(curve.steps)):
        step = curve.steps[n]
        row = [f"{step:,}", f"{100 * curve.values[n]:.2f}"]
        row += [f"{100 * side[n]:.2f}" for side in band or ()]
        accuracy, auroc = (one.get(step) for one in others)
        row.append("-" if accuracy is None else f"{100 * accuracy:.2f}")
        row.append("-" if auroc is None else f"{auroc:.4f}")
        table.add(*row)
    if len(curve.steps) > _ROWS:
        table.note = f"The last {_ROWS} of {len(curve.steps):,}; csv/ has all."
    return table


def _verification(curves: Curves) -> Chart | None:
    titles = {"accuracy": _VERIFICATION[0], "AUROC": _VERIFICATION[1]}
    found = {title: curves[name] for title, name in titles.items() if name in curves}
    return _lines(
        "verification", "Same or different (verification)", "%", found, scale=100, dots=True
    )


def _rates(curves: Curves, key: str, title: str, axis: str, *, momentum: bool) -> Chart | None:
    """Of each layer; those that go together share a line."""
    found = _named(curves, "momentum/" if momentum else "lr/")
    highest = [max(curve.values) for curve in found.values()]
    positive = all(min(curve.values) > 0 for curve in found.values())
    log = bool(found) and positive and wide(highest)
    low, high = (0.0, 1.0) if momentum and not log else (None, None)
    return _lines(key, f"{title} of each layer", axis, found, log=log, low=low, high=high)


def _lines(
    key: str,
    title: str,
    axis: str,
    curves: Curves,
    *,
    scale: float = 1.0,
    log: bool = False,
    dots: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Chart | None:
    """A chart of some lines; the first ones where there are too many to tell apart."""
    if not curves:
        return None
    lines = merged(curves)
    shown = lines[:MOST_LINES]
    log = log and all(min(curve.values) > 0 for _, curve in shown)
    made = new_chart("step", axis, y_axis_type="log" if log else "linear")
    if low is not None:
        made.y_range.start = low
    if high is not None:
        made.y_range.end = high
    entries = []
    for number, (name, curve) in enumerate(shown):
        drawn = add_curve(made, name, curve, number, scale=scale, dots=dots)
        drawn[0].name = cut(name, 40)
        entries.append((cut(name, 28), drawn))
    add_hover(
        made,
        [drawn[0] for _, drawn in entries],
        [("line", "$name"), ("step", "@step"), (axis, "@value{0.[0000]}")]
        if not log and key != "rates"
        else [("line", "$name"), ("step", "@step"), (axis, "@value{0.00e+0}")],
    )
    if len(entries) > 1:
        add_legend(made, entries)
    table = Table(title, ["line", ">first", ">last", ">lowest", ">highest"])
    for name, curve in shown:
        values = [scale * value for value in curve.values]
        table.add(name, *map(_short, (values[0], values[-1], min(values), max(values))))
    first = ", ".join(f"{cut(row[0], 40)} from {row[1]} to {row[2]}" for row in table.rows[:6])
    words = f"{title} ({axis}), "
    start = min(curve.steps[0] for _, curve in shown)
    end = max(curve.steps[-1] for _, curve in shown)
    words += f"steps {start:,} to {end:,}: {first}"
    words += "." if len(table.rows) < 7 else f"; {len(table.rows) - 6} more lines."
    if len(lines) > len(shown):
        table.note = f"The first {len(shown)} of {len(lines)} lines; csv/ has all."
    return Chart(key, title, words, item_of(made), table, made.height or 300)


def _short(value: float) -> str:
    return f"{value:.4g}"


def _named(curves: Curves, start: str) -> Curves:
    return {
        name.removeprefix(start): curve for name, curve in curves.items() if name.startswith(start)
    }


def _only(curves: Curves, name: str) -> Curves:
    return {name.rpartition("/")[2].replace("_", " "): curves[name]} if name in curves else {}
