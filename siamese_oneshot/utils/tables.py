"""The one table class, for the terminal and for Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.text import printable

_TEXT_WIDTH = 16  # of a column of text at least; longer words are broken
_AROUND = 3  # blanks beside a column


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

    def rich(self, width: int) -> Group:
        """The table for a terminal of so many columns; no cell or border is cut.

        Columns that do not fit beside the others follow below, after the first column again. Text
        wraps, numbers do not.
        """
        shown = [self._part(part, width) for part in self._parts(width)]
        return Group(
            Text(_shown(self.title)), *shown, *map(Text, filter(None, [_shown(self.note)]))
        )

    def fits(self, width: int) -> bool:
        """Whether all columns stand beside each other."""
        return len(self._parts(width)) == 1

    def _parts(self, width: int) -> list[dict[int, int]]:
        """Columns that stand beside each other, each with its least width."""
        least = [self._least_width(column) for column in range(len(self.headings))]
        parts: list[list[int]] = [[0]]
        for column in range(1, len(self.headings)):
            beside = [*parts[-1], column]
            if len(beside) > 2 and sum(least[one] + _AROUND for one in beside) >= width:
                parts.append([0, column])
            else:
                parts[-1] = beside
        return [{one: least[one] for one in part} for part in parts]

    def _least_width(self, column: int) -> int:
        heading = self.headings[column]
        words = [cell_len(word) for word in heading.removeprefix(">").split()]
        longest = max([*words, *(cell_len(_shown(row[column])) for row in self.rows)], default=1)
        return longest if heading.startswith(">") else min(_TEXT_WIDTH, longest)

    def _part(self, widths: dict[int, int], width: int) -> RichTable:
        """Some columns; the room that is left goes to those of text, the first ones first."""
        table = RichTable(box=SIMPLE_HEAD)
        room = width - 1 - sum(least + _AROUND for least in widths.values())
        for column, least in widths.items():
            heading = self.headings[column]
            cells = [_shown(heading.removeprefix(">")), *(_shown(row[column]) for row in self.rows)]
            more = max(0, min(room, max(map(cell_len, cells)) - least))
            room -= more
            table.add_column(
                escape(cells[0]),
                justify="right" if heading.startswith(">") else "left",
                overflow="fold",
                width=least + more,
            )
        for row in self.rows:
            table.add_row(*(escape(_shown(row[column])) for column in widths))
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
    """A text for the terminal, without control characters."""
    return "\n".join(map(printable, text.split("\n")))


def markdown_text(text: str) -> str:
    """One line of Markdown in which a text holds no HTML, link, image or control character."""
    plain = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;")
    return plain.replace("](", "\\](")


def write_markdown(path: Path, title: str, parts: Iterable[Table | str]) -> None:
    """Write tables and lines under a title, atomically; what is not valid Unicode is replaced."""
    texts = [one.markdown() if isinstance(one, Table) else markdown_text(one) + "\n"
             for one in parts]  # fmt: skip
    with atomic_write(path) as file:
        file.write("\n".join([f"# {markdown_text(title)}\n", *texts]).encode("utf-8", "replace"))


def terminal_width() -> int:
    """Columns of the terminal; 100 where there is none and ``COLUMNS`` is not set."""
    own = Console()
    return own.width if own.is_terminal or "COLUMNS" in os.environ else 100


def text_of(*parts: Table | str) -> str:
    """Tables and lines as they stand in the terminal, in plain text for a log as well."""
    out = Console(width=terminal_width(), force_terminal=False, no_color=True)
    with out.capture() as captured:
        for part in parts:
            shown = part.rich(out.width) if isinstance(part, Table) else Text(_shown(part))
            out.print(shown, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
