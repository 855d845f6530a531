"""What the charts show, read back from Bokeh's JSON."""

from __future__ import annotations

import base64
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_jobs import swept

from siamese_oneshot.reports import charts
from siamese_oneshot.reports.aggregate import Importance, Report
from siamese_oneshot.reports.charts import (
    ABSENT,
    Chart,
    chosen_keys,
    over_seeds,
    run_charts,
    step_axes,
    sweep_charts,
)
from siamese_oneshot.reports.read import ACCURACY, Curve, RunRecord, Sweep

STYLE = Path(charts.__file__).parent / "templates" / "style.css"
Rows = list[tuple[dict[str, Any], float | None, str]]


def sweep_chart(key: str, sweep: Sweep, importance: Importance | None = None) -> Chart | None:
    report = Report(sweep)
    report.importance = importance or Importance()
    return next((chart for chart in sweep_charts(report) if chart.key == key), None)


def columns(chart: Chart | None) -> list[dict[str, Any]]:
    """The data of each source of a chart, in order."""
    assert chart is not None
    found: list[dict[str, Any]] = []

    def visit(value: dict[str, Any]) -> dict[str, Any]:
        if value.get("name") == "ColumnDataSource":
            found.append({k: plain(v) for k, v in value["attributes"]["data"]["entries"]})
        return value

    json.loads(chart.item, object_hook=visit)
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") == "ndarray":
        raw = gzip.decompress(base64.b64decode(value["array"]["data"]))
        return np.frombuffer(raw, value["dtype"]).tolist()
    return value


def test_the_scores_against_each_setting() -> None:
    rows: Rows = [
        ({"a": 1}, 0.5, "finished"),
        ({"a": 4}, 0.9, "pruned"),
        ({"a": 3}, 0.4, "finished"),
    ]
    rows += [
        ({"a": 2}, 0.75, "finished"),
        ({"a": 5}, None, "failed"),
        ({"a": 5}, 0.2, "unfinished"),
    ]
    sweep = swept(rows)
    (marks,) = columns(sweep_chart("against-0", sweep))
    assert marks["job"] == [0, 1, 2, 3, 5], "those with a score"
    assert marks["validation"] == [50, 90, 40, 75, 20]
    assert marks["status"] == [
        "finished", "pruned", "finished", "finished", "not finished, best so far",
    ]  # fmt: skip
    assert marks["x"] == [1, 4, 3, 2, 5]
    job = sweep_chart("against-1", sweep)
    assert columns(job)[0]["x"] == [0, 1, 2, 3, 5]
    assert job is not None
    assert job.title == "Validation accuracy against job"
    assert job.description.endswith(
        ". Blue: finished; gray: pruned; orange: not finished, best so far."
    )
    done = sweep_chart("against-0", swept([({"a": 1}, 0.5)]))
    assert done is not None
    assert done.description == "1 job: 1 finished."
    assert sweep_chart("against-0", swept([({}, None, "failed")])) is None


@pytest.mark.parametrize(
    ("values", "axis", "x"),
    [
        ([1, 2, 21], "LinearAxis", [1, 2, 21]),
        ([1, 2, 20], "LogAxis", [1, 2, 20]),
        ([0, 1, 100], "LinearAxis", [0, 1, 100]),
        (["b", True, 2], "CategoricalAxis", ["b", "true", "2"]),
        (["b", "n" * 23], "CategoricalAxis", ["b", "n" * 23]),
    ],
)
def test_the_axis_suits_the_values(values: list[Any], axis: str, x: list[Any]) -> None:
    chart = sweep_chart("against-0", swept([({"a": value}, 0.5) for value in values]))
    assert columns(chart)[0]["x"] == x
    assert chart is not None
    assert f'"name":"{axis}"' in chart.item
    assert ('"major_label_orientation":"vertical"' in chart.item) == ("n" * 23 in x)
    assert chart.height == (300 + 6 * 23 if "n" * 23 in x else 300), "long words need room"


def test_few_values_are_the_marks_of_their_axis() -> None:
    for count in (5, 6):
        chart = sweep_chart("against-0", swept([({"a": 4**n}, 0.5) for n in range(count)]))
        assert chart is not None
        assert ('"ticks":[1.0,4.0,16.0,64.0,256.0]' in chart.item) == (count == 5)


def test_jobs_that_lack_a_setting_have_a_place_on_its_axis() -> None:
    chart = sweep_chart("against-0", swept([({"a": 10}, 0.5), ({}, 0.5), ({"a": 9}, 0.5)]))
    assert columns(chart)[0]["x"] == ["10", ABSENT, "9"]
    assert chart is not None
    assert f'"factors":["10","9","{ABSENT}"]' in chart.item


