"""A tiny look-alike of Omniglot for every test, the real one for those that ask for it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

os.environ["OMP_NUM_THREADS"] = "1"  # of tiny networks, here and in processes that tests start
if not os.environ.get("SIAMESE_ONESHOT_GPU"):  # for tests/training/test_gpu.py
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # exact to the bit, in two processes: on CPUs only

import pytest
from blobs import make_dataset
from cached_conf import each_line_composed_once, each_text_parsed_once

from siamese_oneshot.data import image_folder
from siamese_oneshot.data.dataset import CharacterDataset

if TYPE_CHECKING:
    from siamese_oneshot.evaluation.model_evaluation import TaskProvider


def pytest_xdist_auto_num_workers() -> int:
    """Of ``-n auto``: one more than cores, because some tests wait for servers and processes."""
    return (os.cpu_count() or 1) + 1


def unsynced(handle: int) -> None:
    """`os.fsync` where nobody pulls the plug."""


@pytest.fixture(autouse=True, scope="session")
def nothing_done_twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each config is composed once, no file is synced, and the user's cache stays as it is."""
    strokes = tmp_path_factory.mktemp("strokes")
    with (
        mock.patch.object(image_folder, "cache_file", lambda root: strokes / str(hash(root))),
        each_text_parsed_once(),
        each_line_composed_once(),
        mock.patch.object(os, "fsync", unsynced),
    ):
        yield


_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; skips where it or playwright is missing."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if found is None:
        pytest.skip("there is no chromium on the PATH")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='playwright is missing: pip install -e ".[browser]"'
    )
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=found, args=_FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def undisturbed_logging() -> Iterator[None]:
    """Put back what Hydra does to the process's logging: tests must not mind their order."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session")
def dataset() -> CharacterDataset:
    """4 alphabets of 6, 5, 8 and 7 characters by 6 drawers, 16 × 16 pixels."""
    return make_dataset()


@pytest.fixture
def task_provider(dataset: CharacterDataset) -> TaskProvider:
    """Small lists of it, without MNIST."""
    from eval_models import CONFIG, PROTOCOLS

    from siamese_oneshot.data.sources import LoadedData
    from siamese_oneshot.evaluation.model_evaluation import TaskProvider

    return TaskProvider(LoadedData(dataset, None), None, "ratio_60_20_20", None, CONFIG, PROTOCOLS)


@pytest.fixture(scope="session")
def omniglot():
    """The real data, never downloaded by a test."""
    from siamese_oneshot.data.omniglot import OmniglotUnavailable, load_omniglot

    try:
        return load_omniglot(download=False)
    except OmniglotUnavailable as problem:
        pytest.skip(f"the real Omniglot is not on this machine: {problem}")
