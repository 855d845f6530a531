"""The pictures of an evaluation, saved as PNG."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from siamese_oneshot import pictures
from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.sitting import Outcome, looked_at
from siamese_oneshot.comparison.tables import curve
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.protocols import WAYS_TEST, WAYS_TRAIN
from siamese_oneshot.evaluation.examine import Answered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
Draw = Callable[[], "Figure"]


def draw_all(outcomes: Sequence[Outcome], desk: Desk, folder: Path) -> dict[str, Path]:
    """Draw every picture; one that fails is named in a warning and costs no other.

    Args:
        outcomes: one of them is looked at closely; all of them share the curves.
        desk: the drawings in full size.
        folder: where the PNGs go.

    Returns:
        The files by name.
    """
    drawn = {}
    for name, draw in [
        ("ways", lambda: pictures.draw_ways(_curves(outcomes))),
        *_of_one(looked_at(outcomes), desk),
    ]:
        try:
            figure = draw()
            drawn[name] = folder / f"{name}.png"
            folder.mkdir(parents=True, exist_ok=True)
            pictures.save(figure, drawn[name])
        except (ValueError, RuntimeError, OSError) as problem:
            drawn.pop(name, None)
            log.warning("the picture %s could not be made: %s", name, problem)
    return drawn


def _of_one(outcome: Outcome, desk: Desk) -> Iterator[tuple[str, Draw]]:
    full, answered = desk.loaded.drawings, outcome.answered
    runs = answered.get("official", answered["paper"])
    yield "trial_right", lambda: pictures.draw_trial(full, runs, _example(runs, right=True))
    if not bool(runs.right.all()):
        yield "trial_wrong", lambda: pictures.draw_trial(full, runs, _example(runs, right=False))
    yield "mistakes", lambda: pictures.draw_mistakes(full, answered["yardstick"])
    yield "confusions", lambda: pictures.draw_confusions(full, outcome.mixed_up[0])
    rows = [(one.name, one.value, one.low, one.high) for one in outcome.alphabets]
    way = answered["yardstick"].question.trials.way
    yield "alphabets", lambda: pictures.draw_alphabets(rows, way)
    yield "pairs", lambda: _pairs(outcome, desk)
    if outcome.subject.trained is None:
        return
    first = _first_convolution(outcome.subject.trained.network)
    if first is not None:
        yield "filters", lambda: pictures.draw_filters(first.weight.detach().cpu())
    yield "map", lambda: _map(full, outcome)


def _example(answered: Answered, right: bool) -> int:
    """The trial in the middle of those that were answered right, or wrong."""
    found = (answered.right == right).nonzero().flatten()
    return int(found[len(found) // 2]) if len(found) else 0


def _curves(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[int, float, float, float]]]:
    lines = {}
    for outcome in outcomes:
        kinds = {WAYS_TEST: "test alphabets", WAYS_TRAIN: "training alphabets"}
        if outcome.subject.trained is None:
            kinds = {WAYS_TEST: "test alphabets"}  # it has not trained on any
        for key, whose in kinds.items():
            lines[f"{outcome.subject.name}, {whose}"] = [
                (way, score.value, score.low, score.high) for way, score in curve(outcome, key)
            ]
    return lines


def _pairs(outcome: Outcome, desk: Desk) -> Figure:
    verified = outcome.test.verified
    same = desk.sheet(outcome.subject).test.pairs.same[: verified.trials]
    return pictures.draw_pair_scores(verified.logits, same, verified.threshold)


def _first_convolution(network: nn.Module) -> nn.Conv2d | None:
    return next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)


def _map(full: Drawings, outcome: Outcome) -> Figure:
    """The test alphabet nearest to 26 characters: enough to see, few enough to read."""
    assert outcome.embeddings is not None, "this outcome is looked at closely"
    asked = outcome.embeddings.positions.cpu()
    alphabets = full.alphabets[asked]
    tested = full.alphabets[outcome.answered["yardstick"].question.trials.queries].unique()
    sizes = torch.tensor(
        [len(full.classes[asked[alphabets == one]].unique()) for one in tested.tolist()]
    )
    chosen = tested[(sizes - 26).abs().argmin()]
    positions = asked[alphabets == chosen]
    return pictures.draw_map(full, positions, outcome.embeddings[positions].cpu())
