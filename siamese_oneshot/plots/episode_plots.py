"""Plots of episodes: one with its scores, its attention, the worst mistakes, confused classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.evaluation.evaluator import EpisodeResults, confusions
from siamese_oneshot.plots.style import (
    BLUE,
    GRAY,
    GREEN,
    LINES,
    ORANGE,
    RED,
    describe,
    frame,
    heading,
    new_figure,
    new_sheet,
    place_image,
    readable,
    show_image,
    tiled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUPS, _GROUP_WIDTH = 3, 3.5  # mistakes side by side, inches of each
_WIDTH, _GAP = 10.4, 6  # of the confusions: inches, and pixels between two images
_LOOKS = 7  # locations of the query whose attention is drawn


def draw_episode(
    dataset: CharacterDataset, results: EpisodeResults, split: str, index: int
) -> Figure:
    """The query and the support set of an episode with scores, as the paper's figure 1.

    Args:
        dataset: The images.
        results: Of the list of episodes.
        split: Of the list: ``validation`` or ``test``.
        index: Of the episode.
    """
    episodes = results.task.episodes
    way, columns = episodes.way, min(episodes.way, 5 if episodes.way <= 20 else 6)
    rows = max(1.5, math.ceil(way / columns))
    width = 2.0 + 1.05 * columns
    title = _title(dataset, results, split, index)
    text = "Above each image its score: how similar it is to the query. The highest score is the"
    text += f" answer, here {_lead(results, index)} the second. ✓: the right class."
    caption = wrapped(text, width, 9)
    top = 0.2 + 0.2 * len(wrapped(title, width, 12).splitlines())
    height = top + 1.3 * rows + 0.2 + 0.15 * len(caption.splitlines())
    figure, axes = new_sheet(width, height)
    query, answer = int(episodes.queries[index]), int(episodes.answers[index])
    box = (0.2, top + 0.3, 1.45, 1.3 * rows - 0.3)
    place_image(axes, dataset.pixels[query], box, "query", BLUE, linewidth=2.5, size=11)
    ranks = _ranks(results, index)
    for number in range(way):
        rank, right_class = ranks[number], number == answer
        color = GREEN if right_class else RED if rank == 1 else ORANGE if rank == 2 else "black"
        label = f"{float(results.scores[index, number]):.1f}"
        frame_of: dict[str, Any] = {"edge": "#cccccc", "linewidth": 0.6}
        if right_class or rank <= 2:
            label += f" {ordinal(rank)} {'✓' if right_class else '✗'}"
            frame_of = {"linewidth": 3}
        row, column = divmod(number, columns)
        box = (1.9 + 1.05 * column, top + 0.3 + 1.3 * row, 0.95, 0.95)
        image = dataset.pixels[int(episodes.supports[index, number, 0])]
        place_image(axes, image, box, label, color, **frame_of)
    heading(figure, title, width)
    figure.supxlabel(caption, fontsize=9, y=0.08 / height)
    return describe(figure, f"{title}. {text}")


def ordinal(rank: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``4th``, ``11th``, ``21st``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(rank % 10 if rank % 100 not in (11, 12, 13) else 0)
    return f"{rank}{ending or 'th'}"


def _ranks(results: EpisodeResults, index: int) -> list[int]:
    """The rank of each class by score from 1; among equal scores the predicted class is first."""
    scores = results.scores[index].clone()
    scores[int(results.picks[index])] = torch.inf
    order = scores.argsort(descending=True, stable=True)
    return (order.argsort() + 1).tolist()


def _lead(results: EpisodeResults, index: int) -> str:
    """How far the highest score is above the second, as the difference of what is printed."""
    scores = results.scores[index].sort(descending=True).values
    lead = round(float(scores[0]), 1) - round(float(scores[min(1, len(scores) - 1)]), 1)
    return f"{lead:.1f} above" if lead else "less than 0.1 above"


def _list_of(results: EpisodeResults, split: str) -> str:
    """The name of a list of episodes with its set."""
    title = results.task.title
    return title if split in title else f"{title}, {split} set"


def _title(dataset: CharacterDataset, results: EpisodeResults, split: str, index: int) -> str:
    episodes = results.task.episodes
    shots = "one-shot" if episodes.shot == 1 else f"{episodes.shot}-shot (first image of each)"
    alphabets = dataset.alphabets[episodes.supports[index].flatten()].unique()
    own = readable(dataset.alphabet_names[int(dataset.alphabets[episodes.queries[index]])])
    where = f"in {own}"
    if len(alphabets) > 1:
        where = f"across {len(alphabets)} alphabets, the query from {own}"
    outcome = "correct" if bool(results.is_correct[index]) else "wrong"
    return f"{_list_of(results, split)}: a {episodes.way}-way {shots} episode {where}, {outcome}"


def draw_attention(
    dataset: CharacterDataset, results: EpisodeResults, split: str, index: int, attention: Tensor
) -> Figure:
    """Where the query of an episode looks in the best and in the right support.

    Args:
        dataset: The images.
        results: Of the list of episodes.
        split: Of the list: ``validation`` or ``test``.
        index: Of the episode.
        attention: ``(way, s², s²)``, from the query to each support; see `CrossAttention`. The
            locations form an ``s`` × ``s`` map over the image.
    """
    episodes = results.task.episodes
    pick, answer = int(results.picks[index]), int(episodes.answers[index])
    second = _ranks(results, index).index(min(2, episodes.way))
    if pick == answer:
        shown = [(pick, "1st ✓: right", GREEN), (second, "2nd ✗", ORANGE)]
    else:
        rank = ordinal(_ranks(results, index)[answer])
        shown = [(pick, "1st ✗: predicted", RED), (answer, f"{rank} ✓: the right class", GREEN)]
    supports = [
        (dataset.pixels[int(episodes.supports[index, way, 0])], attention[way],
         f"{label}, score {float(results.scores[index, way]):.1f}", color)
        for way, label, color in shown
    ]  # fmt: skip
    figure = draw_looks(dataset.pixels[int(episodes.queries[index])], supports)
    title = f"{_title(dataset, results, split, index)}: where it looks"
    heading(figure, title, _WIDTH, 11)
    count = min(_LOOKS, attention.shape[-1])
    text = f"Circles: the {count} locations of the query that count most, and the mean place"
    text += " where each looks in a support; a line comes from the same place as in the query."
    text += " Blue: where all locations look."
    figure.supxlabel(wrapped(text, _WIDTH, 9), fontsize=9)
    return describe(figure, f"{title}. {text}")


def draw_looks(query: Tensor, supports: Sequence[tuple[Tensor, Tensor, str, str]]) -> Figure:
    """A query beside two supports, and where it looks in each.

    Args:
        query: uint8 ``(side, side)``.
        supports: Of each: the image, the attention ``(s², s²)``, a title and its color. The
            locations of the query that are marked are those that count most for the first one.
    """
    figure = new_figure(_WIDTH, 4.5)
    query_axes, *cells = figure.subplots(1, 3)
    show_image(query_axes, query)
    frame(query_axes, BLUE, 2.5)
    query_axes.set_title("query", fontsize=11, color=BLUE)
    side, size = query.shape[-1], math.isqrt(supports[0][1].shape[-1])
    centers = (torch.arange(size) + 0.5) * side / size - 0.5
    places = torch.cartesian_prod(centers, centers)  # (s², 2): y and x
    saliency = supports[0][1].sum(-1)
    chosen = saliency.topk(min(_LOOKS, len(saliency))).indices
    _mark(query_axes, places[chosen])
    for axes, (image, looks, label, color) in zip(cells, supports, strict=False):
        show_image(axes, image)
        frame(axes, color, 2.5)
        axes.set_title(label, fontsize=11, color=color)
        heat = looks.sum(0).unflatten(0, (size, size))
        extent = (-0.5, side - 0.5, side - 0.5, -0.5)
        axes.imshow(heat.numpy(), cmap="Blues", alpha=0.45, extent=extent, interpolation="bilinear")
        weights = looks[chosen]
        _mark(axes, (weights / weights.sum(-1, keepdim=True)) @ places, places[chosen])
    for axes in cells[len(supports) :]:
        axes.set_axis_off()
    return figure


def _mark(axes: Axes, places: Tensor, origins: Tensor | None = None) -> None:
    """Numbered circles at places (y, x), with lines from where they come."""
    for number, (y, x) in enumerate(places.tolist()):
        color = LINES[number % len(LINES)]
        if origins is not None:
            from_y, from_x = origins[number].tolist()
            axes.plot([from_x, x], [from_y, y], color=color, linewidth=1.5)
        axes.plot(x, y, "o", color=color, markersize=14, alpha=0.85, markeredgecolor="white")
        look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 9}
        axes.text(x, y, str(number + 1), color="white", weight="bold", **look)


def draw_mistakes(
    dataset: CharacterDataset, results: EpisodeResults, split: str, count: int = 18
) -> Figure:
    """The ``count`` wrong predictions with the largest margins, each query once.

    A row for each: the query, the true class and the predicted class.
    """
    worst = worst_mistakes(results, count)
    title = _errors(results, split)
    if not worst:
        return _only_title(title)
    groups = min(_GROUPS, len(worst))
    rows = math.ceil(len(worst) / groups)
    width = _GROUP_WIDTH * groups
    figure, axes = new_sheet(width, 0.45 + 1.75 * rows)
    heading(figure, f"{title}; those with the largest margins", width)
    for number, index in enumerate(worst):
        row, column = divmod(number, groups)
        left, top = 0.18 + _GROUP_WIDTH * column, 1.1 + 1.75 * row
        _draw_mistake(axes, dataset, results, index, left, top)
    text = f"{title}. The {len(worst)} worst, by how far the wrong class's score is ahead: the"
    text += " query, the support of the right class ✓ and the support of the predicted class ✗."
    text += " They do not say which alphabet is hard: its accuracy does. Where ✗ is more like the"
    text += " query than ✓ is, the drawing itself may be in doubt."
    return describe(figure, text)


def worst_mistakes(results: EpisodeResults, count: int) -> list[int]:
    """Indices of wrong episodes by decreasing margin, each query once."""
    chosen: list[int] = []
    seen: set[int] = set()
    for index in _margin(results).argsort(descending=True, stable=True).tolist():
        query = int(results.task.episodes.queries[index])
        if not bool(results.is_correct[index]) and query not in seen and len(chosen) < count:
            chosen.append(index)
            seen.add(query)
    return chosen


def _only_title(title: str) -> Figure:
    figure = new_figure(6, 0.9)
    heading(figure, title, 6)
    return describe(figure, f"{title}.")


def _errors(results: EpisodeResults, split: str) -> str:
    wrong = results.n - results.correct
    return f"{_list_of(results, split)}: {wrong:,} of {results.n:,} episodes wrong"


def _margin(results: EpisodeResults) -> Tensor:
    """The predicted class's score minus the true class's: ``(episodes,)``."""
    rows = torch.arange(results.n)
    truth = results.scores[rows, results.task.episodes.answers]
    return results.scores[rows, results.picks] - truth


def _draw_mistake(
    axes: Axes,
    dataset: CharacterDataset,
    results: EpisodeResults,
    index: int,
    left: float,
    top: float,
) -> None:
    """Three images side by side below one title."""
    episodes = results.task.episodes
    supports = episodes.supports[index, :, 0]
    pick, answer = int(results.picks[index]), int(episodes.answers[index])
    truth, predicted = (
        dataset.class_names[int(dataset.classes[image])].partition("/")
        for image in (episodes.queries[index], supports[pick])
    )
    wrong = predicted[2] if predicted[0] == truth[0] else "/".join(predicted[::2])
    shown = [
        ("query", int(episodes.queries[index]), BLUE),
        (f"✓ {float(results.scores[index, answer]):.1f}", int(supports[answer]), GREEN),
        (f"✗ {float(results.scores[index, pick]):.1f}", int(supports[pick]), RED),
    ]
    for number, (label, image, color) in enumerate(shown):
        box = (left + 1.09 * number, top, 0.96, 0.96)
        place_image(axes, dataset.pixels[image], box, label, color)
    title = wrapped(readable(f"{truth[0]}\n{truth[2]} predicted as {wrong}"), _GROUP_WIDTH, 9.5)
    axes.text(left + 1.57, top - 0.25, title, ha="center", va="bottom", fontsize=9.5)


def draw_confusions(
    dataset: CharacterDataset, results: EpisodeResults, split: str, count: int = 12, each: int = 5
) -> Figure:
    """The first ``count`` of the `confusions`, a row each: ``each`` images per class."""
    shown, title = confusions(results, dataset.classes)[:count], _errors(results, split)
    if not shown:
        return _only_title(title)
    figure, axes = new_sheet(_WIDTH, 0.45 + 1.1 * len(shown))
    heading(figure, f"{title}; the most frequent confusions", _WIDTH)
    for row, one in enumerate(shown):
        top = 0.52 + 1.1 * row
        for left, number, color in ((0.78, one.first, BLUE), (5.98, one.second, ORANGE)):
            indices = (dataset.classes == number).nonzero().flatten()[:each]
            grid = tiled(dataset.pixels[indices].float(), each, _GAP).nan_to_num(0).byte()
            name = readable(dataset.class_names[number])
            place_image(axes, grid, (left, top, 4.37, 0.84), name, edge=color, linewidth=1.5)
        share = f"{100 * one.times / one.n:.0f}%\n{one.times} of {one.n}\nepisodes"
        axes.text(0.72, top + 0.42, share, ha="right", va="center", fontsize=10)
        axes.text(5.78, top + 0.42, "↔", ha="center", va="center", fontsize=14, color=GRAY)
    text = f"{title}. Each row is a pair of classes, blue and orange. Of the episodes that ask for"
    text += " one of them, with both among the supports, the share in which the other was"
    text += " predicted; ranked by the lower bound of its 95% interval, so that few episodes do not"
    text += " come first by chance."
    return describe(figure, text)
