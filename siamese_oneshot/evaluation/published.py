"""Published accuracies as data, and the comparison of scores with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.utils.tables import Table

PROTOCOLS = {
    "within_alphabet_20way": "20-way one-shot within one alphabet, 400 episodes",
    "cross_alphabet_20way": "20-way one-shot across alphabets",
    "cross_alphabet_21way": "21-way one-shot across alphabets",
    "verification": "Verification",
    "mnist_10way": "MNIST 10-way one-shot",
    **{
        f"rotated_{way}way_{shot}shot": f"{way}-way {shot}-shot, 423 characters and their rotations"
        for way in (5, 20)
        for shot in (1, 5)
    },
}
MAIN_PROTOCOL = "within_alphabet_20way"  # of the paper's main result
ComparedModel = tuple[str, str, Sequence[Score]]  # name, training data in words, scores


@dataclass(frozen=True)
class Published:
    """One published accuracy, a row of ``published.yaml``."""

    method: str
    source: str  # the publication
    protocol: str  # one of `PROTOCOLS`
    value: float  # in %
    trained_on: str
    split: str  # the nearest rule of ``data.split``; ``none`` or ``other`` where no rule is near
    n: int | None = None  # episodes or pairs; None if not reported
    remark: str = ""  # what a reader must know for the comparison
    uncertain: bool = False  # quoted at second hand
    reference: str = ""  # ``koch2015`` or ``humans`` for rows that runs are measured against

    @property
    def note(self) -> str:
        """Source and remark in one line."""
        parts = [self.source, self.remark, "quoted at second hand" if self.uncertain else ""]
        return "; ".join(part for part in parts if part)


@cache
def published(protocol: str | None = None) -> tuple[Published, ...]:
    """The published accuracies of one protocol, or all, in the order of ``published.yaml``."""
    if protocol is not None:
        return tuple(row for row in published() if row.protocol == protocol)
    text = files(__package__).joinpath("published.yaml").read_text(encoding="utf-8")
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    rows = []
    for row in content["rows"]:
        row["source"] = content["sources"][row["source"]]
        values = row.pop("values", None) or {row.pop("protocol"): row.pop("value")}
        rows += [Published(protocol=name, value=value, **row) for name, value in values.items()]
    return tuple(rows)


def reference(protocol: str, name: str) -> Published:
    """The row of a protocol that is marked as reference ``name``; the best one of several."""
    rows = [row for row in published(protocol) if row.reference == name]
    return max(rows, key=lambda row: row.value)


def against(low: float, high: float, why: str = "") -> tuple[str, str]:
    """Where a 95% interval, 0 … 1, lies to the paper's main result and to humans'.

    ``why`` says in a few words why it may hold either; by default, that the interval does.

    Returns:
        ``above``, ``below`` or ``open`` for the paper, and words for both.
    """
    paper, paper_text = _placed(low, high, reference(MAIN_PROTOCOL, "koch2015"), "the paper's", why)
    _, human_text = _placed(low, high, reference(MAIN_PROTOCOL, "humans"), "humans'", why)
    return paper, f"{paper_text}, and {human_text}"


def _placed(low: float, high: float, other: Published, whose: str, why: str) -> tuple[str, str]:
    value = f"{other.value:.1f}%"
    if 100 * low > other.value:
        return "above", f"above {whose} {value}"
    if 100 * high < other.value:
        return "below", f"below {whose} {value}"
    why = why or f"95% interval {100 * low:.1f}-{100 * high:.1f} contains {other.value:.1f}"
    return "open", f"not distinguishable from {whose} {value} ({why})"


@dataclass(frozen=True)
class Row:
    """One accuracy in a comparison, in %; None for what is not reported."""

    protocol: str  # its title
    method: str  # method or model
    value: float
    n: int | None  # episodes or pairs
    trained_on: str
    note: str  # source and remark, or how the list was drawn
    low: float | None = None  # 95% interval
    high: float | None = None
    ours: bool = False  # whether it was measured by this package


def comparison(models: Iterable[ComparedModel]) -> dict[str, list[Row]]:
    """Scores among published accuracies, best first, for each protocol that a score follows.

    What is quoted at second hand stands last.
    """
    tables: dict[str, list[Row]] = {}
    for name, trained_on, scores in models:
        for score in scores:
            if score.comparable_with in PROTOCOLS:
                row = Row(
                    PROTOCOLS[score.comparable_with], f"here: {name}, {score.name}",
                    100 * score.value, score.n, trained_on, score.protocol,
                    100 * score.low, 100 * score.high, ours=True,
                )  # fmt: skip
                tables.setdefault(score.comparable_with, []).append(row)
    for protocol, rows in tables.items():
        certain, uncertain = rows, list[Row]()
        for one in published(protocol):
            row = Row(PROTOCOLS[protocol], one.method, one.value, one.n, one.trained_on, one.note)
            (uncertain if one.uncertain else certain).append(row)
        for part in (certain, uncertain):
            part.sort(key=lambda row: -row.value)
        rows += uncertain
    return {protocol: tables[protocol] for protocol in PROTOCOLS if protocol in tables}


def comparison_table(protocol: str, rows: Sequence[Row]) -> Table:
    """One protocol's rows as a table."""
    table = Table(
        PROTOCOLS[protocol],
        ["method", ">accuracy %", ">n", "trained on", "source"],
        key=f"published_{protocol}",
        note="here: measured by this package; -: not reported. Methods that were trained on other "
        "data do not compare. What is quoted at second hand stands last.",
    )
    for row in rows:
        value = f"{row.value:.2f}".removesuffix("0")
        if row.low is not None and row.high is not None:
            value = f"{row.value:.2f} ({row.low:.1f}-{row.high:.1f})"
        n = "-" if row.n is None else f"{row.n:,}"
        table.add(row.method, value, n, row.trained_on, row.note)
    return table
