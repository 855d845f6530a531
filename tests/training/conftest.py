"""A tiny network on blobs, a run to compare others with, and callbacks of the tests' own."""

from collections.abc import Iterator
from unittest import mock

import pytest
from kills import uninterrupted
from tiny_siamese import data

from siamese_oneshot.training import command

__all__ = ["data", "uninterrupted"]


@pytest.fixture(autouse=True, scope="session")
def stoppers_are_known() -> Iterator[None]:
    """Resumed runs may call the callbacks in ``stoppers``."""
    with mock.patch.object(command, "_KNOWN", (*command._KNOWN, "stoppers")):
        yield
