"""An image is the same image in every form and format; errors name the image and the reason."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_oneshot.data import image_input
from siamese_oneshot.data.image_input import (
    ImageError,
    ImageInput,
    list_errors,
    read_input,
    read_many,
)


def read_image(source: image_input.ImageSource) -> np.ndarray:
    return image_input._read(source, "the image")[0]


def hook() -> np.ndarray:
    """A hook in black on white: uint8 (40, 60)."""
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[5:35, 10:13] = 0
    pixels[32:35, 10:50] = 0
    return pixels


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def half_a_jpeg() -> bytes:
    data = encoded(Image.fromarray(np.kron(hook(), np.ones((8, 8), np.uint8))), "JPEG")
    return data[: len(data) // 2]


def forms(tmp_path: Path) -> dict[str, Any]:
    gray = hook()
    color = np.stack([gray] * 3, 2)
    opaque = np.dstack([color, np.full_like(gray, 255)])
    wide = Image.fromarray(gray.astype(np.uint16) * 100)
    paths = {name: tmp_path / f"{name}.png" for name in ("gray", "wide")}
    Image.fromarray(gray).save(paths["gray"])
    wide.save(paths["wide"])
    rotated = Image.fromarray(gray).transpose(Image.Transpose.ROTATE_90)
    rotated.getexif()[0x0112] = 6  # to be rotated clockwise
    data = paths["gray"].read_bytes()
    return {
        "path": paths["gray"], "text": str(paths["gray"]), "16 bits": paths["wide"],
        "bytes": data, "bytearray": bytearray(data), "BytesIO": io.BytesIO(data),
        "L": Image.fromarray(gray), "RGB": Image.fromarray(color), "I;16": wide,
        "F": Image.fromarray(gray.astype(np.float32)), "P": Image.fromarray(color).quantize(4),
        "rotated": rotated, "gray": gray, "color": color, "opaque": opaque,
        "floats": gray / 255, "float32": (color / 255).astype(np.float32), "bool": gray > 100,
        "strided": np.repeat(gray, 2, 1)[:, ::2],
    }  # fmt: skip


def test_the_form_does_not_matter(tmp_path: Path) -> None:
    expected = read_input(hook()).normalized.strokes
    assert 500 < (expected > 0).sum() < 1500
    for name, form in forms(tmp_path).items():
        image = read_input(form)
        assert np.array_equal(image.normalized.strokes, expected), name
        assert image.path == (Path(form) if isinstance(form, str | Path) else None)


def test_alpha_marks_the_strokes_of_an_array() -> None:
    clear = np.zeros((40, 60, 4), np.uint8)
    clear[..., 3] = 255 - hook()
    image = read_input(clear)
    assert image.normalized.polarity == "on transparent"
    expected = read_input(hook()).normalized.strokes > 0  # their edges differ slightly
    assert ((image.normalized.strokes > 0) ^ expected).sum() < 0.2 * expected.sum()


def test_the_thumbnail_is_small_and_in_proportion() -> None:
    thumbnail = read_input(np.kron(hook(), np.ones((10, 10), np.uint8))).thumbnail
    assert (thumbnail.mode, thumbnail.size) == ("RGBA", (105, 70))
    assert read_input(hook()).thumbnail.size == (60, 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_reads_alike(mode: str, tmp_path: Path) -> None:
    gray = np.clip(hook() + np.linspace(0, 60, 60), 0, 255).astype(np.uint8)
    image = Image.fromarray(gray)
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 16)  # 12 bits of 16
    else:
        image = image.convert(mode)
    kind = {"CMYK": "JPEG", "F": "TIFF", "I": "TIFF"}.get(mode, "PNG")
    rgba = read_image(encoded(image, kind))
    assert (rgba.dtype, rgba.shape) == (np.uint8, (40, 60, 4))
    assert (rgba[..., 3] == 255).all()
    error = np.abs(rgba[..., 0].astype(int) - gray).mean()
    assert error < (12 if mode in ("1", "CMYK") else 1)


def test_the_first_frame_and_palette_transparency_and_content_before_suffix(tmp_path: Path) -> None:
    gray, other = Image.fromarray(hook()), Image.new("L", (60, 40), 7)
    animation = encoded(gray, "GIF", save_all=True, append_images=[other])
    assert np.abs(read_image(animation)[..., 0] - hook().astype(int)).max() < 9
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    assert read_image(encoded(palette, transparency=0))[0, :, 3].tolist() == [0, 255]
    (tmp_path / "a.txt").write_bytes(encoded(gray, "BMP"))
    assert np.array_equal(read_image(tmp_path / "a.txt")[..., 0], hook())


UPRIGHT = {5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("TIFF", "tif")])
def test_rotated_files_are_read_upright(
    kind: str, suffix: str, orientation: int, tmp_path: Path
) -> None:
    stored = Image.fromarray(hook()).transpose(Image.Transpose[UPRIGHT[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encoded(stored, kind, exif=exif))
    assert np.array_equal(read_image(path)[..., 0], hook())


def test_a_png_may_have_damaged_exif_data() -> None:
    data = encoded(Image.fromarray(hook()), exif=b"no EXIF")
    assert np.array_equal(read_image(data)[..., 0], hook())


def stuck(levels: np.ndarray, *places: tuple[int, int]) -> np.ndarray:
    """A 12-bit image whose sensor has stuck pixels."""
    levels = levels.astype(np.uint16) * 8 + 1000
    for number, place in enumerate(places):
        levels[place] = 65535 if number % 2 == 0 else 0
    return levels


@pytest.mark.parametrize("places", [[], [(3, 5)], [(3, 5), (20, 40)], [(0, 0), (39, 59), (8, 8)]])
@pytest.mark.parametrize("as_float", [False, True])
def test_stuck_pixels_do_not_hide_the_strokes(
    places: list[tuple[int, int]], as_float: bool
) -> None:
    levels = stuck(hook(), *places)
    if as_float:
        image = Image.fromarray(levels.astype(np.float32))
    else:
        image = Image.fromarray(levels)
    assert np.abs(read_image(encoded(image, "TIFF"))[..., 0] - hook().astype(int)).max() <= 1


def test_a_thin_line_is_no_stuck_pixel() -> None:
    levels = np.full((40, 60), 60000, np.uint16)
    levels[10:30, 20] = 100  # one pixel wide
    expected = np.where(levels > 100, 255, 0)
    assert np.array_equal(read_image(encoded(Image.fromarray(levels)))[..., 0], expected)


def chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def bmp_32(alpha: int) -> bytes:
    """A BMP with a V4 header and an alpha channel."""
    height, width = hook().shape
    pixels = np.dstack([hook()] * 3 + [np.full_like(hook(), alpha)])[::-1].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    header += masks + b"BGRs" + bytes(48)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_whose_alpha_is_unused_is_opaque(alpha: int) -> None:
    rgba = read_image(bmp_32(alpha))
    assert np.array_equal(rgba[..., 0], hook())
    assert (rgba[..., 3] == 255).all()
    with pytest.raises(ImageError, match="wholly transparent"):  # elsewhere alpha means alpha
        read_input(encoded(Image.fromarray(np.dstack([hook()] * 3 + [np.zeros_like(hook())]))))


@pytest.mark.parametrize(
    ("kind", "name"), [("TIFF", "pages"), ("GIF", "frames"), ("WEBP", "frames"), ("PNG", "frames")]
)
def test_further_pages_and_frames_are_noted(kind: str, name: str) -> None:
    images = [Image.fromarray(np.roll(hook(), k)) for k in range(3)]
    for count in (1, 3):
        data = encoded(images[0], kind, save_all=True, append_images=images[1:count])
        notes = read_input(data).notes
        assert notes == (() if count == 1 else (f"only the first of its 3 {name} is read",))
    assert read_input(data[: -len(data) // 4] if kind == "GIF" else data).notes  # damaged behind


def vast_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


NOISE = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)))
BAD_FILES = [
    (b"", "empty"),
    (b"# notes\nnothing drawn here\n", "format is unknown"),
    ("Überschrift".encode(), "format is unknown"),
    (b"\x00\x01\x02" * 40, "format is unknown"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "format is unknown"),
    (NOISE[:900], "damaged or incomplete"),
    (NOISE[:20], "damaged or incomplete|format is unknown"),
    (vast_png(8001, 8000), "8001×8000 pixels; at most 64 megapixels"),
    (vast_png(11000, 11000), "11000×11000 pixels; at most 64 megapixels"),
    (vast_png(60000, 60000), "at most 64 megapixels"),
    (vast_png(0, 10), "format is unknown"),
    (encoded(Image.new("RGB", (60, 40), (250, 250, 240))), "no strokes are visible"),
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("content", "reason"), BAD_FILES)
def test_a_bad_file_is_named_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_input(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (np.zeros((5, 5, 2), np.uint8), "its shape is (5, 5, 2)"),
        (np.zeros(5, np.uint8), "its shape is (5,)"),
        (np.zeros((0, 5), np.uint8), "its shape is (0, 5)"),
        (np.zeros((5, 5), np.int64), "its dtype is int64"),
        (np.full((5, 5), 1.5), "its dtype is float64"),
        (np.full((5, 5), np.nan), "its dtype is float64 with NaN"),
        (np.full((5, 5), -1.0), "its dtype is float64"),
        (np.zeros((50, 50)), "no strokes are visible"),
        (Image.new("L", (0, 7)), "it has 0×7 pixels"),
        (Image.open(io.BytesIO(half_a_jpeg())), "the image is damaged or incomplete (image file"),
        (half_a_jpeg(), "the image is damaged or incomplete (image file"),
        (io.BytesIO(b"words"), "its format is unknown"),
        (io.StringIO("words"), "the file object is in text mode"),
        (3, "int is neither a path"),
        ("nowhere.png", "there is no such file"),
        (".", "it is a folder"),
        ("~nobody there/x.png", "there is no such user"),
    ],
)
def test_what_is_wrong_is_said(form: Any, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_input(form, "mine")
    assert caught.value.reason.startswith(reason)
    assert str(caught.value.path) == (form if isinstance(form, str) else "mine")


def test_a_dangling_link_and_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="points to nothing"):
        read_image(tmp_path / "link.png")
    with pytest.raises(ImageError, match="it is not a file"):
        read_image("/dev/null")


def test_large_images_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_input, "_pixels", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="megapixels"):
        read_image(vast_png(8001, 8000))


def test_a_file_called_like_a_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path in ("~b.png", "~nobody there/x.png", "home/c.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(hook()).save(path)
    assert read_input(Path("~b.png")).path == Path("~b.png")
    assert read_input("~nobody there/x.png").path == Path("~nobody there/x.png")
    assert read_input("~/c.png").path == tmp_path / "home" / "c.png"


def test_many_come_in_order_with_the_errors_among_them() -> None:
    images = read_many([hook(), "nowhere.png", half_a_jpeg(), hook().T])
    assert [type(one) for one in images] == [ImageInput, ImageError, ImageError, ImageInput]
    assert isinstance(images[0], ImageInput)
    assert images[0].normalized.box == read_input(hook()).normalized.box
    assert str(images[2]).startswith("image 3: the image is damaged")
    lines = list_errors([images[1]] * 25).split("\n")
    assert lines[0] == "  nowhere.png: there is no such file"
    assert (len(lines), lines[-1]) == (21, "  and 5 more")


@pytest.mark.parametrize(("count", "progress"), [(201, False), (200, True), (201, True)])
def test_a_bar_is_shown_for_many_where_asked(
    count: int,
    progress: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)  # a pipe has no bar
    image = read_input(hook())
    assert read_many([image] * count, progress) == [image] * count
    shown = capsys.readouterr()
    assert (shown.out, "reading" in shown.err) == ("", progress and count > 200)


def test_an_interrupt_does_not_wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def read(source: int, name: str) -> None:
        begun.append(source)
        time.sleep(0.05)
        if source == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(image_input, "read_input", read)
    with pytest.raises(KeyboardInterrupt):
        read_many(range(100))  # type: ignore[arg-type]
    assert len(begun) < 20
