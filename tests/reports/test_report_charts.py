"""What the images say, read back from the figures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex

from siamese_oneshot.reports.charts import draw_history, draw_importance
from siamese_oneshot.reports.importance import Importance, Share
from siamese_oneshot.reports.job import Data, Job, Sweep
from siamese_oneshot.reports.parallel import ABSENT, chosen_keys, draw_parallel, scale_of


def swept(rows: list[tuple[str, float | None, dict[str, Any]]]) -> Sweep:
    keys = list(dict.fromkeys(key for *_, settings in rows for key in settings))
    jobs = [
        Job(Path(str(n)), str(n), n, status, settings, validation=validation)
        for n, (status, validation, settings) in enumerate(rows)
    ]
    return Sweep([Path()], jobs, keys, [])


def test_history() -> None:
    rows = [("finished", 0.5), ("pruned", 0.9), ("finished", 0.4), ("finished", 0.75)]
    rows += [("failed", None), ("unfinished", 0.2)]  # type: ignore[list-item]
    figure = draw_history(swept([(*row, {}) for row in rows]))
    assert figure is not None
    (axes,) = figure.axes
    (line,) = axes.lines
    # The best of the finished ones only, drawn on to the last job.
    assert line.get_xydata().tolist() == [[0, 50], [2, 50], [3, 75], [5, 75]]
    marks = {one.get_label(): one for one in axes.collections}
    assert marks["finished (3)"].get_offsets().tolist() == [[0, 50], [2, 40], [3, 75]]
    assert marks["pruned (1)"].get_offsets().tolist() == [[1, 90]]
    assert len(marks["pruned (1)"].get_facecolors()) == 0, "hollow"
    assert len(marks["finished (3)"].get_facecolors()) == 1
    assert marks["not finished, best so far (1)"].get_offsets().tolist() == [[5, 20]]
    assert "1 without a score" in figure.get_suptitle()
    assert draw_history(swept([("failed", None, {})])) is None


def test_history_of_none_finished() -> None:
    figure = draw_history(swept([("pruned", 0.5, {})]))
    assert figure is not None
    assert list(figure.axes[0].lines) == []


def test_importance_bars() -> None:
    shares = [Share("optimizer.lr", 0.75, 8, 0), Share("a." + "long_" * 20, 0.25, 5, 3)]
    figure = draw_importance(Importance(shares))
    assert figure is not None
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [75, 25]
    assert axes.patches[0].get_y() > axes.patches[1].get_y(), "the most important on top"
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[0] == "lr"
    assert len(labels[1]) == 36
    assert [text.get_text() for text in axes.texts] == ["75.0", "25.0  (5 jobs)"]
    assert draw_importance(Importance()) is None


def test_scales() -> None:
    line = scale_of([0, 5, 10])
    assert (line.places, line.logarithmic) == ([0, 0.5, 1], False)
    assert line.ticks == [(0, "0"), (0.5, "5"), (1, "10")]
    decades = scale_of([1e-4, 1e-3, 1e-2])
    assert decades.logarithmic
    assert decades.places == pytest.approx([0, 0.5, 1])
    words = scale_of(["b", "a", True, "c", "c"])
    assert words.places == pytest.approx([1 / 3, 0, 1, 2 / 3, 2 / 3])
    assert [label for _, label in words.ticks] == ["a", "b", "c", "true"]
    absent = scale_of([10, ABSENT, 9])
    assert absent.places == [1, 0, 0.5], "at the bottom"
    assert [label for _, label in absent.ticks] == ["not set", "9", "10"]


def test_labels_along_an_axis_do_not_touch() -> None:
    for values in ([1, 2, 3, 4, 100], list(range(40)), [10 ** (-n / 3) for n in range(30)]):
        places = [place for place, _ in scale_of(values).ticks]
        assert len(places) >= 2
        assert (places[0], places[-1]) == (0, 1), "both ends are told"
        gaps = [high - low for low, high in pairwise(places)]
        assert min(gaps) >= 0.07
    assert len(scale_of([f"word {n}" for n in range(50)]).ticks) <= 14


def test_parallel_coordinates() -> None:
    rows: list[tuple[str, float | None, dict[str, Any]]] = [
        ("finished", 0.9, {"optimizer.lr": 0.1, "kind": "a", "same": 1}),
        ("finished", 0.5, {"optimizer.lr": 0.001, "kind": "b", "same": 1}),
        ("finished", 0.7, {"optimizer.lr": 0.01, "same": 1}),
        ("pruned", 0.99, {"optimizer.lr": 5.0, "kind": "c", "same": 2}),
    ]
    sweep = swept(rows)
    figure = draw_parallel(
        sweep, Importance([Share("kind", 0.9, 2, 1), Share("optimizer.lr", 0.1, 3, 0)])
    )
    assert figure is not None
    axes, bar = figure.axes
    jobs = [line for line in axes.lines if line.get_marker() == "o"]
    # From the worst to the best: kind (not set, a, b), then the logarithm of lr.
    assert [line.get_ydata().tolist() for line in jobs] == [
        pytest.approx([1, 0]),
        pytest.approx([0, 0.5]),
        pytest.approx([0.5, 1]),
    ]
    assert jobs[-1].get_zorder() > jobs[0].get_zorder(), "the best is drawn on top"
    colors = [to_hex(line.get_color()) for line in jobs]
    assert (colors[0], colors[-1]) == ("#440154", "#fde725")
    assert bar.get_ylim() == (50, 90)
    labels = [text.get_text() for text in axes.texts]
    assert {"kind", "lr\n(log)", "not set", "a", "b", "0.1", "0.001"} <= set(labels)
    assert "same" not in labels


def test_at_most_eight_axes_the_most_important() -> None:
    names = [f"k{n}" for n in range(12)]
    sweep = swept([("finished", 0.1 * n, dict.fromkeys(names, n)) for n in range(3)])
    ranked = Importance([Share("k11", 0.9, 3, 0), Share("k10", 0.1, 3, 0)])
    chosen = chosen_keys(sweep.jobs, sweep.keys, ranked)
    assert chosen == ["k11", "k10", "k0", "k1", "k2", "k3", "k4", "k5"]
    figure = draw_parallel(sweep, ranked)
    assert figure is not None
    assert "4 less important settings are left out" in figure.get_suptitle()


def test_scores_of_different_data_do_not_compare() -> None:
    sweep = swept([("finished", 0.5, {"a": 1}), ("finished", 0.6, {"a": 2})])
    figure = draw_parallel(sweep, Importance())
    assert figure is not None
    assert "do not compare" not in figure.get_suptitle()
    sweep.jobs[0].data = Data("default", "omniglot", "d", "lake")
    figure = draw_parallel(sweep, Importance())
    assert figure is not None
    assert "do not compare" in figure.get_suptitle().replace("\n", " ")


def test_no_parallel_coordinates_of_one_job_or_one_setting() -> None:
    assert draw_parallel(swept([("finished", 0.5, {"a": 1})]), Importance()) is None
    same = [("finished", 0.5, {"a": 1}), ("finished", 0.6, {"a": 1})]
    assert draw_parallel(swept(same), Importance()) is None  # type: ignore[arg-type]
