"""A picture is the same drawing however it is handed over."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_oneshot.data.own import given
from siamese_oneshot.data.own.given import Given, read_given, read_many
from siamese_oneshot.data.own.picture import PictureFaulty


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
    grey = hook()
    colour = np.stack([grey] * 3, 2)
    opaque = np.dstack([colour, np.full_like(grey, 255)])
    wide = Image.fromarray(grey.astype(np.uint16) * 100)
    paths = {name: tmp_path / f"{name}.png" for name in ("grey", "wide")}
    Image.fromarray(grey).save(paths["grey"])
    wide.save(paths["wide"])
    turned = Image.fromarray(grey).transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned clockwise
    return {
        "path": paths["grey"], "text": str(paths["grey"]), "16 bits": paths["wide"],
        "L": Image.fromarray(grey), "RGB": Image.fromarray(colour), "I;16": wide,
        "F": Image.fromarray(grey.astype(np.float32)), "P": Image.fromarray(colour).quantize(4),
        "turned": turned, "grey": grey, "colour": colour, "opaque": opaque,
        "floats": grey / 255, "float32": (colour / 255).astype(np.float32), "bool": grey > 100,
        "strided": np.repeat(grey, 2, 1)[:, ::2],
    }  # fmt: skip


def test_the_form_does_not_matter(tmp_path: Path) -> None:
    wanted = read_given(hook()).normalised.ink
    assert 500 < (wanted > 0).sum() < 1500
    for name, form in forms(tmp_path).items():
        found = read_given(form)
        assert np.array_equal(found.normalised.ink, wanted), name
        assert found.path == (Path(form) if isinstance(form, str | Path) else None)


def test_alpha_is_the_ink_of_an_array() -> None:
    clear = np.zeros((40, 60, 4), np.uint8)
    clear[..., 3] = 255 - hook()
    found = read_given(clear)
    assert found.normalised.polarity == "on transparent"
    wanted = read_given(hook()).normalised.ink > 0  # their edges are found in different ways
    assert ((found.normalised.ink > 0) ^ wanted).sum() < 0.2 * wanted.sum()


def test_the_thumbnail_is_small_and_in_proportion() -> None:
    large = np.kron(hook(), np.ones((10, 10), np.uint8))
    found = read_given(large).thumbnail
    assert (found.mode, found.size) == ("RGBA", (105, 70))
    assert read_given(hook()).thumbnail.size == (60, 40)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (np.zeros((5, 5, 2), np.uint8), "its shape is (5, 5, 2)"),
        (np.zeros(5, np.uint8), "its shape is (5,)"),
        (np.zeros((0, 5), np.uint8), "its shape is (0, 5)"),
        (np.zeros((5, 5), np.int64), "its numbers are int64"),
        (np.full((5, 5), 1.5), "its numbers are float64"),
        (np.full((5, 5), np.nan), "its numbers are float64, NaN among them"),
        (Image.new("L", (0, 7)), "it has 0×7 pixels"),
        (cut_jpeg(), "the picture is damaged or incomplete (image file is truncated"),
        (np.full((5, 5), -1.0), "its numbers are float64"),
        (np.zeros((50, 50)), "no drawing can be seen in it"),
        (b"bytes", "bytes is neither a path"),
        ("nowhere.png", "there is no such file"),
        ("~nobody there/x.png", "there is no such user"),
    ],
)
def test_what_is_wrong_is_said(form: Any, why: str) -> None:
    with pytest.raises(PictureFaulty) as caught:
        read_given(form, "mine")
    assert why in caught.value.why
    assert str(caught.value.path) == (form if isinstance(form, str) else "mine")


def test_a_damaged_picture_costs_no_other() -> None:
    found = read_many([hook(), cut_jpeg(), hook()])
    assert [type(one) for one in found] == [Given, PictureFaulty, Given]
    assert str(found[1]).startswith("picture 2 (given in memory): the picture is damaged")


def test_a_file_called_like_a_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path in ("~b.png", "~nobody there/x.png", "home/c.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(hook()).save(path)
    assert read_given(Path("~b.png")).path == Path("~b.png")
    assert read_given("~nobody there/x.png").path == Path("~nobody there/x.png")
    assert read_given("~/c.png").path == tmp_path / "home" / "c.png"


def test_many_come_in_order_with_the_faults_among_them() -> None:
    found = read_many([hook(), "nowhere.png", hook().T, np.zeros((9, 9))])
    assert [type(one) for one in found] == [Given, PictureFaulty, Given, PictureFaulty]
    assert isinstance(found[0], Given)
    assert found[0].normalised.box == read_given(hook()).normalised.box
    assert str(found[3]).startswith("picture 4 (given in memory): ")


@pytest.mark.parametrize(("count", "told"), [(200, False), (201, True)])
def test_a_bar_is_shown_for_many(
    count: int, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = read_given(hook())
    assert len(read_many([ready] * count)) == count
    assert ("reading" in capsys.readouterr().err) is told


def test_an_interrupt_does_not_wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = [], threading.Event()

    def slow(source: Any, name: str) -> Any:
        begun.append(source)
        go.wait(0.05)
        return source

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(given, "read_given", slow)
    monkeypatch.setattr(given, "tqdm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_many([str(number) for number in range(100)])
    assert len(begun) < 20
