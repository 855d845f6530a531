"""Embed once against pair by pair: the official 400 trials, and the yardstick."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from siamese_oneshot.bench.contest import Contest, compete, timed
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.exam import ExamSize, Question, exam_for_test, official_trials
from siamese_oneshot.data.protocols import positions_of
from siamese_oneshot.data.roster import Roster
from siamese_oneshot.data.splits import split_drawings
from siamese_oneshot.evaluation.embedding import Machine, embed
from siamese_oneshot.evaluation.examine import answer
from siamese_oneshot.model.network import TwinNetwork

Score = Callable[[TwinNetwork, Drawings, Trials, int, str], Tensor]


def evaluation(parts: Parts) -> Iterator[Contest]:
    """The official runs with both networks; the yardstick with the small one."""
    size = ExamSize()
    for name in ("paper", "small"):
        network = parts.network(name)
        drawings = parts.drawings.resized(network.encoder.size)  # type: ignore[arg-type]
        trials = official_trials(parts.runs)
        yield _contest(f"official runs, {name} network", network, drawings, trials, parts)
    split = split_drawings(parts.drawings, "lake")
    whole = Roster(parts.drawings, split.yardstick)
    exam = exam_for_test(whole, whole, None, size)
    yield _contest("yardstick, small network", network, drawings, exam.questions[0].trials, parts)


def _contest(
    name: str, network: TwinNetwork, drawings: Drawings, trials: Trials, parts: Parts
) -> Contest:
    question = Question("bench", name, "", trials)
    positions = positions_of([question])
    machine = Machine(parts.device, parts.precision)
    some = trials.way  # one run's trials: every trial costs the same
    network.eval()

    def once() -> object:
        table = embed(network, drawings, positions, machine, name)
        return answer(question, table, network.score)

    def plainly(score: Score) -> Callable[[], object]:
        return lambda: [score(network, drawings, trials, k, parts.device) for k in range(some)]

    pairs = f"{len(positions):,} pictures for {len(trials) * trials.way:,} pairs"
    return compete(
        name,
        "trials",
        {
            "pair by pair, float32": timed(plainly(score_pairs_plainly), some),
            "trial by trial, float32": timed(plainly(score_trial_plainly), some),
            f"each picture once, {machine.precision}": timed(once, len(trials)),
        },
        "pair by pair, float32",
        parts.rounds,
        f"{pairs} of {len(trials):,} trials; the plain ways are timed on {some} trials",
    )


@torch.no_grad()
def score_pairs_plainly(
    network: TwinNetwork, drawings: Drawings, trials: Trials, number: int, device: str
) -> Tensor:
    """One trial as public implementations score it: each support with the query, twins and all.

    Returns:
        Scores ``(way,)``.
    """
    query, supports = _pictures(drawings, trials, number, device)
    return torch.cat([network(query, support[None]) for support in supports])


@torch.no_grad()
def score_trial_plainly(
    network: TwinNetwork, drawings: Drawings, trials: Trials, number: int, device: str
) -> Tensor:
    """The same, all of a trial's pairs in one batch.

    Returns:
        Scores ``(way,)``.
    """
    query, supports = _pictures(drawings, trials, number, device)
    return network(query.expand_as(supports), supports)


def _pictures(
    drawings: Drawings, trials: Trials, number: int, device: str
) -> tuple[Tensor, Tensor]:
    """The query ``(1, 1, side, side)`` and the supports ``(way, 1, side, side)`` of a trial."""
    query, supports = (
        (drawings.pixels[positions][:, None].float() / 255).to(device)
        for positions in (trials.queries[number : number + 1], trials.supports[number, :, 0])
    )
    return query, supports
