from __future__ import annotations

import io

import pytest
from rich.console import Console

from siamese_oneshot.utils.tables import Table


def made() -> Table:
    table = Table("scores [of] x", ["who", ">%"], note="a note")
    table.add("a|b [bold]", "1.0")
    return table


def test_markdown() -> None:
    assert made().markdown() == (
        "### scores [of] x\n\n| who | % |\n| --- | ---: |\n| a\\|b [bold] | 1.0 |\n\na note\n"
    )


def test_the_terminal_shows_brackets_as_they_are() -> None:
    out = io.StringIO()
    Console(file=out, width=60).print(made().rich())
    for text in ("scores [of] x", "a|b [bold]", "1.0", "a note"):
        assert text in out.getvalue()
    assert ">%" not in out.getvalue()


def test_cells_that_are_missing() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        made().add("alone")
