"""What is drawn, read back from the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.tasks import EpisodeTask
from siamese_oneshot.evaluation.evaluator import EpisodeResults, confusions
from siamese_oneshot.plots.episode_plots import (
    draw_attention,
    draw_confusions,
    draw_episode,
    draw_mistakes,
    ordinal,
    worst_mistakes,
)
from siamese_oneshot.plots.score_plots import draw_accuracy_vs_way, draw_filters
from siamese_oneshot.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    describe,
    heading,
    new_figure,
    readable,
    save,
    tiled,
)

# Of AlphabetA: six classes by six drawers; a class's images stand side by side.
SUPPORTS = torch.tensor([[1, 7, 13]])


def results(
    scores: Sequence[Sequence[float]],
    answers: Sequence[int],
    supports: torch.Tensor = SUPPORTS,
    queries: Sequence[int] = (0, 6, 12, 18),
) -> EpisodeResults:
    """Results of one episode per row of scores; ``supports`` (ways) or (1, ways, shots) of all."""
    n, table = len(scores), torch.tensor(scores)
    supports = (supports if supports.ndim == 3 else supports[..., None]).expand(n, -1, -1)
    episodes = Episodes(torch.tensor(queries[:n]), supports, torch.tensor(answers))
    task = EpisodeTask("within_alphabet", "hard", "rule", episodes)
    return EpisodeResults(task, table, table.argmax(1))


def cells(figure):
    """Axes with an image, all the way down."""
    return [axes for axes in figure.axes if axes.images]


def shows(axes, image: torch.Tensor) -> bool:
    return np.array_equal(np.asarray(axes.images[0].get_array()), 255 - image.numpy())


def placed(figure) -> list[SimpleNamespace]:
    """The images of a sheet with their titles and frames, and their left and top in inches."""
    (axes,) = figure.axes
    count = len(axes.images)
    assert len(axes.patches) == count
    found = []
    for image, patch in zip(axes.images, axes.patches, strict=True):
        left, right, bottom, top = image.get_extent()
        assert patch.get_bbox().extents.tolist() == pytest.approx([left, top, right, bottom])
        edge = to_hex(patch.get_edgecolor()).upper()
        middle = (left + right) / 2, top - 0.05
        (title,) = (one for one in axes.texts if one.get_position() == pytest.approx(middle))
        found.append(
            SimpleNamespace(images=[image], title=title.get_text(), ink=title.get_color(),
                            edge=edge, left=left, top=top)
        )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("answer", "titles", "frames", "word"),
    [
        (1, ["-3.0", "2.5 1st ✓", "0.0 2nd ✗"], ["#CCCCCC", GREEN, ORANGE], "correct"),
        (2, ["-3.0", "2.5 1st ✗", "0.0 2nd ✓"], ["#CCCCCC", RED, GREEN], "wrong"),
        (0, ["-3.0 3rd ✓", "2.5 1st ✗", "0.0 2nd ✗"], [GREEN, RED, ORANGE], "wrong"),
    ],
)
def test_an_episode(
    dataset: CharacterDataset, answer: int, titles: list[str], frames: list[str], word: str
) -> None:
    figure = draw_episode(dataset, results([[-3.0, 2.5, 0.0]], [answer]), "test", 0)
    query, *supports = placed(figure)
    assert shows(query, dataset.pixels[0])
    assert (query.title, query.edge) == ("query", BLUE)
    for cell, index in zip(supports, SUPPORTS[0], strict=True):
        assert shows(cell, dataset.pixels[index])
    assert [cell.title for cell in supports] == titles
    assert [cell.edge for cell in supports] == frames
    title = f"hard, test set: a 3-way one-shot episode in AlphabetA, {word}"
    assert " ".join(figure.get_suptitle().split()) == title
    assert figure.get_label().startswith(f"{title}. Above each image its score")
    assert "here 2.5 above the second" in figure.get_label()


def test_the_rank_of_a_tie_is_that_of_the_prediction(dataset: CharacterDataset) -> None:
    """Ties are broken at random: here the last of three equal scores was predicted."""
    tied = results([[1.0, 1.0, 1.0]], [0])
    tied = EpisodeResults(tied.task, tied.scores, torch.tensor([2]))
    _, *supports = placed(draw_episode(dataset, tied, "test", 0))
    assert [cell.title for cell in supports] == ["1.0 2nd ✓", "1.0", "1.0 1st ✗"]


def test_ordinals() -> None:
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)
    expected = "1st 2nd 3rd 4th 11th 12th 13th 21st 102nd 111th"
    assert " ".join(map(ordinal, numbers)) == expected


@pytest.mark.parametrize(("answer", "shown"), [(1, (7, 1)), (0, (7, 1)), (2, (7, 13))])
def test_attention(dataset: CharacterDataset, answer: int, shown: tuple[int, int]) -> None:
    """Of 2 × 2 locations the last one matters most, and looks at the first."""
    attention = torch.zeros(3, 4, 4)
    attention[:, 3, 0], attention[:, 0, 0] = 0.75, 0.25
    scores = [[0.0, 2.5, -3.0]]
    figure = draw_attention(dataset, results(scores, [answer]), "validation", 0, attention)
    query, *supports = cells(figure)
    for axes, image in zip((query, *supports), (0, *shown), strict=True):
        assert shows(axes, dataset.pixels[image])
    side = dataset.pixels.shape[-1]
    near, far = side / 4 - 0.5, 3 * side / 4 - 0.5
    assert query.lines[0].get_xydata().tolist() == [[far, far]]
    for axes in supports:
        line, mark = axes.lines[:2]
        assert line.get_xydata().tolist() == [[far, far], [near, near]]
        assert mark.get_xydata().tolist() == [[near, near]]
        assert np.array_equal(axes.images[1].get_array(), [[1, 0], [0, 0]])
    assert figure.get_label().startswith("hard, validation set: a 3-way one-shot episode")
    assert "Circles: the 4 locations" in figure.get_supxlabel()


def test_an_episode_of_several_shots_across_alphabets(dataset: CharacterDataset) -> None:
    """Class 6 is the first of AlphabetB; a class's six images stand side by side."""
    supports = torch.tensor([[[1, 2], [37, 38]]])
    figure = draw_episode(dataset, results([[0.0, 1.0]], [1], supports, [36]), "test", 0)
    for cell, image in zip(placed(figure), (36, 1, 37), strict=True):
        assert shows(cell, dataset.pixels[image])
    title = " ".join(figure.get_suptitle().split())
    assert title == (
        "hard, test set: a 2-way 2-shot (first image of each) episode across 2 alphabets, the "
        "query from AlphabetB, correct"
    )


