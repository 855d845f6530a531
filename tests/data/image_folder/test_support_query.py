"""Folders of supports and queries are read as their layout says, and nothing is lost silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_oneshot.data.image_folder.folder import (
    LabeledImages,
    check_errors,
    load_queries,
    load_supports,
)
from siamese_oneshot.utils.errors import UserError


def put(path: Path, row: int = 20) -> Path:
    """An image of a bar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((60, 60), 255, np.uint8)
    pixels[row : row + 4, 10:50] = 0
    Image.fromarray(pixels).save(path)
    return path


def told(found: LabeledImages, root: Path) -> list[tuple[str, str]]:
    return [(str(one.path.relative_to(root)), one.reason) for one in found.errors]


def filed(found: LabeledImages, root: Path) -> list[tuple[str | None, str]]:
    return [(name, str(one.path.relative_to(root))) for name, one in found.images if one.path]


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name in (
        "b/2.png",
        "b/1.png",
        "a (x)/β.png",
        ".hidden/1.png",
        "b/.x.png",
        "a (x)/Thumbs.db",
    ):
        put(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("")
    found = load_supports(tmp_path)
    assert filed(found, tmp_path) == [("a (x)", "a (x)/β.png"), ("b", "b/1.png"), ("b", "b/2.png")]
    assert found.errors == ()


def test_a_image_a_class(tmp_path: Path) -> None:
    for name in ("bet.v2.png", "alef.png"):
        put(tmp_path / name)
    (tmp_path / "alef.txt").write_text("about alef")  # not a second image of alef
    (tmp_path / "empty").mkdir()
    found = load_supports(tmp_path)
    assert filed(found, tmp_path) == [("alef", "alef.png"), ("bet.v2", "bet.v2.png")]
    assert [path for path, _ in told(found, tmp_path)] == ["empty", "alef.txt"]


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "cut.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:60])
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "words.png").write_text("words")
    put(tmp_path / "d" / "e" / "1.png")
    put(tmp_path / "loose.png")
    reasons = dict(told(load_supports(tmp_path), tmp_path))
    assert reasons.pop("a/cut.png").startswith("the image is damaged")
    assert reasons.pop("c/words.png").startswith("it is text")
    assert reasons == {
        "b": "the folder is empty",
        "c": "no image in this folder can be used",
        "d/e": "a folder inside a class's folder is not read",
        "loose.png": "it is in no class's folder",
    }


def test_two_places_for_one_class_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "flat" / "alef.png")
    put(tmp_path / "flat" / "alef.bmp")
    with pytest.raises(UserError, match=r"alef\.bmp and .*alef\.png are both the class alef"):
        load_supports(tmp_path / "flat")
    put(tmp_path / "deep" / "e\u0301" / "1.png")
    put(tmp_path / "deep" / "\u00e9" / "1.png")
    with pytest.raises(UserError, match="are both the class \u00e9: rename one"):
        load_supports(tmp_path / "deep")


def test_no_supports(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)there is no such folder.*class/image\.png"):
        load_supports(tmp_path / "gone")
    with pytest.raises(UserError, match="it is a file, not a folder"):
        load_supports(put(tmp_path / "x.png"))
    (tmp_path / "none" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=r"(?s)no image in it.*a: the folder is empty\nExpected"):
        load_supports(tmp_path / "none")


def test_queries_are_found_at_any_depth(tmp_path: Path) -> None:
    for name in ("x.png", "a/2.png", "a/1.png", "a/b/1.png", ".git/1.png"):
        put(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = load_queries(tmp_path)
    assert filed(found, tmp_path) == [
        ("a", "a/1.png"), ("a", "a/2.png"), ("b", "a/b/1.png"), (None, "x.png"),
    ]  # fmt: skip
    assert dict(told(found, tmp_path)) == {
        "c": "the folder is empty", "loop": "a link to a folder is not followed",
    }  # fmt: skip
    (alone,) = load_queries(tmp_path / "a" / "1.png").images
    assert (alone[0], alone[1].path) == (None, tmp_path / "a" / "1.png")


def test_no_queries(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file or folder"):
        load_queries(tmp_path / "gone")
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(UserError, match=r"(?s)no image in it can be used.*words\.png: it is text"):
        load_queries(tmp_path)


def test_bad_images_stop_where_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.png")
    check_errors(load_supports(tmp_path).errors, "stop")
    (tmp_path / "b").mkdir()
    faults = load_supports(tmp_path).errors
    check_errors(faults, "skip")
    with pytest.raises(UserError, match=r"(?s)1 cannot be used.*b: the folder is empty"):
        check_errors(faults, "stop")
    with pytest.raises(UserError, match="on_error=no: it must be one of"):
        check_errors((), "no")
