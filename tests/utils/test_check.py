"""Checks of records that were read from files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from siamese_oneshot.utils.check import plain_fields


@dataclass
class Record:
    name: str = "a"
    count: int = 1
    share: float | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    nested: dict[str, Any] | None = None


def test_plain_fields() -> None:
    plain_fields(Record())
    plain_fields(Record(share=1, nested={"a": [1]}))
    for name, value in (("name", None), ("count", 1.0), ("count", True), ("items", {}),
                        ("nested", [])):  # fmt: skip
        with pytest.raises(TypeError, match=name):
            plain_fields(replace(Record(), **{name: value}))
    with pytest.raises(ValueError, match="share is nan"):
        plain_fields(Record(share=float("nan")))