@pytest.mark.parametrize(("way", "columns"), [(1, 1), (20, 5), (23, 6)])
def test_an_episode_of_any_number_of_ways(
    dataset: CharacterDataset, way: int, columns: int
) -> None:
    scores = [-float(n) for n in range(way)]
    one = results([scores], [0], 1 + 6 * torch.arange(way)[None])
    figure = draw_episode(dataset, one, "test", 0)
    query, *supports = placed(figure)
    assert [cell.title.split()[0] for cell in supports] == [f"{score:.1f}" for score in scores]
    width, height = figure.get_size_inches()
    for number, cell in enumerate(supports):  # row by row, right of the query, and none is cut
        row, column = divmod(number, columns)
        assert cell.left == pytest.approx(supports[0].left + 1.05 * column)
        assert cell.top == pytest.approx(supports[0].top + 1.3 * row)
        assert query.left + 1.45 < cell.left < width - 0.95
        assert 0.5 < cell.top < height - 0.95


def test_the_worst_mistakes_come_first_and_each_query_once(dataset: CharacterDataset) -> None:
    scores = [[0.0, 1.0, 0.0], [0.0, 5.0, 0.0], [9.0, 0.0, 0.0], [0.0, 3.0, 0.0]]
    wrong_results = results(scores, [0, 0, 0, 0])
    assert worst_mistakes(wrong_results, 9) == [1, 3, 0]  # the third is right
    assert worst_mistakes(wrong_results, 2) == [1, 3]
    assert worst_mistakes(results(scores, [0, 0, 0, 0], queries=(0, 6, 12, 6)), 9) == [1, 0]
    figure = draw_mistakes(dataset, wrong_results, "test", 2)
    first, second = (placed(figure)[n : n + 3] for n in (0, 3))
    for cell, index in zip(first, (6, 1, 7), strict=True):  # query, true, predicted
        assert shows(cell, dataset.pixels[index])
    assert [cell.title for cell in first] == ["query", "✓ 0.0", "✗ 5.0"]
    assert [cell.edge for cell in first] == [cell.ink for cell in first] == [BLUE, GREEN, RED]
    assert first[2].left < second[0].left
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[3::4] == [
        "AlphabetA\ncharacter02 predicted as character02",
        "AlphabetA\ncharacter04 predicted as character02",
    ]
    assert "hard, test set: 3 of 4 episodes wrong" in figure.get_suptitle()


