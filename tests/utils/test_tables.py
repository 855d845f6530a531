from __future__ import annotations

import pytest
from rendered import check_fits

from siamese_oneshot.utils.tables import Table, terminal_width, text_of


def made() -> Table:
    table = Table("scores [of] x", ["who", ">%"], note="a note")
    table.add("a|b [bold]", "1.0")
    return table


def test_markdown() -> None:
    assert made().markdown() == (
        "### scores [of] x\n\n| who | % |\n| --- | ---: |\n| a\\|b [bold] | 1.0 |\n\na note\n"
    )


def test_the_terminal_shows_brackets_as_they_are() -> None:
    shown = text_of(made(), "a [line]")
    for text in ("scores [of] x", "a|b [bold]", "1.0", "a note", "a [line]"):
        assert text in shown
    assert ">%" not in shown


def test_columns_that_do_not_fit_follow_below_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("", ["list", *(f">model {n}" for n in range(3))])
    table.add("Lake's runs", *(f"9{n}.25 (90.1-98.5)" for n in range(3)))
    rules = [line for line in text_of(table).splitlines() if "runs" in line]
    assert [line.split() for line in rules] == [
        ["Lake's", "runs", f"9{n}.25", "(90.1-98.5)"] for n in range(3)
    ]
    check_fits(table)


def test_text_wraps_and_numbers_do_not() -> None:
    table = Table("title " * 30, ["n", ">many words in a heading", "text"], note="note " * 50)
    table.add("1", "1,234,567.25 (1.5-2.5)", "word " * 60)
    table.add("2", "-", "x" * 300)
    check_fits(table)
    for parts in range(1, 12):
        wide = Table("", [f">c{n}" for n in range(parts)])
        wide.add(*(f"{n}.{'5' * 12}" for n in range(parts)))
        check_fits(wide)


def test_without_a_terminal_lines_are_100_columns_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width() == 100
    monkeypatch.setenv("COLUMNS", "80")
    assert terminal_width() == 80


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
    for shown in (text, text_of(table, odd)):
        assert not {"\x1b", "\x9b"} & set(shown)
        assert "\ufffd" in shown
