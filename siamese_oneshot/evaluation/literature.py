"""Which of our figures may stand beside which published one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from siamese_oneshot.evaluation.published import PROTOCOLS, published, reference
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils.tables import Table

_SPLITS = {
    "lake": "27 background alphabets, or fewer (3 more to choose by)",
    "koch": "30 background alphabets by 12 drawers",
    "koch40": "37 alphabets (3 more to choose by)",
    "small1": "4 background alphabets (1 more to choose by)",
    "small2": "4 background alphabets (1 more to choose by)",
    "background": "30 background alphabets, or fewer",
    "minimal1": "5 background alphabets",
    "minimal2": "5 background alphabets",
    "vinyals": "1,085 characters (115 more to choose by)",
}


@dataclass(frozen=True)
class Row:
    """One figure in a comparison.

    Attributes:
        protocol: the title of its list of episodes.
        who: the method.
        value: %.
        trained_on, note: in words.
        n: None where it is not said.
        low, high: the 95% interval, %; None where none is known.
        ours: measured here.
    """

    protocol: str
    who: str
    value: float
    n: int | None
    trained_on: str
    note: str
    low: float | None = None
    high: float | None = None
    ours: bool = False


@dataclass(frozen=True)
class ComparedModel:
    """A model's name, its training data in words, and its scores."""

    name: str
    trained_on: str
    scores: Sequence[Score]


def training_data(source: str, split: str, told: str = "") -> str:
    """What a network was trained on, in words; older ones do not tell it themselves."""
    if told:
        return told
    return _SPLITS.get(split, "not known") if source == "omniglot" else f"data={source}"


def comparison(compared_models: Iterable[ComparedModel]) -> dict[str, list[Row]]:
    """Our test scores among the published figures: the rows of each protocol, best first."""
    everyone = list(compared_models)
    found = {}
    for protocol, title in PROTOCOLS.items():
        rows = [
            Row(title, one.who, one.value, one.n, one.trained_on, one.note)
            for one in published(protocol)
        ]
        for one in everyone:
            rows += [
                Row(
                    title,
                    f"here: {one.name}, {score.name}",
                    100 * score.value,
                    score.n,
                    one.trained_on,
                    score.protocol,
                    100 * score.low,
                    100 * score.high,
                    ours=True,
                )
                for score in one.scores
                if score.comparable_with == protocol
            ]
        found[title] = sorted(rows, key=lambda row: -row.value)
    return found


def table_of(title: str, rows: Sequence[Row], percent: str = ">%") -> Table:
    """One protocol's rows for people; ``percent`` heads the figures."""
    table = Table(title, ["who", percent, ">trials", "trained on", "note"])
    for row in rows:
        value = f"{row.value:.1f}"
        if row.low is not None and row.high is not None:
            value = f"{row.value:.2f} ({row.low:.1f}-{row.high:.1f})"
        episodes = "-" if row.n is None else f"{row.n:,}"
        table.add(row.who, value, episodes, row.trained_on, row.note)
    return table


def koch2015_value(protocol: str) -> float:
    """The best figure that Koch et al. print for their convolutional network, 0 … 1."""
    return reference(protocol, "koch2015").value / 100
