"""Tables as a terminal shows them."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from siamese_oneshot.utils.tables import Table, text_of

WIDTHS = (80, 100, 140)


def check_fits(table: Table) -> None:
    """At each width no line is too long, no number is broken or lost, and each part is whole."""
    for width in WIDTHS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", str(width))
            text = text_of(table)
        lines = text.splitlines()
        assert max(map(cell_len, lines)) <= width, (width, text)
        for row in table.rows:
            for heading, cell in zip(table.headings, row, strict=True):
                if heading.startswith(">"):
                    assert cell in text, (width, cell, text)
        cells = "".join("".join(row) for row in table.rows)
        for digit in "0123456789":
            assert text.count(digit) >= cells.count(digit), (width, digit, text)
        assert any(line and set(line.strip()) == {"─"} for line in lines), "the head's border"
