"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write ``path`` under a temporary name beside it and move it into place at the end.

    Whoever reads ``path`` meanwhile sees the old file or the new one, never a half. If the block
    raises (Ctrl-C too), ``path`` stays as it was and the temporary file is removed.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(passing, "xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(passing, path)
    finally:
        passing.unlink(missing_ok=True)
