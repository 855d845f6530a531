"""Read an image from a file, bytes, a file object, PIL or NumPy, and normalize it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import printable, some_of

if TYPE_CHECKING:
    from siamese_oneshot.data.foreground import NormalizedImage

MAX_PIXELS = 64_000_000
THUMBNAIL = 105  # pixels along the longer side
_MAX_LISTED = 20  # errors in one message
_THREADS = 4  # each may hold an image of 64 megapixels
MANY = 200  # images that are worth a progress bar
# Formats with a signature, as content decides; none that starts a program, as EPS does.
_FORMATS = ("PNG", "JPEG", "MPO", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO")
_ALPHA_OR_ZERO = ("BMP", "ICO")  # many programs write zeros for "no alpha"
_PARTS = {"TIFF": "pages", "GIF": "frames", "PNG": "frames", "WEBP": "frames", "AVIF": "frames"}


class ImageError(UserError):
    """An image that cannot be used.

    Attributes:
        path: Its file, or how messages call an image without a file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{printable(path)}: {printable(reason)}")
        self.path = Path(path)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class ImageInput:
    """An image as it was passed in and as the network sees it.

    Attributes:
        path: Its file; None if it has none.
        thumbnail: The original image, RGBA, at most 105 pixels along a side.
        normalized: Its strokes in Omniglot's convention.
        digest: Hash of the pixels.
        notes: What was not read of the file, such as further pages.
    """

    path: Path | None
    thumbnail: Image.Image
    normalized: NormalizedImage
    digest: bytes
    notes: tuple[str, ...]


ImageSource = (
    str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[np.generic] | ImageInput
)


def is_single(source: object) -> bool:
    """Whether a value is one image rather than a sequence of images."""
    kinds = str | os.PathLike | bytes | bytearray | Image.Image | np.ndarray | ImageInput
    return isinstance(source, kinds) or hasattr(source, "read")


def read_input(source: ImageSource, name: str = "the image") -> ImageInput:
    """Read and normalize one image.

    Args:
        source: The path of a file; the bytes of a file or a binary file object; a PIL image; or an
            array ``(h, w)``, ``(h, w, 3)`` or ``(h, w, 4)`` of bool, uint8 or floats 0 … 1: gray,
            RGB or RGBA.
        name: What messages call an image that has no path.

    Raises:
        ImageError: If it cannot be read, or no strokes are visible in it.
    """
    from siamese_oneshot.data.foreground import NoForeground, normalize

    if isinstance(source, ImageInput):
        return source
    path = _expand(Path(source)) if isinstance(source, str | os.PathLike) else None
    rgba, notes = _read(path or source, name)
    try:
        normalized = normalize(rgba)
    except NoForeground as error:
        raise ImageError(path or name, f"no strokes are visible: {error}") from error
    thumbnail = Image.fromarray(rgba)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    digest = hashlib.sha256(f"{rgba.shape}".encode() + rgba.tobytes()).digest()
    return ImageInput(path, thumbnail, normalized, digest, notes)


def read_many(
    sources: Sequence[ImageSource], progress: bool = False
) -> list[ImageInput | ImageError]:
    """`read_input` of each source in several threads; each image, or the error for it, in order.

    With ``progress`` a progress bar is shown if there are many images.
    """

    def read_one(index: int) -> ImageInput | ImageError:
        try:
            return read_input(sources[index], f"image {index + 1}")
        except ImageError as error:
            return error

    if len(sources) == 1:
        return [read_one(0)]
    pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1))
    try:
        results = pool.map(read_one, range(len(sources)))
        if progress and len(sources) > MANY:
            from tqdm import tqdm

            return list(tqdm(results, "reading", len(sources), leave=False, unit="", disable=None))
        return list(results)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the remaining images


def _read(source: ImageSource, name: str | Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The pixels of an image, upright: uint8 ``(height, width, 4)``; and notes on what is unread.

    The content decides what a file is, never its suffix. Only the first page or frame is read.
    Gray levels beyond 8 bits are stretched to 0 … 255, as few such files use their whole range.

    Raises:
        ImageError: If it is missing, empty, no image, damaged, or larger than 64 megapixels.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source))
    if isinstance(source, Image.Image):
        return _pixels(source, name), ()
    if isinstance(source, np.ndarray):
        return _array_pixels(source, name), ()
    content: object = source
    if hasattr(source, "read"):
        with _decoding(name):
            content = source.read()
        if isinstance(content, str):
            raise ImageError(name, "the file object is in text mode; open it in binary mode")
    if isinstance(content, bytes | bytearray):
        return _decode(io.BytesIO(content), name)
    kinds = "a path, bytes, a file object, a PIL image nor a NumPy array"
    raise ImageError(name, f"{type(source).__name__} is neither {kinds}")


