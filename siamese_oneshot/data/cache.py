"""A cache file of arrays: one-bit images packed to bits, with a checksum that every load verifies.

Layout: 8 bytes magic, CRC-32 of everything after it (4 bytes, little-endian), length of the header
(4 bytes), the header as JSON, then the arrays, each aligned to 64 bytes.
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
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from siamese_oneshot.utils.io import atomic_write

Array = NDArray[Any]
FORMAT = 2
CACHE_VARIABLE = "SIAMESE_ONESHOT_CACHE"
_MAGIC = b"ONESHOT\n"
_START = len(_MAGIC) + 8
_ALIGN = 64
_LOCK_SECONDS = 900.0
_UNPACKED_AT_ONCE = 256  # images; they fit the processor's cache

log = logging.getLogger(__name__)


class CacheFault(Exception):
    """Why a cache file is not used."""


def cache_home(cache_dir: str | Path | None = None) -> Path:
    """Folder of the cache: ``cache_dir``, else ``$SIAMESE_ONESHOT_CACHE``, else the user's."""
    named = cache_dir or os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("siamese_oneshot", appauthor=False))


def pack(foreground: Array) -> NDArray[np.uint8]:
    """Pack images: bool ``(n, h, w)`` to uint8 ``(n, ceil(h * w / 8))``."""
    return np.packbits(foreground.reshape(len(foreground), -1), axis=1)


def unpack(packed: Array, out: NDArray[np.uint8]) -> None:
    """Unpack images into ``out``, uint8 ``(n, h, w)``: 0 (background) and 255 (foreground)."""
    flat = out.reshape(len(out), -1)

    def unpack_from(start: int) -> None:
        part = slice(start, start + _UNPACKED_AT_ONCE)
        bits = np.unpackbits(packed[part], axis=1, count=flat.shape[1])
        np.negative(bits, out=flat[part])  # 1 becomes 255

    # Threads, because the first touch of so much memory can cost more than the unpacking.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(unpack_from, range(0, len(packed), _UNPACKED_AT_ONCE)))


def write(path: Path, metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a cache file atomically.

    Args:
        path: The file; its folder is created.
        metadata: What `read` must find again (JSON values).
        arrays: Arrays by name.

    Raises:
        OSError: If the folder cannot be written to, or the disk is full.
    """
    entries, chunks, offset = [], [], 0
    for name, array in arrays.items():
        data = array.tobytes()
        shape = list(array.shape)
        entries.append({"name": name, "dtype": array.dtype.str, "shape": shape, "offset": offset})
        chunks.append(data + bytes(-len(data) % _ALIGN))
        offset += len(chunks[-1])
    header = json.dumps({"format": FORMAT, "metadata": dict(metadata), "arrays": entries}).encode()
    header += b" " * (-(_START + len(header)) % _ALIGN)
    chunks.insert(0, len(header).to_bytes(4, "little") + header)
    checksum = 0
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    with atomic_write(path) as handle:
        handle.write(_MAGIC + checksum.to_bytes(4, "little"))
        handle.writelines(chunks)


def read(path: Path, metadata: Mapping[str, Any]) -> dict[str, Array]:
    """Map a cache file into memory and verify its checksum.

    Args:
        path: A file of `write`.
        metadata: What the file must have been written with.

    Returns:
        The arrays by name, read-only and backed by the file.

    Raises:
        FileNotFoundError: If there is no file.
        CacheFault: If it is damaged, of another format or about other data.
        OSError: If it cannot be read.
    """
    if path.stat().st_size < _START:
        raise CacheFault("it is truncated")
    raw = np.memmap(path, np.uint8, "r")
    if raw[: len(_MAGIC)].tobytes() != _MAGIC:
        raise CacheFault("it is not a cache file")
    checksum = int.from_bytes(raw[len(_MAGIC) : _START - 4], "little")
    if zlib.crc32(raw[len(_MAGIC) + 4 :].data) != checksum:
        raise CacheFault("its checksum does not match: it is damaged or truncated")
    start = _START + int.from_bytes(raw[_START - 4 : _START], "little")
    try:
        header = json.loads(raw[_START:start].tobytes())
        if header["format"] != FORMAT:
            raise CacheFault(f"it has format {header['format']}, not {FORMAT}")
        if header["metadata"] != dict(metadata):
            raise CacheFault("it was made from other data")
        return {
            entry["name"]: np.ndarray(
                tuple(entry["shape"]), np.dtype(entry["dtype"]), raw.data, start + entry["offset"]
            )
            for entry in header["arrays"]
        }
    except (ValueError, KeyError, TypeError) as fault:
        raise CacheFault(f"its header cannot be read: {fault}") from fault


def load_or_build(
    path: Path, metadata: Mapping[str, Any], build: Callable[[], dict[str, Array]]
) -> dict[str, Array]:
    """The arrays of a cache file; if it is missing or not valid, those of ``build``, then cached.

    Several processes may call this at once: one builds, the others wait and read. If the folder
    cannot be written to, the arrays are built in memory with a warning.

    Raises:
        Exception: Whatever ``build`` raises; the file stays as it was.
    """
    arrays = _read_or_warn(path, metadata)
    if arrays is not None:
        return arrays
    lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as fault:  # includes the lock's time-out; writing is atomic without it
        log.warning("cannot lock %s (%s); continuing without a lock", path, fault)
    try:
        arrays = _read_or_warn(path, metadata, quiet=True)  # another process may have built it
        if arrays is not None:
            return arrays
        arrays = build()
        try:
            write(path, metadata, arrays)
        except OSError as fault:
            log.warning(
                "cannot write the cache %s (%s); the data will be decoded at every start",
                path,
                fault,
            )
        return arrays
    finally:
        lock.release()


def _read_or_warn(
    path: Path, metadata: Mapping[str, Any], quiet: bool = False
) -> dict[str, Array] | None:
    try:
        return read(path, metadata)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (CacheFault, OSError) as fault:
        if not quiet:
            log.warning("the cache %s is not used: %s; rebuilding it", path, fault)
        return None
