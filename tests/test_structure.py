"""Folders of the package import each other in one direction, and no two classes share a name."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "siamese_oneshot"
FILES = sorted(PACKAGE.rglob("*.py"))


def unit(parts: tuple[str, ...]) -> str:
    """The folder, or the module beside the folders, that a path below the package belongs to."""
    return parts[0].removesuffix(".py")


def imported(node: ast.AST, lazy: bool) -> Iterator[str]:
    """The units that code imports: when it is loaded, or with ``lazy`` at any time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        else:
            names = []
        for name in names:
            first, *rest = name.split(".")
            if first == PACKAGE.name and rest:
                yield unit(tuple(rest))
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING" and not lazy:
            continue
        yield from imported(child, lazy)


def graph(lazy: bool) -> dict[str, set[str]]:
    """The units that each unit imports."""
    edges: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        own = unit(path.relative_to(PACKAGE).parts)
        edges[own] |= set(imported(ast.parse(path.read_text()), lazy)) - {own}
    return dict(edges)


@pytest.mark.parametrize("lazy", [False, True])
def test_folders_import_each_other_in_one_direction(lazy: bool) -> None:
    edges = graph(lazy)
    assert {"data", "models", "utils"} <= edges["evaluation"]  # the graph is not empty
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}", pytrace=False)


def test_data_and_models_need_no_other_folder() -> None:
    edges = graph(lazy=True)
    assert edges["data"] == edges["models"] == {"utils"}
    assert not edges["utils"]


def test_no_two_classes_have_one_name() -> None:
    names = [
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, times in Counter(names).items() if times > 1] == []
