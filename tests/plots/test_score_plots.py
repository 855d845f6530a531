"""What the charts say, read back from the figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from siamese_oneshot.data.augmentation import Augmentation
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.plots.score_plots import (
    draw_accuracy_vs_way,
    draw_augmentations,
    draw_filters,
    draw_per_alphabet,
    draw_verification_scores,
    reliability_of,
)


def test_ways() -> None:
    points = [(3, 0.5, 0.4, 0.6), (1, 1.0, 1.0, 1.0), (2, 0.6, 0.5, 0.7)]  # in any order
    figure = draw_accuracy_vs_way({"a": points, "b": [(2, 0.7, 0.6, 0.8)], "none": []})
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["a"] == [[2, 0.6], [3, 0.5]]
    assert lines["b"] == [[2, 0.7]]
    assert lines["chance"] == [[2, 0.5], [3, pytest.approx(1 / 3)]]
    # A single point is drawn as one; the names stand in the order of the curves' ends.
    assert [line.get_marker() for line in axes.lines] == ["o", "", "None"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a", "chance"]
    (_, band) = axes.collections
    assert {0.4, 0.6} <= set(np.round(band.get_paths()[0].vertices[:, 1], 6).tolist())


def test_accuracies_near_100_stand_apart_and_published_ones_beside_them() -> None:
    curve = [(way, 0.99, 0.985, 0.995) for way in range(1, 22)]
    figure = draw_accuracy_vs_way({"ours, test alphabets": curve}, "within_alphabet_20way")
    (axes,) = figure.axes
    place = {value: axes.transData.transform((20, value))[1] for value in (0.9, 0.99)}
    assert place[0.99] - place[0.9] > 0.25 * axes.bbox.height
    assert 20 in axes.get_xticks()
    assert {"50", "90", "95", "99"} <= {text.get_text() for text in axes.get_yticklabels()}
    marks = {tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xydata()) == 1}
    assert {(20, 0.92), (20, 0.955)} <= marks, "Koch et al. and humans"
    at = {text.get_text(): (text.xy, text.get_position()) for text in axes.texts}
    (x, value), place = at["92 convolutional Siamese net, Koch 2015"]
    assert (x, value) == (20, 0.92)
    assert len(at) == len({place for _, place in at.values()}), "every name has its own place"
    assert "95.8 Bayesian program learning, Lake 2019, minimal background" in at
    assert place[1] < at["96.7 Bayesian program learning, Lake 2019"][1][1], "best on top"
    assert "published 20-way accuracies on test alphabets" in figure.get_label()


def test_alphabets_best_on_top() -> None:
    def score(name: str, value: float, low: float, high: float) -> Score:
        return Score("k", "test", name, "", value, 0, 0, low, high, "", way=7)

    figure = draw_per_alphabet([score("Low_er", 0.25, 0.2, 0.3), score("High", 0.75, 0.7, 0.9)])
    (axes,) = figure.axes
    assert axes.get_xlabel().startswith("test set, within-alphabet 7-way accuracy")
    assert [bar.get_width() for bar in axes.patches] == [25, 75]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Low er", "High"]
    assert [text.get_text() for text in axes.texts] == ["25.0", "75.0"]
    (whiskers,) = axes.containers[1].lines[2]
    assert [w[:, 0].tolist() for w in whiskers.get_segments()] == [
        pytest.approx([20, 30]),
        pytest.approx([70, 90]),
    ]
    assert any("mean 50.0" in line.get_label() for line in axes.lines)
    FigureCanvasAgg(figure).draw()
    right = axes.get_window_extent().x1  # a line or bar at 100 crosses no number
    assert all(right < text.get_window_extent().x0 for text in axes.texts)


def test_pair_scores() -> None:
    same = torch.tensor([1.0] * 30 + [0.0] * 20)
    logits = torch.cat([torch.linspace(1, 2, 30), torch.linspace(-2, -1, 20)])
    figure = draw_verification_scores(logits, same, -0.25, 2.0, "validation")
    axes, roc, reliability = figure.axes
    assert figure.get_suptitle().startswith("validation set, 50 verification pairs")
    curve, at, _ = roc.lines
    assert [0.0, 1.0] in curve.get_xydata().tolist(), "all of the one kind before the other"
    assert at.get_xydata().tolist() == [[0.0, 1.0]]
    stated, _ = reliability_of((logits + 0.25) / 2, same)
    assert reliability.lines[0].get_xdata().tolist() == pytest.approx(stated), (
        "as the classifier states it"
    )
    text = "At the threshold 100.0% of the same pairs and 0.0% of the different ones"
    assert text in figure.get_label()
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert axes.get_legend().get_frame_on(), "the threshold does not cross its words"
    assert labels == {"same (30)", "different (20)", "threshold -0.25"}
    assert sum(bar.get_height() for bar in axes.patches) == 50
    (line,) = axes.lines
    assert list(line.get_xdata()) == [-0.25, -0.25]


def test_reliability() -> None:
    """Three pairs at a probability of 1/2, two of them same; one at almost 1, which is same."""
    stated, found = reliability_of(torch.tensor([0.0, 0.0, 0.0, 9.0]), torch.tensor([1, 1, 0, 1]))
    assert stated == pytest.approx([0.5, 1 / (1 + np.exp(-9))])
    assert found == pytest.approx([2 / 3, 1.0])


@pytest.mark.parametrize(("wild", "count"), [(1e5, 1), (float("inf"), 1), (float("inf"), 20)])
def test_wild_scores_do_not_squeeze_the_others(wild: float, count: int) -> None:
    same = torch.tensor([1.0] * 50 + [0.0] * 50)
    logits = torch.cat([torch.linspace(1, 2, 50), torch.linspace(-2, -1, 50)])
    logits[7 : 7 + count] = wild
    axes, *_ = draw_verification_scores(logits, same, 0.0).axes
    assert axes.get_xlim() == pytest.approx((-2.08, 2.08))
    assert sum(bar.get_height() for bar in axes.patches) == 100
    assert f"; {count} outliers" in axes.figure.get_suptitle()


@pytest.mark.parametrize(
    ("scores", "threshold", "limits"),
    [
        (torch.linspace(-2, -1, 8), 0.5, (-2.05, 0.55)),  # the threshold is outside all scores
        (torch.full((4,), 1.5), 1.5, (0.98, 2.02)),  # all scores are equal
    ],
)
def test_all_scores_and_the_threshold_are_inside_the_chart(
    scores: torch.Tensor, threshold: float, limits: tuple[float, float]
) -> None:
    axes, *_ = draw_verification_scores(scores, torch.arange(len(scores)) % 2, threshold).axes
    assert axes.get_xlim() == pytest.approx(limits)
    assert "outliers" not in axes.figure.get_suptitle()


def test_filters_are_scaled_about_zero() -> None:
    weight = torch.randn(10, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    (drawn,) = draw_filters(weight).axes
    image = drawn.images[0]
    assert image.get_clim() == (-1, 1)
    sheet = np.asarray(image.get_array())
    for number, kernel in enumerate(weight[:, 0].numpy()):
        top, left = number // 8 * 4, number % 8 * 4
        shown = sheet[top : top + 3, left : left + 3]
        assert np.allclose(shown, kernel / np.abs(kernel).max())
    assert np.isnan(sheet[3]).all()
    assert np.isnan(sheet[4:, 8:]).all()


def test_augmentations_begin_with_the_plain_image(dataset: CharacterDataset) -> None:
    plain = dataset.pixels[:2, None].float() / 255
    side = dataset.pixels.shape[-1]
    random = torch.Generator().manual_seed(0)
    figure = draw_augmentations(plain, Augmentation(), None, random, copies=3)
    (drawn,) = figure.axes
    sheet = np.asarray(drawn.images[0].get_array())
    assert sheet.shape == (2 * (side + 4) - 4, 4 * (side + 4) - 4)
    first, second = sheet[:side], sheet[side + 4 :]
    columns = [slice(at, at + side) for at in range(0, sheet.shape[1], side + 4)]
    assert np.array_equal(first[:, columns[0]], 255 - dataset.pixels[0].numpy())
    assert np.array_equal(second[:, columns[0]], 255 - dataset.pixels[1].numpy())
    assert not np.array_equal(first[:, columns[0]], first[:, columns[1]])
    assert not np.array_equal(first[:, columns[1]], first[:, columns[2]])
    title = figure.get_suptitle()
    labels = {label.get_text(): label.get_position()[0] for label in drawn.get_xticklabels()}
    middle = 2 * (side + 4) + side / 2  # of the third of four columns: three draws' middle
    assert labels == {"original": side / 2, "3 draws of the image's own": middle}
    FigureCanvasAgg(figure).draw()
    inches = drawn.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    assert inches.y0 < 0.1  # no blank strip below
    assert figure.get_figheight() - inches.y1 < 0.4 + 0.17 * len(title.splitlines())
    assert "rotation ±10°, shear ±0.3, scale 0.8-1.2" in " ".join(title.split())


def test_both_augmentations_are_shown(dataset: CharacterDataset) -> None:
    """A shift of the alphabet moves all images of a row; their own adds to it."""
    plain = dataset.pixels[:2, None].float() / 255
    still = {"rotation": 0.0, "shear": 0.0, "scale": (1.0, 1.0), "probability": 1.0}
    shared, own = Augmentation(**still, shift=30.0), Augmentation(**still, shift=0.0)
    random = torch.Generator().manual_seed(0)
    (drawn,) = draw_augmentations(plain, own, shared, random, copies=2).axes
    names = [label.get_text() for label in drawn.get_xticklabels()]
    assert names == ["original", "alphabet", "2 draws of the image's own"]
    side = dataset.pixels.shape[-1]
    row = np.asarray(drawn.images[0].get_array())[:side]
    original, alphabet, *copies = (row[:, at : at + side] for at in range(0, 4 * side, side + 4))
    assert not np.array_equal(original, alphabet)
    assert all(np.array_equal(alphabet, copy) for copy in copies)
    title = drawn.figure.get_suptitle()
    assert title.index("alphabet: ") < title.index("image: ")
    (drawn,) = draw_augmentations(plain, None, shared, random).axes
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["original", "alphabet"]


@pytest.mark.parametrize("count", [1, 3, 64])
def test_no_title_is_wider_than_its_figure(count: int) -> None:
    figure = draw_filters(torch.ones(count, 1, 3, 3))
    FigureCanvasAgg(figure).draw()
    box = figure._suptitle.get_window_extent()
    assert box.x0 > 0
    assert box.x1 < figure.bbox.x1
