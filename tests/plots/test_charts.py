"""What the charts say, read back from the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from siamese_oneshot.plots import draw_per_alphabet, draw_verification_scores, draw_accuracy_vs_way


def test_ways() -> None:
    points = [(3, 0.5, 0.4, 0.6), (1, 1.0, 1.0, 1.0)]  # in any order
    figure = draw_accuracy_vs_way({"a": points, "b": [(2, 0.7, 0.6, 0.8)], "none": []})
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["a"] == [[1, 100], [3, 50]]
    assert lines["b"] == [[2, 70]]
    assert lines["guessing"] == [[1, 100], [2, 50], [3, pytest.approx(100 / 3)]]
    # A single point is drawn as one; the names stand in the order of the curves' ends.
    assert [line.get_marker() for line in axes.lines] == ["o", "", "None"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a", "guessing"]
    (_, band) = axes.collections
    assert {40, 60} <= set(np.round(band.get_paths()[0].vertices[:, 1]).tolist())


def test_alphabets_best_on_top() -> None:
    figure = draw_per_alphabet([("Low_er", 0.25, 0.2, 0.3), ("High", 0.75, 0.7, 0.9)], way=7)
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("7-way accuracy")
    assert [bar.get_width() for bar in axes.patches] == [25, 75]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Low er", "High"]
    assert [text.get_text() for text in axes.texts] == ["25.0", "75.0"]
    (whiskers,) = axes.containers[1].lines[2]
    assert [w[:, 0].tolist() for w in whiskers.get_segments()] == [
        pytest.approx([20, 30]),
        pytest.approx([70, 90]),
    ]
    assert any("mean 50.0" in line.get_label() for line in axes.lines)


def test_pair_scores() -> None:
    same = torch.tensor([1.0] * 30 + [0.0] * 20)
    logits = torch.cat([torch.linspace(1, 2, 30), torch.linspace(-2, -1, 20)])
    figure = draw_verification_scores(logits, same, -0.25)
    (axes,) = figure.axes
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert labels == {"same (30)", "different (20)", "threshold -0.25"}
    assert sum(bar.get_height() for bar in axes.patches) == 50
    (line,) = axes.lines
    assert list(line.get_xdata()) == [-0.25, -0.25]


@pytest.mark.parametrize(("wild", "count"), [(1e5, 1), (float("inf"), 1), (float("inf"), 20)])
def test_wild_scores_do_not_squeeze_the_others(wild: float, count: int) -> None:
    same = torch.tensor([1.0] * 50 + [0.0] * 50)
    logits = torch.cat([torch.linspace(1, 2, 50), torch.linspace(-2, -1, 50)])
    logits[7 : 7 + count] = wild
    (axes,) = draw_verification_scores(logits, same, 0.0).axes
    assert axes.get_xlim() == pytest.approx((-2.08, 2.08))
    assert sum(bar.get_height() for bar in axes.patches) == 100
    assert f"; {count} beyond" in axes.figure.get_suptitle()


def test_a_threshold_beyond_all_scores_is_inside_the_chart() -> None:
    (axes,) = draw_verification_scores(torch.linspace(-2, -1, 9), torch.arange(9) % 2, 0.5).axes
    low, high = axes.get_xlim()
    assert low < -2
    assert high > 0.5
    assert "beyond" not in axes.figure.get_suptitle()


def test_equal_scores_have_a_chart() -> None:
    (axes,) = draw_verification_scores(torch.full((4,), 1.5), torch.tensor([0.0, 1, 0, 1]), 1.5).axes
    assert axes.get_xlim() == pytest.approx((0.98, 2.02))
