"""Images as people have them, in files or in memory, each kept beside its normalized form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from siamese_oneshot.data.image_folder.decode import ImageError, decoded, read_image
from siamese_oneshot.data.image_folder.foreground import NoForeground, NormalizedImage, normalise

THUMBNAIL = 105  # pixels along the longer side: enough to look at
_READERS = 4  # at once; each may hold 64 megapixels
_MANY = 200  # images that are worth a progress bar


@dataclass(frozen=True, eq=False)
class ImageInput:
    """An image as it was given and as the network's convention has it.

    Attributes:
        path: its file; None where it was given in memory.
        thumbnail: the given image, RGBA, at most 105 pixels along a side.
        normalized: the image that was found in it.
    """

    path: Path | None
    thumbnail: Image.Image
    normalized: NormalizedImage


# A file, a PIL image, an array, or what has been read already.
Source = str | os.PathLike[str] | Image.Image | NDArray[np.generic] | ImageInput


def read_given(source: Source, name: str = "an image given in memory") -> ImageInput:
    """Read and normalise one image.

    Args:
        source: a file's path; a PIL image; or an array ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)``
            of bool, of uint8, or of floats 0 … 1: gray, RGB or RGBA.
        name: what to call one without a file in messages.

    Raises:
        ImageError: it cannot be read, or nothing is drawn in it.
    """
    if isinstance(source, ImageInput):
        return source
    path: Path | None = None
    if isinstance(source, str | os.PathLike):
        path = _place(Path(source))
        rgba = read_image(path)
    else:
        rgba = _rgba(source, name)
    try:
        normalized = normalise(rgba)
    except NoForeground as blank:
        raise ImageError(path or name, f"no image can be seen in it: {blank}") from blank
    thumbnail = Image.fromarray(rgba)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return ImageInput(path, thumbnail, normalized)


def read_many(sources: Sequence[Source]) -> list[ImageInput | ImageError]:
    """Read images, several at once; a progress bar shows where there are many.

    Returns:
        In order: each image, or what is wrong with it.
    """

    def outcome(number: int) -> ImageInput | ImageError:
        try:
            return read_given(sources[number], f"image {number + 1} (given in memory)")
        except ImageError as fault:
            return fault

    pool = ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1))
    try:
        found = pool.map(outcome, range(len(sources)))
        quiet = len(sources) <= _MANY
        return list(tqdm(found, "reading", len(sources), leave=False, unit="", disable=quiet))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C need not wait for all of them


def _place(path: Path) -> Path:
    """The path with the user's folder for ``~``; one of a folder's files may be called ``~b``."""
    if os.path.lexists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError as fault:
        raise ImageError(path, "there is no such user") from fault


def _rgba(source: Image.Image | NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """uint8 ``(h, w, 4)`` of what is in memory."""
    if isinstance(source, Image.Image):
        return decoded(source, name)
    if not isinstance(source, np.ndarray):
        kind = type(source).__name__
        raise ImageError(name, f"{kind} is neither a path, a PIL image nor a NumPy array")
    if source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,), (4,)) or not source.size:
        raise ImageError(
            name, f"its shape is {source.shape}; it must be (h, w), (h, w, 3) or (h, w, 4)"
        )
    if source.dtype != np.uint8:
        if not (source.dtype.kind in "bf" and source.min() >= 0 and source.max() <= 1):
            nan = ", NaN among them" if source.dtype.kind == "f" and np.isnan(source).any() else ""
            raise ImageError(
                name,
                f"its numbers are {source.dtype}{nan}; they must be uint8, bool or floats 0 … 1",
            )
        source = (source.astype(np.float64) * 255).round().astype(np.uint8)
    return np.array(Image.fromarray(np.ascontiguousarray(source)).convert("RGBA"))
