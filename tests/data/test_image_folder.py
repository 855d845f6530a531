"""Folders of images: layout, order, labels, and what happens to files that cannot be used."""

from __future__ import annotations

import logging
from shutil import copy

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from siamese_oneshot.data import image_folder, image_input
from siamese_oneshot.data.image_folder import (
    FolderError,
    check_errors,
    load_folder,
    load_queries,
    load_supports,
)
from siamese_oneshot.data.image_input import ImageError, read_input
from siamese_oneshot.utils.errors import UserError


def draw(path, slope=0, color="black"):
    """A line from the left, rising or falling by ``slope``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (40, 40), "white")
    ImageDraw.Draw(image).line([(5, 20), (35, 20 + slope)], fill=color, width=3)
    image.save(path)
    return path


@pytest.fixture
def letters(tmp_path):
    """One alphabet: b has two images, a three."""
    root = tmp_path / "Letters"
    for k, name in enumerate(("b/2.png", "b/10.png", "a/x.png", "a/y.png", "a/z.jpg")):
        draw(root / name, 3 * k)
    return root


def test_classes_of_one_alphabet_named_after_the_root(letters):
    found = load_folder(letters)
    dataset = found.dataset
    assert found.skipped == ()
    assert dataset.source == "folder"
    assert dataset.class_names == ("Letters/a", "Letters/b")
    assert dataset.alphabet_names == ("Letters",)
    assert dataset.classes.tolist() == [0, 0, 0, 1, 1]
    assert dataset.drawers.tolist() == [0, 1, 2, 0, 1]
    assert dataset.class_alphabets.tolist() == [0, 0]
    names = ("a/x.png", "a/y.png", "a/z.jpg", "b/10.png", "b/2.png")
    expected = np.stack([read_input(letters / name).normalized.strokes for name in names])
    assert torch.equal(dataset.pixels, torch.from_numpy(expected))


def test_alphabets_with_classes_inside(tmp_path):
    # Joined names would sort "A b/…" before "A/…", and part an alphabet's classes.
    for k, name in enumerate(("A/z/1.png", "A b/q/1.png", "A/c/1.png", "A/c/2.png")):
        draw(tmp_path / name, 3 * k)
        draw(tmp_path / name.replace("2.png", "4.png").replace("1.png", "3.png"), -3 * k - 3)
    dataset = load_folder(tmp_path).dataset
    assert dataset.class_names == ("A/c", "A/z", "A b/q")
    assert dataset.alphabet_names == ("A", "A b")
    assert dataset.class_alphabets.tolist() == [0, 0, 1]
    assert dataset.classes.tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert dataset.drawers.tolist() == [0, 1, 2, 3, 0, 1, 0, 1]


def test_names_are_sorted_as_they_are_composed(tmp_path):
    # As macOS writes them: e and its accent apart, which would come before z.
    for k, name in enumerate(("e\u0301/1.png", "z/e\u0301.png", "z/z.png", "e\u0301/2.png")):
        draw(tmp_path / name, 3 * k)
    dataset = load_folder(tmp_path).dataset
    assert [name.split("/")[1] for name in dataset.class_names] == ["z", "\u00e9"]
    names = ("z/z.png", "z/e\u0301.png", "e\u0301/1.png", "e\u0301/2.png")
    expected = np.stack([read_input(tmp_path / name).normalized.strokes for name in names])
    assert torch.equal(dataset.pixels, torch.from_numpy(expected))


def test_what_systems_leave_behind_is_ignored(letters):
    for name in (".DS_Store", "a/Thumbs.db", "a/.hidden.png", "__MACOSX/a/._x.png", ".git/c/d/e/f"):
        path = letters / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"litter")
    found = load_folder(letters, on_error="stop")
    assert len(found.dataset) == 5


@pytest.fixture
def spoilt(letters):
    """A truncated image, a text file, a blank image, an empty class, a class of bad ones."""
    whole = (letters / "a" / "x.png").read_bytes()
    (letters / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (letters / "b" / "notes.txt").write_text("these are my letters")
    Image.new("L", (30, 30), 255).save(letters / "b" / "blank.png")
    (letters / "c").mkdir()
    (letters / "d").mkdir()
    (letters / "d" / "only.png").write_text("no image")
    return letters


BAD = {
    "a/cut.png": "damaged or incomplete",
    "b/notes.txt": "format is unknown",
    "b/blank.png": "no strokes are visible",
    "c": "empty",
    "d/only.png": "format is unknown",
    "d": "no image in this folder",
}


def test_bad_ones_are_skipped_and_named_or_stop(spoilt, caplog):
    with caplog.at_level(logging.WARNING):
        found = load_folder(spoilt)
    assert len(found.skipped) == len(BAD)
    with pytest.raises(FolderError) as caught:
        load_folder(spoilt, on_error="stop")
    for name, why in BAD.items():
        (told,) = [line for line in found.skipped if line.startswith(f"{name}: ")]
        assert why in told
        assert told in caplog.text
        assert told in str(caught.value)
    assert found.dataset.class_names == ("Letters/a", "Letters/b")
    assert found.dataset.classes.tolist() == [0, 0, 0, 1, 1]
    assert found.dataset.drawers.tolist() == [0, 1, 2, 0, 1]


def test_equal_images_are_left_out_and_named_all_at_once(letters, caplog):
    """An image is left out, and a class if fewer than two different images are left of it."""
    copy(letters / "a" / "x.png", letters / "a" / "y.png")
    Image.open(letters / "b" / "2.png").save(letters / "b" / "10.bmp")  # a format of its own
    for name in ("c/1.png", "c/2.png"):
        draw(letters / name, -12)
    draw(letters / "d" / "1.png", -16)
    with caplog.at_level(logging.WARNING):
        found = load_folder(letters)
    assert list(found.skipped) == [
        "a/y.png: it equals a/x.png after normalization",
        "b/2.png: it equals b/10.bmp after normalization",
        "c/2.png: it equals c/1.png after normalization",
        "c: fewer than two different images are left of this class",
        "d: fewer than two different images are left of this class",
    ]
    assert all(line in caplog.text for line in found.skipped)
    assert found.dataset.class_names == ("Letters/a", "Letters/b")
    assert found.dataset.classes.tolist() == [0, 0, 1, 1]
    with pytest.raises(FolderError, match="stopped, as 5 cannot be used"):
        load_folder(letters, on_error="stop")
    for name in ("a/z.jpg", "b/10.png"):
        (letters / name).unlink()
    with pytest.raises(FolderError, match=r"(?s)no usable image.*a/y\.png: it equals.*a: fewer"):
        load_folder(letters)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Greek/alpha/1.png", r"a/x\.png and Greek/alpha/1\.png .* different depths"),
        ("stray.png", r"stray\.png is in no class"),
        ("a/b/c/1.png", r"a/b/c/1\.png is nested too deep"),
    ],
)
def test_images_in_the_wrong_place(letters, name, message):
    draw(letters / name)
    with pytest.raises(FolderError, match=message):
        load_folder(letters)


def test_an_empty_alphabet_among_alphabets(tmp_path):
    draw(tmp_path / "A/a/1.png")
    draw(tmp_path / "A/a/2.png", 6)
    (tmp_path / "A/README.md").write_text("about A")
    (tmp_path / "B").mkdir()
    found = load_folder(tmp_path)
    assert len(found.skipped) == 2
    assert found.skipped[0].startswith("A/README.md: its format is unknown")
    assert found.skipped[1] == "B: the folder is empty"


def test_nothing_to_load(tmp_path):
    with pytest.raises(FolderError, match=r"it holds no usable image\n.*\n.*root/class/image"):
        load_folder(tmp_path)
    with pytest.raises(FolderError, match="no such folder"):
        load_folder(tmp_path / "none")
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    with pytest.raises(FolderError, match="it is a file, not a folder"):
        load_folder(file)
    with pytest.raises(FolderError, match=r"it holds no usable image\n  notes\.txt: its format"):
        load_folder(tmp_path)
    with pytest.raises(UserError, match="on_error=ignore: it must be one of skip, stop"):
        load_folder(tmp_path, on_error="ignore")


def test_links(letters, tmp_path):
    (letters / "a" / "loop").symlink_to(letters)
    link = tmp_path / "link"
    link.symlink_to(letters)
    found = load_folder(link)
    assert len(found.dataset) == 5
    assert found.skipped == ("a/loop: a link to a folder is not followed",)
    assert found.dataset.alphabet_names == ("Letters",)


def errors(found, root):
    return [(str(one.path.relative_to(root)), one.reason) for one in found.errors]


def labels(found, root):
    return [(name, str(one.path.relative_to(root))) for name, one in found.images if one.path]


def test_a_folder_a_class(tmp_path):
    names = "b/2.png", "b/1.png", "a (x)/β.png", ".hidden/1.png", "b/.x.png", "a (x)/Thumbs.db"
    for name in names:
        draw(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("")
    found = load_supports(tmp_path)
    assert labels(found, tmp_path) == [("a (x)", "a (x)/β.png"), ("b", "b/1.png"), ("b", "b/2.png")]
    assert found.errors == ()


def test_a_image_a_class(tmp_path):
    for name in ("bet.v2.png", "alef.png"):
        draw(tmp_path / name)
    (tmp_path / "alef.txt").write_text("about alef")  # not a second image of alef
    (tmp_path / "empty").mkdir()
    found = load_supports(tmp_path)
    assert labels(found, tmp_path) == [("alef", "alef.png"), ("bet.v2", "bet.v2.png")]
    assert [path for path, _ in errors(found, tmp_path)] == ["empty", "alef.txt"]


def test_what_cannot_be_used_is_errors(tmp_path):
    draw(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "cut.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:60])
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "words.png").write_text("words")
    draw(tmp_path / "d" / "e" / "1.png")
    draw(tmp_path / "loose.png")
    reasons = dict(errors(load_supports(tmp_path), tmp_path))
    assert reasons.pop("a/cut.png").startswith("the image is damaged")
    assert reasons.pop("c/words.png").startswith("its format is unknown")
    assert reasons == {
        "b": "the folder is empty",
        "c": "no image in this folder can be used",
        "d/e": "a folder inside a class's folder is not read",
        "loose.png": "it is in no class's folder",
    }


def test_two_places_of_one_class_are_examples_of_it(tmp_path):
    for name in ("alef.png", "alef.bmp", "bet.png"):
        draw(tmp_path / "flat" / name)
    names = [name for name, _ in load_supports(tmp_path / "flat").images]
    assert names == ["alef", "alef", "bet"]
    draw(tmp_path / "deep" / "e\u0301" / "1.png")
    draw(tmp_path / "deep" / "\u00e9" / "1.png")
    assert [name for name, _ in load_supports(tmp_path / "deep").images] == ["\u00e9", "\u00e9"]


def test_no_supports(tmp_path):
    with pytest.raises(UserError, match=r"(?s)there is no such folder.*class/image\.png"):
        load_supports(tmp_path / "gone")
    with pytest.raises(UserError, match="it is a file, not a folder"):
        load_supports(draw(tmp_path / "x.png"))
    (tmp_path / "none" / "a").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"(?s)it holds no usable image.*a: the folder is empty\nExpected"
    ):
        load_supports(tmp_path / "none")


def test_queries_are_found_at_any_depth(tmp_path):
    for name in ("x.png", "a/2.png", "a/1.png", "a/b/1.png", ".git/1.png"):
        draw(tmp_path / name)
    (tmp_path / "c").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    found = load_queries(tmp_path)
    assert labels(found, tmp_path) == [
        ("a", "a/1.png"), ("a", "a/2.png"), ("b", "a/b/1.png"), (None, "x.png"),
    ]  # fmt: skip
    assert dict(errors(found, tmp_path)) == {
        "c": "the folder is empty", "loop": "a link to a folder is not followed",
    }  # fmt: skip
    (alone,) = load_queries(tmp_path / "a" / "1.png").images
    assert (alone[0], alone[1].path) == (None, tmp_path / "a" / "1.png")


def test_no_queries(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        load_queries(tmp_path / "gone")
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(UserError, match=r"(?s)it holds no usable image.*words\.png: its format"):
        load_queries(tmp_path)


def test_bad_images_stop_where_that_is_asked_for(tmp_path):
    draw(tmp_path / "a" / "1.png")
    check_errors(load_supports(tmp_path).errors, "stop")
    (tmp_path / "b").mkdir()
    faults = load_supports(tmp_path).errors
    check_errors(faults, "skip")
    with pytest.raises(UserError, match=r"(?s)1 cannot be used.*b: the folder is empty"):
        check_errors(faults, "stop")
    with pytest.raises(UserError, match="on_error=no: it must be one of"):
        check_errors((), "no")


@pytest.mark.parametrize(
    ("parts", "refused"),
    [
        (("train", "val", "test"), True),
        (("Training", "Testing"), True),
        (("train", "Greek"), False),
        (("test",), False),
        (("latest", "trains"), False),
    ],
)
def test_parts_of_a_data_set_are_no_alphabets(tmp_path, parts, refused):
    for k, part in enumerate(parts):
        for c in range(2):
            draw(tmp_path / part / f"class {c}" / "1.png", 5 * k + 2 * c)
            draw(tmp_path / part / f"class {c}" / "2.png", -5 * k - 2 * c - 2)
    if not refused:
        assert load_folder(tmp_path).dataset.alphabet_names == tuple(sorted(parts))
        return
    with pytest.raises(FolderError, match=f"{sorted(parts)[0]}.* are no alphabets"):
        load_folder(tmp_path)


def test_a_link_to_nothing_can_be_removed_and_renamed(letters):
    pixels = load_folder(letters).dataset.pixels
    first, last = letters / "a" / "0.png", letters / "a" / "zz.png"  # before and after the others
    first.symlink_to(letters / "nowhere.png")
    assert load_folder(letters).dataset.pixels.equal(pixels)
    first.rename(last)
    assert load_folder(letters).dataset.pixels.equal(pixels)
    last.unlink()
    assert load_folder(letters).dataset.pixels.equal(pixels)


def test_images_are_read_once_until_a_file_changes(letters, monkeypatch):
    read = []
    monkeypatch.setattr(
        image_input, "read_input", lambda file, name: [read.append(file.name), read_input(file)][1]
    )
    ink = load_folder(letters).dataset.pixels
    assert sorted(read) == ["10.png", "2.png", "x.png", "y.png", "z.jpg"]
    assert torch.equal(load_folder(letters).dataset.pixels, ink)
    assert len(read) == 5
    draw(letters / "a" / "y.png", 20)
    changed = load_folder(letters).dataset.pixels
    assert len(read) == 10
    assert [torch.equal(*pair) for pair in zip(ink, changed, strict=True)] == [
        True, False, True, True, True,
    ]  # fmt: skip
    draw(letters / "b" / "3.png", 25)
    assert len(load_folder(letters).dataset) == 6
    cache_file = image_folder.cache_file(letters)
    cache_file.write_bytes(cache_file.read_bytes()[:-4])
    assert len(load_folder(letters).dataset) == 6
    monkeypatch.setattr(image_folder, "_reading_code", lambda: "changed")
    read.clear()
    load_folder(letters)
    assert len(read) == 6


def test_an_image_that_could_not_be_read_is_tried_again(letters, monkeypatch):
    memory = []

    def read(file, name):
        if file.name == "y.png" and not memory:
            raise ImageError(file, "there is not enough memory")
        return read_input(file)

    monkeypatch.setattr(image_input, "read_input", read)
    assert load_folder(letters).skipped == ("a/y.png: there is not enough memory",)
    memory.append(1)
    found = load_folder(letters)
    assert (found.skipped, len(found.dataset)) == ((), 5)
    assert torch.equal(
        found.dataset.pixels[1],
        torch.from_numpy(read_input(letters / "a/y.png").normalized.strokes),
    )


def test_pages_that_are_not_read_are_named(letters):
    images = [Image.open(draw(letters / f"{slope}.png", slope)) for slope in (-9, -6)]
    for slope in (-9, -6):
        (letters / f"{slope}.png").unlink()
    images[0].save(letters / "a" / "pages.tif", save_all=True, append_images=images[1:])
    for _ in range(2):  # from the cache, too
        found = load_folder(letters)
        assert found.skipped == ("a/pages.tif: only the first of its 2 pages is read",)
        assert len(found.dataset) == 6
