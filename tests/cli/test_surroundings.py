"""What the machine refuses is said in a line with a remedy; other errors are left alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from siamese_oneshot.cli.explain import explain_machine


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "change its permissions"),
        (errno.EROFS, "choose a place that can be written to"),
        (errno.ELOOP, "a link leads back to itself"),
    ],
)
def test_a_system_error_names_the_file_and_a_remedy(number: int, remedy: str) -> None:
    hidden = RuntimeError("x")
    hidden.__cause__ = OSError(number, os.strerror(number), "a/b.png")
    told = explain_machine(hidden)
    assert told is not None
    assert told.startswith(f"a/b.png: {os.strerror(number)}; {remedy}")
    assert "\n" not in told


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nfoo"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_too_little_memory_is_said(error: Exception) -> None:
    told = explain_machine(error)
    assert told is not None
    assert told.startswith("there is not enough memory: lower the sizes")
    assert "\n" not in told


def test_a_path_to_the_folder_of_no_user_is_said() -> None:
    with pytest.raises(RuntimeError) as caught:
        Path("~nobody there/x").expanduser()
    told = explain_machine(caught.value)
    assert told is not None
    assert told.startswith("a path begins with ~ and the name of no user")


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), ConnectionRefusedError(111, "x")])
def test_other_errors_are_no_business_of_it(error: Exception) -> None:
    assert explain_machine(error) is None
