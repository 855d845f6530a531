"""The images of an evaluation, saved as PNG."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from siamese_oneshot import plots
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.tasks import WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.evaluator import Outcome, primary
from siamese_oneshot.evaluation.results import EpisodeResults
from siamese_oneshot.evaluation.tables import curve
from siamese_oneshot.evaluation.task_provider import TaskProvider

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
Draw = Callable[[], "Figure"]


def draw_all(
    outcomes: Sequence[Outcome], task_provider: TaskProvider, folder: Path
) -> dict[str, Path]:
    """Draw every image; one that fails is named in a warning and costs no other.

    Args:
        outcomes: one of them is looked at closely; all of them share the curves.
        desk: the images in full size.
        folder: where the PNGs go.

    Returns:
        The files by name.
    """
    drawn = {}
    for name, draw in [
        ("ways", lambda: plots.draw_ways(_curves(outcomes))),
        *_of_one(primary(outcomes), task_provider),
    ]:
        try:
            figure = draw()
            drawn[name] = folder / f"{name}.png"
            folder.mkdir(parents=True, exist_ok=True)
            plots.save(figure, drawn[name])
        except (ValueError, RuntimeError, OSError) as problem:
            drawn.pop(name, None)
            log.warning("the image %s could not be made: %s", name, problem)
    return drawn


def _of_one(outcome: Outcome, task_provider: TaskProvider) -> Iterator[tuple[str, Draw]]:
    full, results = task_provider.loaded.dataset, outcome.results
    runs = results.get("lake_runs") or results["koch_protocol"]
    yield "trial_right", lambda: plots.draw_episode(full, runs, _example(runs, right=True))
    if not bool(runs.right.all()):
        yield "trial_wrong", lambda: plots.draw_episode(full, runs, _example(runs, right=False))
    yield "mistakes", lambda: plots.draw_mistakes(full, results["within_alphabet"])
    yield "confusions", lambda: plots.draw_confusions(full, outcome.confused_lists[0])
    rows = [(one.name, one.value, one.low, one.high) for one in outcome.alphabets]
    way = results["within_alphabet"].task.episodes.way
    yield "alphabets", lambda: plots.draw_alphabets(rows, way)
    yield "pairs", lambda: _pairs(outcome, task_provider)
    if outcome.model.trained is None:
        return
    first = _first_convolution(outcome.model.trained.network)
    if first is not None:
        yield "filters", lambda: plots.draw_filters(first.weight.detach().cpu())
    yield "map", lambda: _map(full, outcome)


def _example(results: EpisodeResults, right: bool) -> int:
    """The episode in the middle of those that were answered right, or wrong."""
    found = (results.right == right).nonzero().flatten()
    return int(found[len(found) // 2]) if len(found) else 0


def _curves(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[int, float, float, float]]]:
    lines = {}
    for outcome in outcomes:
        kinds = {WAY_CURVE_TEST: "test alphabets", WAY_CURVE_TRAIN: "training alphabets"}
        if outcome.model.trained is None:
            kinds = {WAY_CURVE_TEST: "test alphabets"}  # it has not trained on any
        for key, whose in kinds.items():
            lines[f"{outcome.model.name}, {whose}"] = [
                (way, score.value, score.low, score.high) for way, score in curve(outcome, key)
            ]
    return lines


def _pairs(outcome: Outcome, task_provider: TaskProvider) -> Figure:
    verification = outcome.test.verification
    same = task_provider.sheet(outcome.model).test.pairs.same[: verification.n]
    return plots.draw_pair_scores(verification.logits, same, verification.threshold)


def _first_convolution(network: nn.Module) -> nn.Conv2d | None:
    return next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)


def _map(full: CharacterDataset, outcome: Outcome) -> Figure:
    """The test alphabet nearest to 26 characters: enough to see, few enough to read."""
    assert outcome.embeddings is not None, "this outcome is looked at closely"
    asked = outcome.embeddings.indices.cpu()
    alphabets = full.alphabets[asked]
    tested = full.alphabets[outcome.results["within_alphabet"].task.episodes.queries].unique()
    sizes = torch.tensor(
        [len(full.classes[asked[alphabets == one]].unique()) for one in tested.tolist()]
    )
    chosen = tested[(sizes - 26).abs().argmin()]
    indices = asked[alphabets == chosen]
    return plots.draw_map(full, indices, outcome.embeddings[indices].cpu())
