"""Many processes at one empty cache: one decode or several, never a wrong or half-read one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siamese_oneshot.data import cache
from siamese_oneshot.data.omniglot import load_omniglot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="makes its processes by fork")
FACTS = {"data": "test"}
JOBS = 8


def arrays() -> dict[str, Any]:
    return {"bits": np.random.default_rng(0).integers(0, 256, (3000, 700), dtype=np.uint8)}


def together(task: Any, jobs: int = JOBS) -> list[Any]:
    """Run the task in so many processes that start at the same moment; what each returned."""
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(jobs), context.Queue()

    def run() -> None:
        torch.set_num_threads(1)  # those of the test's process are not there after a fork
        barrier.wait()
        queue.put(task())

    processes = [context.Process(target=run) for _ in range(jobs)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    return answers


def test_eight_jobs_at_an_empty_cache_all_get_omniglot(lookalike: Any, tmp_path: Path) -> None:
    root, cache = lookalike.zips(tmp_path / "zips"), tmp_path / "cache"
    found = together(lambda: lookalike.matches(load_omniglot(root, cache_dir=cache)))
    assert found == [True] * JOBS
    assert len([*cache.glob("*.bits")]) == 1
    assert not [*cache.rglob("*.tmp")]


@pytest.mark.parametrize("locks", [True, False])
def test_one_builds_or_without_locks_several_and_none_reads_a_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    def refuse(self: object, *arguments: object, **options: object) -> None:
        raise OSError(37, "No locks available")  # as on some network disks

    if not locks:
        monkeypatch.setattr(cache.FileLock, "acquire", refuse)
    path, tally = tmp_path / "cache.bits", tmp_path / "tally"

    def build() -> dict[str, Any]:
        with open(tally, "ab") as file:
            file.write(b"x")
        return arrays()

    def task() -> bool:
        whole = arrays()["bits"]
        return all(
            np.array_equal(cache.load_or_build(path, FACTS, build)["bits"], whole)
            for _ in range(20)
        )

    assert together(task) == [True] * JOBS
    assert 1 <= tally.stat().st_size <= (1 if locks else JOBS)
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".tmp")] == []


def test_a_builder_that_is_killed_leaves_no_half_and_no_lock(tmp_path: Path) -> None:
    path, begun = tmp_path / "cache.bits", tmp_path / "begun"

    def stall() -> dict[str, Any]:
        begun.touch()
        time.sleep(60)
        return {}

    context = multiprocessing.get_context("fork")
    victim = context.Process(target=cache.load_or_build, args=(path, FACTS, stall))
    victim.start()
    while not begun.exists():
        time.sleep(0.01)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join(60)
    assert not path.exists()
    found = cache.load_or_build(path, FACTS, arrays)
    assert np.array_equal(found["bits"], arrays()["bits"])
