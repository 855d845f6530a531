"""A table of words: the same one for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable


@dataclass
class Table:
    """Rows of text under headings.

    Attributes:
        title: above it.
        headings: one a column; those that begin with ``>`` are set to the right.
        rows: as many cells as headings each.
        note: below it.
    """

    title: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: str) -> None:
        """Add a row.

        Raises:
            ValueError: not as many cells as headings.
        """
        if len(cells) != len(self.headings):
            raise ValueError(f"{len(cells)} cells under {len(self.headings)} headings")
        self.rows.append(cells)

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=escape(self.title), caption=escape(self.note) or None)
        for number, heading in enumerate(self.headings):
            right = heading.startswith(">")
            cells = [len(row[number]) for row in self.rows]
            table.add_column(
                escape(heading.removeprefix(">")),
                justify="right" if right else "left",
                overflow="fold",
                min_width=max(cells, default=1) if right else None,  # headings fold, figures do not
            )
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def markdown(self) -> str:
        """For a document."""

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        rules = ["---:" if heading.startswith(">") else "---" for heading in self.headings]
        lines = [f"### {self.title}", ""] if self.title else []
        lines += [line([heading.removeprefix(">") for heading in self.headings]), line(rules)]
        lines += map(line, self.rows)
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def wide_console() -> Console:
    """Standard output; where it is no terminal, wide enough for a table to be read in a log."""
    console = Console()
    return console if console.is_terminal else Console(width=140)
