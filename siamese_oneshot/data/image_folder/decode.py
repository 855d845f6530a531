"""An image file of any kind → its pixels, or a sentence that says what is wrong with the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from siamese_oneshot.data.image_folder.foreground import (
    SIDE,
    NoForeground,
    NormalizedImage,
    normalise,
)
from siamese_oneshot.utils.errors import UserError

MAX_PIXELS = 64_000_000
TOLD = 20  # faults told in one message
# Those with a signature, so that content decides; and none that starts a program, as EPS does.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO")
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class ImageError(UserError):
    """A file that cannot be used as an image of an image; names it and says why.

    Attributes:
        path: the file.
        why: what is wrong with it.
    """

    def __init__(self, path: str | Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = Path(path)
        self.why = why


def listed(faults: Sequence[object]) -> str:
    """A line for each of the first few, and how many more there are."""
    lines = [f"  {fault}\n" for fault in faults[:TOLD]]
    if len(faults) > TOLD:
        lines.append(f"  and {len(faults) - TOLD:,} more\n")
    return "".join(lines)


def load_image(path: str | Path, side: int = SIDE) -> NormalizedImage:
    """Read an image and bring it to the network's convention.

    Args:
        path: the file.
        side: pixels along a side of the result.

    Raises:
        ImageError: it cannot be read, or nothing is drawn in it.
    """
    rgba = read_image(path)
    try:
        return normalise(rgba, side)
    except NoForeground as blank:
        raise ImageError(path, f"no image can be seen in it: {blank}") from blank


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The pixels of an image file, upright: uint8 ``(height, width, 4)``, red to alpha.

    Content decides what a file is, never its suffix. Of an animation, the first frame is taken.
    Grey levels beyond 8 bits are spread over 0 … 255, as few such files use their whole range.

    Raises:
        ImageError: it is not there, empty, no image, damaged, or larger than 64 megapixels.
    """
    if not os.path.exists(path):
        broken = os.path.islink(path)
        raise ImageError(path, "the link leads nowhere" if broken else "there is no such file")
    if not os.path.isfile(path):
        raise ImageError(path, "it is a folder" if os.path.isdir(path) else "it is no file")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as fault:
        raise ImageError(path, f"it cannot be read ({fault.strerror})") from fault
    if not start:
        raise ImageError(path, "the file is empty")
    Image.init()
    known = [name for name in _FORMATS if name in Image.OPEN]
    with _faults_of(path):
        try:
            image = Image.open(path, formats=known)
        except Image.UnidentifiedImageError as fault:
            what = (
                "it is text, not an image" if _is_text(start) else "it is no image of a known kind"
            )
            raise ImageError(path, f"{what}; save it as PNG or JPEG") from fault
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(path, _too_large(f"{image.width}×{image.height} pixels"))
            return decoded(image, path)


def decoded(image: Image.Image, name: str | Path) -> NDArray[np.uint8]:
    """The pixels of an image that has been opened, as those of `read_image`.

    Args:
        image: may not be decoded yet.
        name: what to call it in messages.

    Raises:
        ImageError: it has no pixels, or is damaged.
    """
    if not image.width * image.height:
        raise ImageError(name, f"it has {image.width}×{image.height} pixels")
    with _faults_of(name):
        return _pixels(image)


@contextmanager
def _faults_of(name: str | Path) -> Iterator[None]:
    """Make whatever decoders stumble over a `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except _BOMBS as fault:
        raise ImageError(name, _too_large("far too many pixels")) from fault
    except MemoryError as fault:
        raise ImageError(name, "there is not enough memory to decode it") from fault
    except Exception as fault:
        reason = str(fault) or type(fault).__name__
        raise ImageError(name, f"the image is damaged or incomplete ({reason})") from fault


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        levels = np.nan_to_num(np.asarray(upright).astype(np.float64))
        levels -= levels.min()
        levels *= 255 / max(levels.max(), 1e-9)
        upright = Image.fromarray(levels.round().astype(np.uint8))
    return np.array(upright.convert("RGBA"))


def _too_large(found: str) -> str:
    return f"it has {found}; at most {MAX_PIXELS // 10**6} megapixels are read: make it smaller"


def _is_text(start: bytes) -> bool:
    shown = start.decode("utf-8", "ignore")
    return "\0" not in shown and len(shown.encode()) > len(start) - 4
