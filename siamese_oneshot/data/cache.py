"""A cache file of arrays: one-bit images packed to bits, with a checksum that every load verifies.

The file is a CRC-32 and arrays in safetensors format, one of which says what they were made from.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from siamese_oneshot.utils.hardware import in_threads
from siamese_oneshot.utils.io import atomic_write

Array = NDArray[Any]
FORMAT = 4
_METADATA = "metadata"  # name of the array with it
CACHE_VARIABLE = "SIAMESE_ONESHOT_CACHE"
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


def unpack(packed: Array, side: int) -> Tensor:
    """Unpack images: uint8 ``(n, side, side)``, 0 (background) and 255 (foreground)."""
    flat = np.empty((len(packed), side * side), np.uint8)

    def unpack_from(start: int) -> None:
        part = slice(start, start + _UNPACKED_AT_ONCE)
        bits = np.unpackbits(packed[part], axis=1, count=side * side)
        np.negative(bits, out=flat[part])  # 1 becomes 255

    in_threads(unpack_from, range(0, len(packed), _UNPACKED_AT_ONCE))
    return torch.from_numpy(flat).view(-1, side, side)


def write(path: Path, metadata: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a cache file atomically; ``metadata`` (JSON values) is what `read` must find again.

    Raises:
        OSError: If the folder cannot be written to, or the disk is full.
    """
    # Contiguous: safetensors 0.8.0 writes the values of any other array in the order of its memory.
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save({**contiguous, _METADATA: _encoded(metadata)})
    with atomic_write(path) as handle:
        handle.write(_checksum(content))
        handle.write(content)


def read(path: Path, metadata: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of a file of `write`, by name.

    Raises:
        FileNotFoundError: If there is no file.
        CacheFault: If it is damaged, of another format or about other data.
        OSError: If it cannot be read.
    """
    with open(path, "rb") as file:
        checksum, content = file.read(4), file.read()
    if checksum != _checksum(content):
        raise CacheFault("its checksum does not match: it is damaged")
    arrays = load(content)
    if not np.array_equal(arrays.pop(_METADATA), _encoded(metadata)):
        raise CacheFault("it was made from other data")
    return arrays


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def _encoded(metadata: Mapping[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps([FORMAT, metadata]).encode(), np.uint8)


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
            message = "cannot write the cache %s (%s); the data will be decoded at every start"
            log.warning(message, path, fault)
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
