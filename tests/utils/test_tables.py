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


def test_texts_of_others_stay_text() -> None:
    """No HTML, link or control character reaches a document or a terminal."""
    odd = "<b>x</b> & [y](https://example.org)\x1b[31m\x9b |\nz"
    table = Table(odd, [odd, f">{odd}"], note=odd)
    table.add(odd, odd)
    text = table.markdown()
    assert "&lt;b>x&lt;/b> &amp; [y\\](https://example.org)\ufffd[31m\ufffd" in text
    assert text.count("\n") == 7, "a cell is one line"
    assert text.count("\\|") == 4, "bars of cells"
    out = io.StringIO()
    Console(file=out, width=200).print(table.rich())
    for shown in (text, out.getvalue()):
        assert not {"\x1b", "\x9b"} & set(shown)
        assert "\ufffd" in shown
