"""An image is the same image however it is handed over."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_oneshot.data.image_folder.image_input import ImageError, ImageInput, read_input, read_many


def hook() -> np.ndarray:
    """A hook in black on white, so that every form can hold it exactly: uint8 (40, 60)."""
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[5:35, 10:13] = 0
    pixels[32:35, 10:50] = 0
    return pixels


def cut_jpeg() -> Image.Image:
    """The first half of a file, opened and not decoded yet."""
    file = io.BytesIO()
    Image.fromarray(np.kron(hook(), np.ones((8, 8), np.uint8))).save(file, "JPEG")
    return Image.open(io.BytesIO(file.getvalue()[: file.tell() // 2]))


def forms(tmp_path: Path) -> dict[str, Any]:
    gray = hook()
    color = np.stack([gray] * 3, 2)
    opaque = np.dstack([color, np.full_like(gray, 255)])
    wide = Image.fromarray(gray.astype(np.uint16) * 100)
    paths = {name: tmp_path / f"{name}.png" for name in ("grey", "wide")}
    Image.fromarray(gray).save(paths["grey"])
    wide.save(paths["wide"])
    turned = Image.fromarray(gray).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned clockwise
    return {
        "path": paths["grey"], "text": str(paths["grey"]), "16 bits": paths["wide"],
        "L": Image.fromarray(gray), "RGB": Image.fromarray(color), "I;16": wide,
        "F": Image.fromarray(gray.astype(np.float32)), "P": Image.fromarray(color).quantize(4),
        "turned": turned, "grey": gray, "colour": color, "opaque": opaque,
        "floats": gray / 255, "float32": (color / 255).astype(np.float32), "bool": gray > 100,
        "strided": np.repeat(gray, 2, 1)[:, ::2],
    }  # fmt: skip


def test_the_form_does_not_matter(tmp_path: Path) -> None:
    wanted = read_input(hook()).normalized.strokes
    assert 500 < (wanted > 0).sum() < 1500
    for name, form in forms(tmp_path).items():
        found = read_input(form)
        assert np.array_equal(found.normalized.strokes, wanted), name
        assert found.path == (Path(form) if isinstance(form, str | Path) else None)


def test_alpha_is_the_ink_of_an_array() -> None:
    clear = np.zeros((40, 60, 4), np.uint8)
    clear[..., 3] = 255 - hook()
    found = read_input(clear)
    assert found.normalized.polarity == "on transparent"
    wanted = read_input(hook()).normalized.strokes > 0  # their edges are found in different ways
    assert ((found.normalized.strokes > 0) ^ wanted).sum() < 0.2 * wanted.sum()


def test_the_thumbnail_is_small_and_in_proportion() -> None:
    large = np.kron(hook(), np.ones((10, 10), np.uint8))
    found = read_input(large).thumbnail
    assert (found.mode, found.size) == ("RGBA", (105, 70))
    assert read_input(hook()).thumbnail.size == (60, 40)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (np.zeros((5, 5, 2), np.uint8), "its shape is (5, 5, 2)"),
        (np.zeros(5, np.uint8), "its shape is (5,)"),
        (np.zeros((0, 5), np.uint8), "its shape is (0, 5)"),
        (np.zeros((5, 5), np.int64), "its dtype is int64"),
        (np.full((5, 5), 1.5), "its dtype is float64"),
        (np.full((5, 5), np.nan), "its dtype is float64 with NaN"),
        (Image.new("L", (0, 7)), "it has 0×7 pixels"),
        (cut_jpeg(), "the image is damaged or incomplete (image file is truncated"),
        (np.full((5, 5), -1.0), "its dtype is float64"),
        (np.zeros((50, 50)), "no strokes are visible in it"),
        (b"bytes", "it is text, not an image"),
        (3, "int is neither a path"),
        ("nowhere.png", "there is no such file"),
        ("~nobody there/x.png", "there is no such user"),
    ],
)
def test_what_is_wrong_is_said(form: Any, why: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_input(form, "mine")
    assert why in caught.value.reason
    assert str(caught.value.path) == (form if isinstance(form, str) else "mine")


def test_a_damaged_image_costs_no_other() -> None:
    found = read_many(read_input, [hook(), cut_jpeg(), hook()])
    assert [type(one) for one in found] == [ImageInput, ImageError, ImageInput]
    assert str(found[1]).startswith("image 2: the image is damaged")


def test_a_file_called_like_a_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path in ("~b.png", "~nobody there/x.png", "home/c.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(hook()).save(path)
    assert read_input(Path("~b.png")).path == Path("~b.png")
    assert read_input("~nobody there/x.png").path == Path("~nobody there/x.png")
    assert read_input("~/c.png").path == tmp_path / "home" / "c.png"


def test_many_come_in_order_with_the_faults_among_them() -> None:
    found = read_many(read_input, [hook(), "nowhere.png", hook().T, np.zeros((9, 9))])
    assert [type(one) for one in found] == [ImageInput, ImageError, ImageInput, ImageError]
    assert isinstance(found[0], ImageInput)
    assert found[0].normalized.box == read_input(hook()).normalized.box
    assert str(found[3]).startswith("image 4: ")


@pytest.mark.parametrize(("count", "progress"), [(201, False), (200, True), (201, True)])
def test_a_bar_is_shown_for_many_where_asked(
    count: int, progress: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    image = read_input(hook())
    assert read_many(read_input, [image] * count, progress) == [image] * count
    shown = capsys.readouterr()
    assert ("reading" in shown.err) is (progress and count > 200)
    assert shown.out == ""


def test_an_interrupt_does_not_wait_for_all() -> None:
    begun = []

    def read(source: int, name: str) -> int:
        begun.append(source)
        time.sleep(0.05)
        if source == 1:
            raise KeyboardInterrupt
        return source

    with pytest.raises(KeyboardInterrupt):
        read_many(read, range(100))
    assert len(begun) < 20
