"""Fetch the official Omniglot files: over https, whole and with the right md5, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import logging
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from siamese_oneshot.utils.io import whole_file

REPOSITORY = "https://github.com/brendenlake/omniglot"
_BASE = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
URLS = {
    "images_background": f"{_BASE}/images_background.zip",
    "images_evaluation": f"{_BASE}/images_evaluation.zip",
    "all_runs": f"{_BASE}/one-shot-classification/all_runs.zip",
}
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
    "all_runs": "e8996daecdf12afeeb4a53a179f06b19",
}
MAX_BYTES = 64 * 2**20  # the largest official file has 9.5 MB
SILENCE_SECONDS = 20.0  # without a byte
TOTAL_SECONDS = 900.0

log = logging.getLogger(__name__)


class DownloadFailed(Exception):
    """Which address, and why."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to an unencrypted address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_plain(url: str) -> None:
    if not url.startswith("https://"):
        raise DownloadFailed(f"{url} is not an https address")


def open_https(url: str) -> Any:
    """Open an https address for reading.

    Raises:
        DownloadFailed: the address, or one it leads on to, is not https.
        OSError: no connection, or an answer other than success.
    """
    _refuse_plain(url)
    return urllib.request.build_opener(_HttpsOnly).open(url, timeout=SILENCE_SECONDS)


def download(part: str, folder: Path, opener: Callable[[str], Any] | None = None) -> Path:
    """Download one official zip.

    Args:
        part: ``images_background``, ``images_evaluation`` or ``all_runs``.
        folder: where the zip is put; made if it is not there.
        opener: opens an address (``open_https`` where None); the answer has ``headers`` and
            ``read(size)`` and can be closed.

    Returns:
        The path of the zip.

    Raises:
        DownloadFailed: anything that went wrong; nothing is left behind.
    """
    url = URLS[part]
    path = folder / f"{part}.zip"
    log.info("downloading %s to %s", url, path)
    try:
        with (opener or open_https)(url) as answer, whole_file(path) as handle:
            _receive(answer, handle, part)
    except DownloadFailed as fault:
        raise DownloadFailed(f"{url}: {fault}") from fault
    except (OSError, http.client.HTTPException) as fault:
        raise DownloadFailed(f"{url}: {fault or type(fault).__name__}") from fault
    return path


def _receive(answer: Any, handle: Any, part: str) -> None:
    promised = answer.headers.get("Content-Length")
    expected = int(promised) if promised and promised.isdigit() else None
    digest = hashlib.md5(usedforsecurity=False)
    size, deadline = 0, time.monotonic() + TOTAL_SECONDS
    # disable=None: no bar where the output is not a terminal
    with tqdm(
        total=expected, unit="B", unit_scale=True, desc=f"{part}.zip", disable=None, leave=False
    ) as bar:
        while chunk := answer.read(2**16):
            size += len(chunk)
            if size > MAX_BYTES:
                raise DownloadFailed(f"it is larger than {MAX_BYTES} bytes, so it is not Omniglot")
            if time.monotonic() > deadline:
                raise DownloadFailed(f"not done after {TOTAL_SECONDS:.0f} s ({size} bytes)")
            digest.update(chunk)
            handle.write(chunk)
            bar.update(len(chunk))
    if expected is not None and size < expected:
        raise DownloadFailed(f"the connection ended after {size} of {expected} bytes")
    if digest.hexdigest() != MD5[part]:
        raise DownloadFailed(
            f"its md5 is {digest.hexdigest()}, not {MD5[part]} ({size} bytes came; a proxy's page?)"
        )
