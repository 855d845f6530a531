"""The images of a run's folder, made small enough to stand within its page."""

from __future__ import annotations

import base64
import io
import math
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from siamese_oneshot.reports.value import printable

ROOM = 2_600_000  # letters of all images of a page together
_EACH = 700_000  # of one
_AS_IT_IS = 100_000  # bytes of a file that is worth no work
_WIDEST = 1400  # pixels: twice what a page shows, for sharp screens
_COLORS = 64  # images and charts have few
_MOST_PIXELS = 60_000_000
# What is shown first; other names follow.
_ORDER = (
    "trial", "trial_right", "trial_wrong", "mistakes", "confusions", "alphabets", "ways", "pairs",
    "filters", "distortions", "map",
)  # fmt: skip


@dataclass
class Picture:
    """One image on the page.

    Attributes:
        name: the file's, without its ending.
        data: ``data:image/png;base64,…``.
        width, height: in pixels.
        title, alt: under it, and what it shows in words.
    """

    name: str
    data: str
    width: int
    height: int
    title: str = ""
    alt: str = ""


@dataclass
class Shelf:
    """The images of one occasion.

    Attributes:
        heading: over them.
        step: of the training at which they were drawn; None: after it.
        images: in order.
    """

    heading: str
    step: int | None
    images: list[Picture] = field(default_factory=list)


def find_images(folder: Path) -> list[tuple[str, int | None, list[Path]]]:
    """The latest album of the training, and the images of an evaluation, where there are any.

    Returns:
        Of each a heading, the step, and the files in the order in which they are shown.
    """
    found: list[tuple[str, int | None, list[Path]]] = []
    albums = {}
    for place in (folder / "pictures").glob("step_*"):
        number = re.fullmatch(r"step_(\d{1,12})", place.name)
        if number and any(place.glob("*.png")):
            albums[int(number[1])] = place
    if albums:
        step = max(albums)
        heading = f"On validation trials, at step {step:,}"
        found.append((heading, step, _ordered(albums[step])))
    for subfolder in ("evaluation/pictures", "evaluation"):
        files = _ordered(folder / subfolder)
        if files:
            found.append(("On test trials, from the evaluation", None, files))
            break
    return found


def _ordered(folder: Path) -> list[Path]:
    names = {name: number for number, name in enumerate(_ORDER)}
    files = [path for path in folder.glob("*.png") if path.is_file()]
    return sorted(files, key=lambda path: (names.get(path.stem, len(names)), path.name))


def load(path: Path, room: int) -> Picture:
    """Read, shrink and pack an image.

    Args:
        path: of a PNG.
        room: letters that it may take.

    Raises:
        OSError: it cannot be read, is no PNG or is damaged.
        ValueError: it is too large, or does not fit even when it is small.
    """
    from PIL import Image

    room = min(room, _EACH)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=["PNG"]) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    raise ValueError(f"it has {opened.width} x {opened.height} pixels")
                if opened.width <= _WIDEST and path.stat().st_size <= min(_AS_IT_IS, room * 3 // 4):
                    opened.load()  # raises where it is damaged
                    return Picture(
                        printable(Path(path.stem)), _address(path.read_bytes()), *opened.size
                    )
                image = opened.convert("RGBA")
        except (SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as bad:
            raise ValueError(str(bad)) from bad
    white = Image.new("RGBA", image.size, "white")
    plain = Image.alpha_composite(white, image).convert("RGB")
    width = min(_WIDEST, plain.width)
    while width >= 200:
        size = (width, max(1, round(plain.height * width / plain.width)))
        small = plain if size == plain.size else plain.resize(size, Image.Resampling.LANCZOS)
        text = _packed(small)
        if len(text) <= room:
            return Picture(printable(Path(path.stem)), text, *size)
        # As many pixels as have room, were each to take as much as now; a little fewer.
        width = int(0.95 * width * min(0.9, math.sqrt(room / len(text))))
    raise ValueError("there is no room left for it on the page")


def _packed(image: object) -> str:
    from PIL import Image

    assert isinstance(image, Image.Image)
    palette = image.quantize(_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    palette.save(file, "PNG")
    return _address(file.getvalue())


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
