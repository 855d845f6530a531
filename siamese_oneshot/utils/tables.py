"""The one table class, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from siamese_oneshot.utils.text import printable


@dataclass
class Table:
    """Rows of text under headings.

    Attributes:
        title: Title above the table.
        headings: One per column; a leading ``>`` aligns the column to the right.
        rows: Cells of each row, one per heading.
        note: Text below the table.
        key: Name of the table in logs.
    """

    title: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""
    key: str = ""

    def add(self, *cells: str) -> None:
        """Add a row; a ValueError if the number of cells is not that of headings."""
        if len(cells) != len(self.headings):
            raise ValueError(f"{len(cells)} cells under {len(self.headings)} headings")
        self.rows.append(cells)

    def rich(self) -> RichTable:
        """The table for a terminal."""
        table = RichTable(title=_shown(self.title), caption=_shown(self.note) or None)
        for number, heading in enumerate(self.headings):
            right = heading.startswith(">")
            cells = [len(row[number]) for row in self.rows]
            table.add_column(
                _shown(heading.removeprefix(">")),
                justify="right" if right else "left",
                overflow="fold",
                min_width=max(cells, default=1) if right else None,  # headings wrap, numbers do not
            )
        for row in self.rows:
            table.add_row(*map(_shown, row))
        return table

    def markdown(self) -> str:
        """The table for a document."""

        def line(cells: Sequence[str]) -> str:
            texts = (markdown_text(cell).replace("|", "\\|") for cell in cells)
            return f"| {' | '.join(texts)} |"

        rules = ["---:" if heading.startswith(">") else "---" for heading in self.headings]
        lines = [f"### {markdown_text(self.title)}", ""] if self.title else []
        lines += [line([heading.removeprefix(">") for heading in self.headings]), line(rules)]
        lines += map(line, self.rows)
        if self.note:
            lines += ["", markdown_text(self.note)]
        return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """A text for the terminal, without markup and control characters."""
    return escape("\n".join(map(printable, text.split("\n"))))


def markdown_text(text: str) -> str:
    """One line of Markdown in which a text holds no HTML, link, image or control character."""
    plain = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return plain.replace("](", "\\](")


def wide_console() -> Console:
    """Standard output, 140 columns wide where it is not a terminal, so that logs are readable."""
    console = Console()
    return console if console.is_terminal else Console(width=140)