def test_the_most_important_settings_are_offered_first() -> None:
    names = [f"k{n}" for n in range(12)]
    sweep = swept([({**dict.fromkeys(names, n), "same": 1}, 0.1 * n) for n in range(3)])
    ranked = Importance({"k11": 0.9, "k10": 0.1})
    keys = ["k11", "k10", "k0", "k1", "k2", "k3", "k4", "k5"]
    assert chosen_keys(sweep.runs, sweep.keys, ranked) == keys


@pytest.mark.parametrize("jobs", [3, 9])
def test_the_validation_curves_of_all_jobs(jobs: int) -> None:
    sweep = swept([({"a": n}, 0.1 * n) for n in range(1, jobs + 1)])
    for run in sweep.runs[1:]:
        run.curves = {ACCURACY: Curve([1, 2], [0.0, run.val_accuracy or 0])}
    chart = sweep_chart("validations", sweep)
    assert chart is not None
    assert [c["value"][-1] for c in columns(chart)] == pytest.approx(
        [10.0 * n for n in range(2, jobs + 1)], rel=1e-6
    )
    assert f"single jobs: job {jobs - 1} with {10 * jobs}.00%" in chart.description


def test_seeds_are_one_line_with_a_band() -> None:
    """At the steps that both seeds have; the third job has one seed and no band."""
    sweep = swept([({"a": 1}, 0.5), ({"a": 1}, 0.7), ({"a": 2}, 0.9)])
    for run, values in zip(sweep.runs, ([0.1, 0.5], [0.3, 0.7], [0.8, 0.9]), strict=True):
        run.curves = {ACCURACY: Curve([1, 2], values)}
    sweep.runs[0].curves[ACCURACY] = Curve([1, 2, 3], [0.1, 0.5, 0.9])
    low, mean, high = over_seeds(sweep.runs[:2])
    assert low == Curve([1, 2], [0.1, 0.5])
    assert mean == Curve([1, 2], [pytest.approx(0.2), pytest.approx(0.6)])
    assert high == Curve([1, 2], [0.3, 0.7])
    chart = sweep_chart("validations", sweep)
    assert chart is not None
    assert '"jobs 0, 1: a=1"' in chart.item
    assert '"job 2: a=2"' in chart.item
    band, line, other = columns(chart)
    assert band["low"] == pytest.approx([10, 50], rel=1e-6)
    assert band["high"] == pytest.approx([30, 70], rel=1e-6)
    assert line["value"] == pytest.approx([20, 60], rel=1e-6)
    assert other["value"] == pytest.approx([80, 90], rel=1e-6)


def test_the_axes_that_steps_can_be_read_on() -> None:
    """Batches of 5 x 4 x 3 images, 10 an epoch; 60 images a second, then 30."""
    (run,) = swept([({}, 0.5)]).runs
    sampler = {"n_alphabets": 5, "n_way": 4, "n_drawers": 3, "steps_per_epoch": 10}
    run.config = {"sampler": sampler}
    run.curves = {"speed/images_per_second": Curve([30, 60], [60.0, 30.0])}
    assert step_axes([run]) == {
        "epochs": {"0": [[0, 10], [0, 1]]},
        "images": {"0": [[0, 1], [0, 60]]},
        "minutes": {"0": [[0, 30, 60], [0, 0.5, 1.5]]},
    }
    run.config["trainer"] = {"accumulate_grad_batches": 2}  # a step is two batches
    assert step_axes([run]) == {
        "epochs": {"0": [[0, 5], [0, 1]]},
        "images": {"0": [[0, 1], [0, 120]]},
        "minutes": {"0": [[0, 30, 60], [0, 1, 3]]},
    }
    del run.config["trainer"]
    other = RunRecord(run.folder, number=1, config={"sampler": {"batch_size": 8}})
    assert step_axes([run, other]) == {"images": {"0": [[0, 1], [0, 60]], "1": [[0, 1], [0, 16]]}}
    assert step_axes([]) == {}
    pairs = {"batch_size": 128, "n_fixed_pairs": 150_000, "n_augmented_copies": 8}
    fixed = RunRecord(run.folder, number=0, config={"sampler": {"steps_per_epoch": 250, **pairs}})
    assert step_axes([fixed])["epochs"] == {
        "0": [[0, 10_547], [0, 1]]
    }  # as conf/experiment/paper.yaml


