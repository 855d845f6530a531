"""What is drawn, read back from the figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_hex
from PIL import Image

from siamese_oneshot.data.distort import Distortion
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import Question
from siamese_oneshot.evaluation.examine import Answered
from siamese_oneshot.pictures import (
    draw_alphabets,
    draw_distortions,
    draw_filters,
    draw_map,
    draw_mistakes,
    draw_pair_scores,
    draw_trial,
    draw_ways,
    save,
)
from siamese_oneshot.pictures.embedding import places_of
from siamese_oneshot.pictures.style import BLUE, GREEN, RED
from siamese_oneshot.pictures.trials import worst_mistakes

# Of AlphabetA: six classes by six drawers; a class's drawings stand side by side.
SUPPORTS = torch.tensor([[1, 7, 13]])


def answered(scores: Sequence[Sequence[float]], answers: Sequence[int]) -> Answered:
    n = len(scores)
    queries = torch.arange(n) * 6
    table = torch.tensor(scores)
    trials = Trials(queries, SUPPORTS.expand(n, 3)[..., None], torch.tensor(answers))
    return Answered(Question("yardstick", "hard", "rule", trials), table, table.argmax(1))


def cells(figure):
    """Axes with a picture, all the way down."""
    return [axes for axes in figure.axes if axes.images]


def colour(axes) -> str:
    return to_hex(axes.spines["left"].get_edgecolor()).upper()


def shows(axes, picture: torch.Tensor) -> bool:
    return np.array_equal(np.asarray(axes.images[0].get_array()), 255 - picture.numpy())


@pytest.mark.parametrize(
    ("answer", "titles", "frames", "word"),
    [
        (1, ["-3.0", "2.5 ✓ right", "0.0"], ["#CCCCCC", GREEN, "#CCCCCC"], "right"),
        (2, ["-3.0", "2.5 ✗ chosen", "0.0 ✓ this one"], ["#CCCCCC", RED, GREEN], "wrong"),
    ],
)
def test_a_trial(
    drawings: Drawings, answer: int, titles: list[str], frames: list[str], word: str
) -> None:
    figure = draw_trial(drawings, answered([[-3.0, 2.5, 0.0]], [answer]), 0)
    query, *supports = cells(figure)
    assert shows(query, drawings.pixels[0])
    assert colour(query) == BLUE
    for cell, position in zip(supports, SUPPORTS[0], strict=True):
        assert shows(cell, drawings.pixels[position])
    assert [cell.get_title() for cell in supports] == titles
    assert [colour(cell) for cell in supports] == frames
    assert figure.get_suptitle() == f"3-way one-shot in AlphabetA: {word}"


def test_the_worst_mistakes_come_first_and_each_query_once(drawings: Drawings) -> None:
    scores = [[0.0, 1.0, 0.0], [0.0, 5.0, 0.0], [9.0, 0.0, 0.0], [0.0, 3.0, 0.0]]
    made = answered(scores, [0, 0, 0, 0])
    assert worst_mistakes(made, 9) == [1, 3, 0]  # the third is right
    assert worst_mistakes(made, 2) == [1, 3]
    again = made.question.trials.queries.clone()
    again[3] = again[1]
    trials = Trials(again, made.question.trials.supports, made.question.trials.answers)
    twice = Answered(Question("", "", "", trials), made.scores, made.picks)
    assert worst_mistakes(twice, 9) == [1, 0]
    figure = draw_mistakes(drawings, made, 2)
    drawn = cells(figure)
    assert len(drawn) == 6
    for cell, position in zip(drawn[:3], (6, 1, 7), strict=True):  # query, right, chosen
        assert shows(cell, drawings.pixels[position])
    assert [cell.get_title() for cell in drawn[:3]] == ["query", "right 0.0", "chosen 5.0"]
    assert "3 of 4 trials wrong" in figure.get_suptitle()


def test_no_mistake_at_all(drawings: Drawings) -> None:
    figure = draw_mistakes(drawings, answered([[1.0, 0.0, 0.0]], [0]))
    assert "no mistake" in figure.get_suptitle()
    assert not cells(figure)


def test_ways() -> None:
    figure = draw_ways({"a": [(1, 1.0, 1.0, 1.0), (3, 0.5, 0.4, 0.6)], "b": [(2, 0.7, 0.6, 0.8)]})
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["a"] == [[1, 100], [3, 50]]
    assert lines["b"] == [[2, 70]]
    assert lines["guessing"] == [[1, 100], [2, 50], [3, pytest.approx(100 / 3)]]
    (band, _) = axes.collections
    assert {40, 60} <= set(np.round(band.get_paths()[0].vertices[:, 1]).tolist())


def test_alphabets_best_on_top() -> None:
    figure = draw_alphabets([("Low_er", 0.25, 0.2, 0.3), ("High", 0.75, 0.7, 0.9)])
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [25, 75]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Low er", "High"]
    assert any("mean of alphabets 50.0" in line.get_label() for line in axes.lines)


def test_pair_scores() -> None:
    same = torch.tensor([1.0] * 30 + [0.0] * 20)
    logits = torch.cat([torch.linspace(1, 2, 30), torch.linspace(-2, -1, 20)])
    figure = draw_pair_scores(logits, same, -0.25)
    (axes,) = figure.axes
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert labels == {"same (30)", "different (20)", "threshold"}
    assert sum(bar.get_height() for bar in axes.patches) == 50
    (line,) = axes.lines
    assert list(line.get_xdata()) == [-0.25, -0.25]


def test_filters_are_scaled_about_zero() -> None:
    weight = torch.randn(10, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    drawn = cells(draw_filters(weight))
    assert len(drawn) == 10
    for cell, kernel in zip(drawn, weight[:, 0], strict=True):
        image = cell.images[0]
        assert np.allclose(image.get_array(), kernel.numpy())
        most = float(kernel.abs().max())
        assert image.get_clim() == pytest.approx((-most, most))


def test_distortions_begin_with_the_plain_picture(drawings: Drawings) -> None:
    plain = drawings.pixels[:2, None].float() / 255
    figure = draw_distortions(plain, Distortion(), torch.Generator().manual_seed(0), copies=3)
    drawn = cells(figure)
    assert len(drawn) == 8
    assert shows(drawn[0], drawings.pixels[0])
    assert shows(drawn[4], drawings.pixels[1])
    assert not shows(drawn[1], drawings.pixels[0])
    arrays = [np.asarray(cell.images[0].get_array()) for cell in drawn[1:4]]
    assert not np.array_equal(arrays[0], arrays[1])


def test_the_map_keeps_classes_together_and_repeats(drawings: Drawings) -> None:
    positions = torch.arange(36)  # AlphabetA
    vectors = torch.nn.functional.one_hot(drawings.classes[positions], 6).float() * 4
    vectors += torch.randn(36, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    places = places_of(vectors, 0)
    assert np.array_equal(places, places_of(vectors, 0))
    assert places.min() == 0
    assert places.max() == 1
    centres = np.stack([places[6 * k : 6 * k + 6].mean(0) for k in range(6)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(1)
    assert nearest.tolist() == [k // 6 for k in range(36)]
    figure = draw_map(drawings, positions, vectors)
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    assert (canvas < 1).any(axis=2).sum() > 1000
    assert "AlphabetA: 6 characters, 36 drawings" in figure.axes[0].get_title()


def test_a_saved_picture_opens_and_pyplot_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ways.png"
    save(draw_ways({"a": [(1, 1.0, 1.0, 1.0), (2, 0.5, 0.4, 0.6)]}), path)
    with Image.open(path) as image:
        assert image.size == (975, 624)
    assert [file.name for file in path.parent.iterdir()] == ["ways.png"]
    assert pyplot.get_fignums() == []