def list_errors(errors: Sequence[object]) -> str:
    """One line for each of the first 20 errors, and how many more there are."""
    return "  " + some_of(errors, _MAX_LISTED, "\n  ") if errors else ""


def _expand(path: Path) -> Path:
    """Replace ``~`` by the user's folder, unless a file of that name exists."""
    if os.path.lexists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ImageError(path, "there is no such user") from error


def _read_file(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if not os.path.exists(path):
        dangling = os.path.islink(path)
        reason = "the link points to nothing" if dangling else "there is no such file"
        raise ImageError(path, reason)
    if not os.path.isfile(path):
        raise ImageError(path, "it is a folder" if os.path.isdir(path) else "it is not a file")
    try:
        # As a file object: given a path, Pillow maps uncompressed TIFFs into memory and then
        # scrambles those with orientation 5 to 8.
        with open(path, "rb") as file:
            return _decode(file, path)
    except OSError as error:
        raise ImageError(path, f"it cannot be read ({error.strerror})") from error


def _decode(file: BinaryIO, name: str | Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The pixels of an image file, and notes on what was not read."""
    if not file.read(1):
        raise ImageError(name, "the file is empty")
    file.seek(0)
    with _decoding(name):
        try:
            Image.init()
            image = Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])
        except UnidentifiedImageError as error:
            reason = "its format is unknown; save it as PNG or JPEG"
            raise ImageError(name, reason) from error
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(name, _too_large(f"{image.width}×{image.height} pixels"))
            pixels = _pixels(image, name)
            if image.format in _ALPHA_OR_ZERO and not pixels[..., 3].any():
                pixels[..., 3] = 255
            return pixels, _unread_parts(image)


def _unread_parts(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """How many pages or frames there are beside the first."""
    parts = _PARTS.get(image.format or "")
    try:
        count = getattr(image, "n_frames", 1) if parts else 1
    except Exception:  # what follows the first page is damaged
        return ("what follows its first page or frame is damaged and not read",)
    return (f"only the first of its {count} {parts} is read",) if count > 1 else ()


@contextmanager
def _decoding(name: str | Path) -> Iterator[None]:
    """Turn every error of a decoder into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(name, _too_large("far too many pixels")) from error
    except MemoryError as error:
        raise ImageError(name, "there is not enough memory to decode it") from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ImageError(name, f"the image is damaged or incomplete ({reason})") from error


def _pixels(image: Image.Image, name: str | Path) -> NDArray[np.uint8]:
    """RGBA pixels of an image that may not be decoded yet."""
    if not image.width * image.height:
        raise ImageError(name, f"it has {image.width}×{image.height} pixels")
    with _decoding(name):
        upright = _upright(image)
        if upright.mode.startswith("I") or upright.mode == "F":
            upright = Image.fromarray(_stretched(np.nan_to_num(np.asarray(upright))))
        return np.array(upright.convert("RGBA"))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        image.getexif()
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF data: the orientation is unknown, the pixels are fine
        return image


def _stretched(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch gray levels ``(h, w)`` to 0 … 255, whatever a few stuck pixels of the sensor say."""
    from scipy.ndimage import maximum_filter, minimum_filter

    around = np.ones((3, 3), bool)
    around[1, 1] = False
    lowest, highest = (
        extreme(levels, footprint=around, mode="mirror")
        for extreme in (minimum_filter, maximum_filter)
    )
    smooth = np.clip(levels, lowest, highest).astype(np.float64)
    scale = 255 / max(np.ptp(smooth), 1e-9)
    return ((smooth - smooth.min()) * scale).round().astype(np.uint8)


def _array_pixels(array: NDArray[np.generic], name: str | Path) -> NDArray[np.uint8]:
    """RGBA pixels of a gray, RGB or RGBA array."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)) or not array.size:
        expected = "(h, w), (h, w, 3) or (h, w, 4)"
        raise ImageError(name, f"its shape is {array.shape}; it must be {expected}")
    if array.dtype != np.uint8:
        number = array.dtype.kind in "bf"
        values = cast(NDArray[np.float64], array)
        if not (number and values.min() >= 0 and values.max() <= 1):
            nan = " with NaN" if array.dtype.kind == "f" and np.isnan(values).any() else ""
            expected = "uint8, bool or floats in 0 … 1"
            raise ImageError(name, f"its dtype is {array.dtype}{nan}; it must be {expected}")
        array = (array.astype(np.float64) * 255).round().astype(np.uint8)
    return np.array(Image.fromarray(np.ascontiguousarray(array)).convert("RGBA"))


def _too_large(found: str) -> str:
    return f"it has {found}; at most {MAX_PIXELS // 10**6} megapixels are read: make it smaller"