def test_the_charts_of_a_run() -> None:
    (run,) = swept([({}, 0.5)]).runs
    run.curves = {f"lr/conv{n}": Curve([1, 2], [0.5, 0.25 / n]) for n in (1, 2)}
    run.curves |= {"momentum": Curve([1, 2], [0.9, 0.9]), "train/l2": Curve([1], [0.0])}
    (chart,) = run_charts(run)
    assert chart.key == "learning-rate", "what never changes is not drawn"
    assert [line["value"] for line in columns(chart)] == [[0.5, 0.25], [0.5, 0.125]]
    run.curves = {"speed/data_wait": Curve([1, 2], [0.016, 0.0155])}
    run.curves |= {"train/loss": Curve([1, 2], [0.7, 0.25])}
    loss, wait = run_charts(run)
    assert (loss.title, loss.description) == (
        "Training loss", "Loss, steps 1 to 2. From 0.7 to 0.25.")  # fmt: skip
    assert '"start":0' in wait.item, "a share of 1.6% looks small"
    assert columns(wait)[0]["value"] == pytest.approx([1.6, 1.55])
    run.curves["lr"] = Curve([1, 2], [0.5, 0.25])
    run.curves["train/l2"] = Curve([1, 2], [0.0, 0.0])
    assert [chart.title for chart in run_charts(run)] == [
        "Training loss", "Learning rate", "Time spent waiting for data",
    ]  # fmt: skip
    points = {ACCURACY: 0.5, "val/one_shot_ci_low": 0.4, "val/one_shot_ci_high": 0.6}
    run.curves = {name: Curve([60], [value]) for name, value in points.items()}
    (single,) = run_charts(run)
    assert single.description == "In %, step 60. Highest: 50.00% at step 60.", "a point has no band"


def test_lines_of_a_run_that_say_nothing_are_left_out() -> None:
    """Those that are 0 or coincide with others; errors stand apart from accuracies."""
    (run,) = swept([({}, 0.5)]).runs
    values = {"train/cross_entropy": [1.0, 0.5], "train/l2": [0.0, 0.0], "train/loss": [1.0, 0.5]}
    values |= {"val/verification_accuracy": [0.5, 0.75], "val/verification_auroc": [0.625, 0.875]}
    values |= {"val/verification_eer": [0.5, 0.25], "gradient_norm/all": [1.0, 1e-5]}
    run.curves = {name: Curve([1, 2], numbers) for name, numbers in values.items()}
    verification, error, loss, norm = run_charts(run)
    assert [line["value"] for line in columns(verification)] == [[50, 75], [62.5, 87.5]]
    assert error.title == "Equal error rate on the validation set"
    assert [line["value"] for line in columns(error)] == [[50, 25]]
    assert [line["value"] for line in columns(loss)] == [[1, 0.5]]
    assert '"cross_entropy, loss"' in loss.item
    assert '"format":"%.6g"' in norm.item, "0.0001, where Bokeh's own formatter has many digits"


def luminance(color: str) -> float:
    """Of WCAG 2."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def inverted(color: str) -> str:
    """By the style sheet's filter: ``invert(1) hue-rotate(180deg)`` of the CSS filter effects."""
    red, green, blue = (255 - int(color[n : n + 2], 16) for n in (1, 3, 5))
    rows = ((-0.574, 1.43, 0.144), (0.426, 0.43, 0.144), (0.426, 1.43, -0.856))
    parts = [row[0] * red + row[1] * green + row[2] * blue for row in rows]
    return "#" + "".join(f"{min(255, max(0, round(part))):02x}" for part in parts)


def test_colors_can_be_seen_on_light_and_dark_pages() -> None:
    assert math.isclose(contrast("#000000", "#ffffff"), 21)
    assert "filter: invert(1) hue-rotate(180deg);" in STYLE.read_text()
    assert contrast(charts.TEXT, "#ffffff") >= 7
    assert contrast(inverted(charts.TEXT), "#14171c") >= 7
    for color in (*charts.LINES, charts.AXIS):
        assert contrast(color, "#ffffff") >= 3
        assert contrast(inverted(color), "#14171c") >= 3


def test_the_grid_can_be_seen_and_is_faint() -> None:
    chart = sweep_chart("against-0", swept([({"a": 1}, 0.5)]))
    assert chart is not None
    assert f'"grid_line_color":"{charts.AXIS}","grid_line_alpha":0.25' in chart.item
    for line, page in ((charts.AXIS, "#ffffff"), (inverted(charts.AXIS), "#14171c")):
        parts = [[int(color[n : n + 2], 16) for n in (1, 3, 5)] for color in (line, page)]
        mixed = [round(0.25 * a + 0.75 * b) for a, b in zip(*parts, strict=True)]
        assert 1.2 < contrast("#" + "".join(f"{part:02x}" for part in mixed), page) < 1.5


def test_the_style_sheet_can_be_read_in_light_and_dark() -> None:
    light, _, rest = STYLE.read_text().partition("@media")
    for text in (light, rest.partition("* {")[0]):
        block = text.split("{")[-1].split("}")[0].replace("\n", "").replace(" ", "")
        found = dict(line.split(":") for line in block.split(";") if line.startswith("--"))
        for name in ("text", "soft", "link", "good", "bad", "open"):
            for ground in ("page", "box"):
                assert contrast(found[f"--{name}"], found[f"--{ground}"]) >= 4.5, (name, ground)
        for ground in ("warn", "own"):
            assert contrast(found["--text"], found[f"--{ground}"]) >= 4.5
