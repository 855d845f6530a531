"""A cache file of arrays: one-bit images packed to bits, checked on every load.

Layout: 8 bytes magic, crc32 of all that follows (4 bytes, little-endian), length of the header
(4 bytes), the header as JSON, then the arrays, each from a multiple of 64 bytes on.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from siamese_oneshot.utils.io import whole_file

Array = NDArray[Any]
FORMAT = 2
_MAGIC = b"ONESHOT\n"
_START = len(_MAGIC) + 8
_ALIGN = 64
_LOCK_SECONDS = 900.0

log = logging.getLogger(__name__)


class CacheFault(Exception):
    """Why a cache file is not to be trusted."""


def pack(ink: Array) -> NDArray[np.uint8]:
    """Pack images: bool ``(n, h, w)``, True where ink, to uint8 ``(n, ceil(h * w / 8))``."""
    return np.packbits(ink.reshape(len(ink), -1), axis=1)


def unpack(packed: Array, out: NDArray[np.uint8]) -> None:
    """Undo ``pack`` into ``out``, uint8 ``(n, h, w)``: 0 (paper) and 255 (ink)."""
    flat = out.reshape(len(out), -1)
    step = 256  # fits the processor's cache

    def part(start: int) -> None:
        bits = np.unpackbits(packed[start : start + step], axis=1, count=flat.shape[1])
        np.negative(bits, out=flat[start : start + step])  # 1 becomes 255

    # Threads, because a first touch of so much fresh memory can cost more than the unpacking.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(part, range(0, len(packed), step)))


def write(path: Path, metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write the file whole or not at all.

    Args:
        path: the file; its folder is made.
        facts: what a reader must find again (JSON values).
        arrays: by name.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    listed, chunks, offset = [], [], 0
    for name, array in arrays.items():
        data = array.tobytes()
        shape = list(array.shape)
        listed.append({"name": name, "dtype": array.dtype.str, "shape": shape, "offset": offset})
        chunks.append(data + bytes(-len(data) % _ALIGN))
        offset += len(chunks[-1])
    header = json.dumps({"format": FORMAT, "metadata": dict(metadata), "arrays": listed}).encode()
    header += b" " * (-(_START + len(header)) % _ALIGN)
    chunks.insert(0, len(header).to_bytes(4, "little") + header)
    checksum = 0
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    with whole_file(path) as handle:
        handle.write(_MAGIC + checksum.to_bytes(4, "little"))
        handle.writelines(chunks)


def read(path: Path, metadata: Mapping[str, Any]) -> dict[str, Array]:
    """Map the file into memory and check every byte of it.

    Args:
        path: a file of ``write``.
        facts: what must be written in it.

    Returns:
        The arrays by name: read-only, backed by the file.

    Raises:
        FileNotFoundError: there is none.
        CacheFault: it is damaged, of another version or about other data.
        OSError: it cannot be read.
    """
    if path.stat().st_size < _START:
        raise CacheFault("it is cut short")
    raw = np.memmap(path, np.uint8, "r")
    if raw[: len(_MAGIC)].tobytes() != _MAGIC:
        raise CacheFault("it is not a cache file")
    if zlib.crc32(raw[len(_MAGIC) + 4 :].data) != int.from_bytes(
        raw[len(_MAGIC) : _START - 4], "little"
    ):
        raise CacheFault("its checksum does not match: it is damaged or cut short")
    start = _START + int.from_bytes(raw[_START - 4 : _START], "little")
    try:
        header = json.loads(raw[_START:start].tobytes())
        if header["format"] != FORMAT:
            raise CacheFault(f"it has format {header['format']}, not {FORMAT}")
        if header["metadata"] != dict(metadata):
            raise CacheFault("it was made from other data")
        return {
            one["name"]: np.ndarray(
                tuple(one["shape"]), np.dtype(one["dtype"]), raw.data, start + one["offset"]
            )
            for one in header["arrays"]
        }
    except (ValueError, KeyError, TypeError) as fault:
        raise CacheFault(f"its header cannot be read: {fault}") from fault


def remember(
    path: Path, metadata: Mapping[str, Any], build: Callable[[], dict[str, Array]]
) -> dict[str, Array]:
    """The arrays of the file; where it is missing or not to be trusted, those of ``build``.

    Several processes may call this at once: one builds, the others wait and read. Where the folder
    cannot be written to, the arrays are built in memory and a warning says so.

    Raises:
        Exception: whatever ``build`` raises; the file then stays as it was.
    """
    found = _read_or_say_why(path, metadata)
    if found is not None:
        return found
    lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as fault:  # also a lock's time-out; writing stays atomic without it
        log.warning("cannot lock %s (%s); going on without", path, fault)
    try:
        found = _read_or_say_why(path, metadata, quiet=True)  # another process may have been faster
        if found is not None:
            return found
        arrays = build()
        try:
            write(path, metadata, arrays)
        except OSError as fault:
            log.warning("cannot write the cache %s (%s); every start decodes anew", path, fault)
        return arrays
    finally:
        lock.release()


def _read_or_say_why(
    path: Path, metadata: Mapping[str, Any], quiet: bool = False
) -> dict[str, Array] | None:
    try:
        return read(path, metadata)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (CacheFault, OSError) as fault:
        if not quiet:
            log.warning("the cache %s is not used: %s; making it anew", path, fault)
        return None