@pytest.mark.parametrize("draw", [draw_mistakes, draw_confusions])
def test_no_mistake_at_all(dataset: CharacterDataset, draw: Callable[..., Figure]) -> None:
    figure = draw(dataset, results([[1.0, 0.0, 0.0]], [0]), "test")
    assert "0 of 1 episodes wrong" in figure.get_suptitle()
    assert not cells(figure)


def test_a_mistake_across_alphabets_names_both(dataset: CharacterDataset) -> None:
    wrong_results = results([[1.0, 1.25]], [0], torch.tensor([[1, 37]]))
    (axes,) = draw_mistakes(dataset, wrong_results, "test").axes
    title = "AlphabetA character01 predicted as AlphabetB/character01"
    assert " ".join(axes.texts[3].get_text().split()) == title


def test_a_heading_keeps_its_own_lines() -> None:
    figure = new_figure(1, 1)
    heading(figure, "one\ntwo three four", 1, 12)  # 11 letters fit
    assert figure.get_suptitle() == "one\ntwo three\nfour"


def test_a_sheet_is_cut_into_its_images() -> None:
    images = torch.arange(5 * 2 * 3.0).reshape(5, 2, 3)
    sheet = tiled(images, 3, 1)
    assert sheet.shape == (2 * 3 - 1, 3 * 4 - 1)
    for number, image in enumerate(images):
        top, left = number // 3 * 3, number % 3 * 4
        assert torch.equal(sheet[top : top + 2, left : left + 3], image)
    assert int(sheet.isnan().sum()) == sheet.numel() - images.numel()


def test_a_saved_image_opens_and_pyplot_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ways.png"
    save(describe(draw_accuracy_vs_way({"a": [(2, 0.5, 0.4, 0.6)]}), "↔ caption"), path)
    with Image.open(path) as image:
        assert image.size == (1352, 728)
        assert image.info["Description"] == "↔ caption"
    save(draw_filters(torch.ones(1, 1, 3, 3)), path.with_name("filters.png"), dpi=50)
    with Image.open(path.with_name("filters.png")) as image:
        assert image.size == (200, 66)
    assert {file.name for file in path.parent.iterdir()} == {"ways.png", "filters.png"}
    assert pyplot.get_fignums() == []


def test_confusions(dataset: CharacterDataset) -> None:
    """Class 0 is taken for 1 twice, class 2 for 0 once: rows in that order, images of both."""
    scores = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    one = results(scores, [0, 1, 2, 1])
    figure = draw_confusions(dataset, one, "validation", count=1, each=2)
    assert "hard, validation set: " in figure.get_suptitle()
    shown = placed(figure)
    found = confusions(one, dataset.classes)[0]
    for cell, number, own in zip(shown, (found.first, found.second), (BLUE, ORANGE), strict=True):
        assert (cell.title, cell.edge) == (readable(dataset.class_names[number]), own)
        left = np.asarray(cell.images[0].get_array())[:, : dataset.pixels.shape[2]]
        image = dataset.pixels[int((dataset.classes == number).nonzero()[0])]
        assert np.array_equal(left, 255 - image.numpy())
    assert (
        figure.axes[0].texts[2].get_text()
        == f"{100 * found.times / found.n:.0f}%\n{found.times} of {found.n}\nepisodes"
    )
