"""A page of HTML as a test reads it: its elements, their attributes and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "link", "img", "br", "input", "hr"}


@dataclass
class Element:
    """One element with what is below it."""

    name: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def all(self, *names: str) -> list[Element]:
        """The elements below it, in order: all, or those of some names."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if not names or child.name in names else []
                found += child.all(*names)
        return found

    def one(self, name: str, attribute: str, value: str) -> Element:
        """The only element below it with that attribute."""
        (found,) = [one for one in self.all(name) if one.attributes.get(attribute) == value]
        return found

    @property
    def text(self) -> str:
        """What is written below it, blanks as one."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    def rows(self) -> list[list[str]]:
        """The cells of a table."""
        return [[cell.text for cell in row.all("th", "td")] for row in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> within <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Element:
    """Parse a page strictly: every element that opens has to close in its place."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert len(reader.open) == 1, f"<{reader.open[-1].name}> does not close"
    return reader.open[0]


def table_of(page: Element, caption: str) -> Element:
    """The table with that caption."""
    (table,) = [one for one in page.all("table") if one.all("caption")[0].text == caption]
    return table
