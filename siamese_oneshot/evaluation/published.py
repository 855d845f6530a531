"""What others report, as data: never a number without its protocol and training data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from omegaconf import OmegaConf

PROTOCOLS = {
    "within_alphabet_20way": "20-way one-shot within one alphabet, 400 episodes",
    "cross_alphabet_20way": "20-way one-shot across alphabets",
    "cross_alphabet_21way": "21-way one-shot across alphabets",
    "verification": "verification",
    "mnist_10way": "MNIST 10-way one-shot",
}


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes:
        who: the method.
        source: the publication.
        protocol: one of ``PROTOCOLS``; the head of ``published.yaml`` says what they are.
        value: accuracy, %.
        trained_on: in words.
        split: the rule of ``data.split`` that comes nearest; ``none`` or ``other`` where none does.
        n: how many; None where it is not said.
        remark: what a reader must know to compare.
        uncertain: known at second hand and not checked against the text.
        reference: ``koch2015`` or ``humans`` for the rows that runs are measured against.
    """

    who: str
    source: str
    protocol: str
    value: float
    trained_on: str
    split: str
    n: int | None = None
    remark: str = ""
    uncertain: bool = False
    reference: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.value <= 100 or self.protocol not in PROTOCOLS:
            raise ValueError(f"{self} is no accuracy in % of one of {', '.join(PROTOCOLS)}")

    @property
    def note(self) -> str:
        """Source and remark in one line."""
        parts = [self.source, self.remark, "not checked" if self.uncertain else ""]
        return "; ".join(part for part in parts if part)


def published(protocol: str | None = None) -> tuple[Published, ...]:
    """The figures of one protocol, or all; in the order of ``published.yaml``."""
    return tuple(one for one in _all() if protocol in (None, one.protocol))


def reference(protocol: str, name: str) -> Published:
    """The best published row of a protocol that is marked as the reference ``name``."""
    rows = [row for row in published(protocol) if row.reference == name]
    return max(rows, key=lambda row: row.value)


@cache
def _all() -> tuple[Published, ...]:
    text = files(__package__).joinpath("published.yaml").read_text()
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    sources = content["sources"]
    return tuple(Published(**{**row, "source": sources[row["source"]]}) for row in content["rows"])
