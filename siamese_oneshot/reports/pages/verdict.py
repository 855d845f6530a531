"""What a run came to, in a sentence: against the paper and against humans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from siamese_oneshot.evaluation.published import (
    ComparedModel,
    Published,
    comparison,
    comparison_table,
    reference,
)
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.reports.groups import Group
from siamese_oneshot.reports.job import Data, Sweep
from siamese_oneshot.utils.tables import Table


@dataclass(frozen=True)
class Verdict:
    """One sentence and how it is meant.

    Attributes:
        text: for people.
        tone: ``good``, ``level``, ``bad`` or ``none``: where the figure stands to the paper's.
    """

    text: str
    tone: str


def verdict(scores: Sequence[Score], data: Data | None) -> Verdict:
    """Compare the official runs, else the paper's rule, with the paper's figure and humans'.

    Args:
        scores: of one run.
        data: what it learned from; None where it is not known.
    """
    own = next(iter(comparable("within_alphabet_20way", scores, data)), None)
    if own is None:
        return Verdict(_without_test(scores, data), "none")
    paper = _row("koch2015")
    tone, words = _against(own, paper, "the paper's")
    _, humans = _against(own, _row("humans"), "humans'")
    low, high = wilson(round(paper.value * (paper.n or 0) / 100), paper.n or 1)
    text = (
        f"{_share(own)} on {own.name}, {own.n:,} trials: {words}, {humans}. The paper's "
        f"figure is of {paper.n} trials itself: {100 * low:.1f} to {100 * high:.1f}."
    )
    if data is not None and data.split != paper.split:
        own_data = data.trained_on
        text += f" It trained on {paper.trained_on}, this run on {own_data} (split {data.split})."
    return Verdict(text, tone)


def comparable(protocol: str, scores: Sequence[Score], data: Data | None) -> list[Score]:
    """The test scores that may stand beside published ones of a protocol."""
    if data is None or data.source != "omniglot":
        return []
    return [one for one in scores if one.comparable_with == protocol]


def literature(named: Sequence[tuple[str, Data | None, Sequence[Score]]]) -> list[Table]:
    """Own scores beside the published ones, a table for each protocol that there are some of.

    Args:
        named: of each run its name, its data and its scores.
    """
    compared_models = [
        ComparedModel(name, data.trained_on, scores)
        for name, data, scores in named
        if data is not None and data.source == "omniglot"
    ]
    tables = []
    for protocol, rows in comparison(compared_models).items():
        tables.append(comparison_table(protocol, rows))
    return tables


def sweep_verdict(sweep: Sweep, groups: Sequence[Group]) -> Verdict:
    """Of the settings that do best on validation, over their seeds."""
    if not groups:
        return Verdict("No job has finished yet.", "none")
    best = groups[0]
    seeds = len(best.jobs)
    margin = best.validation.margin
    numbers = ", ".join(str(job.number) for job in best.jobs)
    tested = [job for job in best.jobs if comparable("within_alphabet_20way", [*job.scores.values()], best.data)]
    scores = list((tested or best.jobs)[0].scores.values())
    text = f"Best on validation: job{'s' if seeds > 1 else ''} {numbers}"
    if margin is not None:
        text += f" with {100 * best.validation.value:.2f}% ± {100 * margin:.2f} over {seeds} seeds"
    elif tested:
        text += f" with {100 * best.validation.value:.2f}%"
    text += ". "
    if len(tested) < 2:
        one = verdict(scores, best.data)
        whose = f"Job {tested[0].number}: " if tested and seeds > 1 else ""
        return Verdict(text + whose + one.text, one.tone)
    name = next(iter(comparable("within_alphabet_20way", scores, best.data)))
    mean = best.score(f"{name.split}/{name.key}")
    assert mean is not None
    assert mean.margin is not None
    paper, humans = _row("koch2015"), _row("humans")
    low, high = mean.value - mean.margin, mean.value + mean.margin
    tone, words = _placed(low, high, paper, "the paper's")
    _, other = _placed(low, high, humans, "humans'")
    text += f"Their mean on {name.name} is {100 * mean.value:.2f}% ± {100 * mean.margin:.2f} over "
    return Verdict(text + f"{mean.count} seeds: {words}, {other}.", tone)


def _against(own: Score, other: Published, whose: str) -> tuple[str, str]:
    return _placed(own.low, own.high, other, whose)


def _placed(low: float, high: float, other: Published, whose: str) -> tuple[str, str]:
    """How an interval lies to a published figure: a tone, and words."""
    if 100 * low > other.value:
        return "good", f"above {whose} {other.value:.1f}%"
    if 100 * high < other.value:
        return "bad", f"below {whose} {other.value:.1f}%"
    return "level", f"level with {whose} {other.value:.1f}%"


def _without_test(scores: Sequence[Score], data: Data | None) -> str:
    validation = next((one for one in scores if one.split == "validation"), None)
    text = ""
    if validation is not None:
        text = f"{_share(validation)} on {validation.name}, {validation.n:,} trials. "
    if data is None:
        return text + "There is no result yet to compare with published figures."
    if data.source != "omniglot":
        return text + f"Published figures are of Omniglot: on {data.source} nothing compares."
    if any(one.split == "test" for one in scores):
        return text + "None of its test lists is one that the paper's figure compares with."
    return text + "The test lists were not opened, so it is not compared with published figures."


def _share(score: Score) -> str:
    interval = f"95% interval {100 * score.low:.1f} to {100 * score.high:.1f}"
    return f"{100 * score.value:.2f}% ({interval})"


def _row(who: str) -> Published:
    return reference("within_alphabet_20way", who)
