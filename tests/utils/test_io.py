"""Files that are written completely or not at all, their predecessors, and leftovers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from siamese_oneshot.utils.io import (
    atomic_write,
    check_writable,
    keep_copy,
    new_folder,
    previous,
    remove_temporary_files,
    set_aside,
)


def write(path: Path, text: str) -> None:
    with atomic_write(path, keep=previous(path)) as file:
        file.write(text.encode())


@pytest.mark.parametrize("links", [True, False])
def test_the_file_before_is_kept_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also where a kill came between keeping the old file and replacing it."""
    path = tmp_path / "last.ckpt"
    if not links:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError()))
    write(path, "one")
    write(path, "two")
    if links:
        previous(path).unlink()
        os.link(path, previous(path))  # both names are the same file
    write(path, "three")
    assert {one.name for one in tmp_path.iterdir()} == {"last.ckpt", "last.previous.ckpt"}
    assert (path.read_text(), previous(path).read_text()) == ("three", "two")


def test_temporary_files_below_a_folder_are_removed(tmp_path: Path) -> None:
    deep = tmp_path / "csv" / ".metrics.csv.0.tmp"
    deep.parent.mkdir()
    for path in (deep, tmp_path / ".hydra.tmp", tmp_path / "own.tmp"):
        path.touch()
    remove_temporary_files(tmp_path, below=False)
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["own.tmp"]
    assert deep.exists()
    remove_temporary_files(tmp_path)
    assert [one.name for one in tmp_path.rglob("*") if one.is_file()] == ["own.tmp"]


def test_what_a_file_holds_is_copied_under_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    assert keep_copy(path, "replaced") is None
    for text, name in (("one", "last.replaced.ckpt"), ("two", "last.replaced2.ckpt")):
        path.write_text(text)
        copy = keep_copy(path, "replaced")
        assert copy is not None
        assert (copy.name, copy.read_text(), path.read_text()) == (name, text, text)


def test_folders_of_one_second_get_numbers(tmp_path: Path) -> None:
    made = [new_folder(tmp_path / "evaluate" / "12-00-00") for _ in range(3)]
    assert [one.name for one in made] == ["12-00-00", "12-00-00_2", "12-00-00_3"]


def test_what_is_damaged_is_set_aside_under_a_free_name(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for text in ("one", "two"):
        path.write_text(text)
        set_aside(path, "damaged")
    assert not path.exists()
    assert (tmp_path / "metrics.damaged.csv").read_text() == "one"
    assert (tmp_path / "metrics.damaged2.csv").read_text() == "two"
    assert set_aside(path, "damaged") is None


def test_a_place_that_cannot_be_written_to_is_an_error_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OSError):  # noqa: PT011
        check_writable(tmp_path / "file" / "below")
