"""Device and precision chosen for the machine."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from siamese_oneshot.utils import hardware
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.hardware import (
    PRECISIONS,
    choose_accelerator,
    choose_precision,
    fewer_threads,
    in_processes,
    in_threads,
    keep_freed_memory,
    shared_empty,
)


@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "cpu")])
def test_auto_accelerator(monkeypatch: pytest.MonkeyPatch, cuda: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert choose_accelerator("auto") == expected
    assert choose_accelerator("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps"])
def test_an_accelerator_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=there: found)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda found=there: found)
        if there:
            assert choose_accelerator(name) == name
    with pytest.raises(UserError, match=f"^accelerator={name}: .* use cpu"):
        choose_accelerator(name)
    with pytest.raises(UserError, match="accelerator=tpu: it must be one of auto"):
        choose_accelerator("tpu")


@pytest.mark.parametrize(
    ("accelerator", "gpu", "amx", "avx", "expected"),
    [
        ("gpu", True, False, False, "bf16-mixed"),
        ("gpu", False, True, True, "32-true"),
        ("cuda", True, False, False, "bf16-mixed"),  # Lightning's other name for it
        ("cuda", False, True, True, "32-true"),
        ("cpu", True, False, False, "32-true"),
        ("cpu", False, True, False, "bf16-mixed"),
        ("cpu", False, False, True, "bf16-mixed"),
    ],
)
def test_auto_precision_asks_the_device_in_use(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    gpu: bool,
    amx: bool,
    avx: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert choose_precision("auto", accelerator) == expected


def test_this_machine_gets_an_answer_and_a_named_precision_is_kept() -> None:
    """The private functions of torch that are asked do exist."""
    assert choose_precision("auto", "cpu") in ("bf16-mixed", "32-true")
    for precision in set(PRECISIONS) - {"auto"}:
        assert choose_precision(precision, "gpu") == precision


@pytest.mark.parametrize(
    ("precision", "says"),
    [
        # On a CPU Lightning would take bfloat16, and the result say otherwise.
        ("16-mixed", "precision=16-mixed: it needs a GPU"),
        ("bf16", r"precision=bf16: .*bf16-mixed"),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused(precision: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        choose_precision(precision, "cpu")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_glibc_takes_the_setting_and_results_stay() -> None:
    before = torch.arange(9.0).reshape(3, 3) @ torch.ones(3, 3)
    assert keep_freed_memory()
    assert torch.equal(before, torch.arange(9.0).reshape(3, 3) @ torch.ones(3, 3))


_IN_A_THREAD = """
import os, sys, threading
from pathlib import Path
import torch
from siamese_oneshot.utils.hardware import keep_freed_memory, share_one_heap
if sys.argv[1] == "shared":
    assert share_one_heap()
keep_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def allocate():
    blocks = [torch.ones(2**18) for _ in range(128)]
    return resident()
in_main = allocate()
thread = threading.Thread(target=lambda: print(allocate() - in_main))
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
@pytest.mark.parametrize(("heap", "least", "most"), [("shared", -1, 40), ("own", 100, 200)])
def test_a_thread_takes_what_another_has_freed(heap: str, least: int, most: int) -> None:
    command = [sys.executable, "-c", _IN_A_THREAD, heap]
    plain = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    assert least <= float(done.stdout) <= most  # MiB; both allocate 128


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_items_are_shared_by_threads_that_compute_alone(three_threads: None) -> None:
    meet = threading.Barrier(3, timeout=20)  # breaks if fewer than three work at once
    seen = []

    def work(item: int) -> None:
        meet.wait()
        seen.append((item, torch.get_num_threads()))

    in_threads(work, iter(range(6)))
    assert sorted(seen) == [(item, 1) for item in range(6)]
    assert in_threads(lambda item: 2 * item, range(6)) == [0, 2, 4, 6, 8, 10]
    in_threads(lambda _: seen.append((6, torch.get_num_threads())), [None])
    assert seen[6:] == [(6, 3)]  # which has all threads for itself
    later: list[int] = []
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert [*later, torch.get_num_threads()] == [3, 3]


def test_an_error_in_a_thread_is_raised_and_ends_the_work(three_threads: None) -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.001)
        raise KeyboardInterrupt if item == 0 else ValueError(item)

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, range(10_000))
    assert len(begun) < 10_000
    assert torch.get_num_threads() == 3


on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes fork")


@pytest.fixture
def none_left() -> Iterator[None]:
    """The processes that a test starts have been waited for at its end; W&B's are older ones."""

    def children() -> set[str]:
        files = Path("/proc/self/task").glob("*/children")
        return {pid for file in files for pid in file.read_text().split()}

    before = children()
    yield
    assert children() <= before


@on_linux
def test_items_are_shared_by_processes_that_compute_alone(
    three_threads: None, none_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)  # as in uv's Python of 2025
    meet = multiprocessing.get_context("fork").Barrier(3, timeout=20)
    workers, threads = (shared_empty((6,), torch.int64).zero_() for _ in range(2))
    begun = []

    def work(item: int) -> None:
        meet.wait()  # breaks if fewer than three work at once
        workers[item], threads[item] = os.getpid(), torch.get_num_threads()

    in_processes(work, iter(range(6)), begun.append)
    assert workers.unique().numel() == 3
    assert os.getpid() in workers
    assert threads.tolist() == [1] * 6
    assert begun == sorted(begun)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("why", ["one thread", "one item", "no copy"])
def test_where_no_process_can_help_threads_do(
    three_threads: None, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "one thread":
        torch.set_num_threads(1)
    if why == "no copy":
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    items = [0] if why == "one item" else [0, 1, 2]
    seen: list[tuple[int, int]] = []
    begun: list[int] = []
    in_processes(lambda item: seen.append((item, os.getpid())), items, begun.append)
    assert sorted(seen) == [(item, os.getpid()) for item in items]
    assert begun[-1] == len(items)


@on_linux
@pytest.mark.parametrize("forks", [0, 1])
def test_where_the_system_starts_no_further_process_fewer_will_do(
    three_threads: None, monkeypatch: pytest.MonkeyPatch, forks: int
) -> None:
    done, fork, left = shared_empty((4,), torch.int64).zero_(), os.fork, [True] * forks

    def limited() -> int:
        if not left:
            raise BlockingIOError
        left.pop()
        return fork()

    monkeypatch.setattr(os, "fork", limited)
    in_processes(lambda item: done[item : item + 1].add_(1), range(4))
    assert done.tolist() == [1] * 4


@on_linux
@pytest.mark.parametrize("end", ["error", "exit", "kill", "terminate", "terminate at once"])
def test_what_another_process_leaves_undone_is_done_here(
    three_threads: None, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A handler of this process, as that of a training, is not called in another one."""
    here, handled = os.getpid(), shared_empty((1,), torch.bool).zero_()
    meet, fork = multiprocessing.get_context("fork").Barrier(3, timeout=20), os.fork
    begun, done = (shared_empty((9,), torch.int64).zero_() for _ in range(2))

    def work(item: int) -> None:
        if item < 3 and not begun[item] and end != "terminate at once":
            begun[item] = True
            meet.wait()
        if os.getpid() != here:
            if end == "error":
                raise ValueError
            if end == "exit":
                sys.exit(3)
            os.kill(os.getpid(), signal.SIGKILL if end == "kill" else signal.SIGTERM)
        done[item] += 1

    def fork_and_end() -> int:
        if not (child := fork()):
            os.kill(os.getpid(), signal.SIGTERM)
        return child

    if end == "terminate at once":
        monkeypatch.setattr(os, "fork", fork_and_end)
    before = signal.signal(signal.SIGTERM, lambda *_: handled.fill_(True))
    try:
        in_processes(work, range(9))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.tolist() == [1] * 9
    assert not handled


@on_linux
@pytest.mark.parametrize("why", ["stopped", "a lock of another thread", "slow"])
def test_a_process_that_hangs_is_ended_and_a_slow_one_is_not(
    three_threads: None, none_left: None, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(hardware, "_IDLE", 0.3)
    meet = multiprocessing.get_context("fork").Barrier(3, timeout=20)
    here, workers, lock = os.getpid(), shared_empty((3,), torch.int64).zero_(), threading.Lock()
    other = threading.Thread(target=lambda: (lock.acquire(), copied.wait(60), lock.release()))
    copied = threading.Event()
    other.start()

    def work(item: int) -> None:
        if not workers[item]:
            workers[item] = -1
            meet.wait()
        if os.getpid() == here:
            copied.set()
        elif why == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif why == "slow":
            while time.process_time() < 1:
                pass
        else:
            lock.acquire()
        workers[item] = os.getpid()

    in_processes(work, range(3))
    other.join()
    assert workers.unique().numel() == (3 if why == "slow" else 1)
    assert here in workers


@on_linux
def test_a_process_leaves_ctrl_c_to_the_one_that_forked_it(
    three_threads: None, none_left: None
) -> None:
    meet = multiprocessing.get_context("fork").Barrier(3, timeout=20)
    here, workers = os.getpid(), shared_empty((3,), torch.int64).zero_()

    def work(item: int) -> None:
        meet.wait()  # one item each
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGINT)
        workers[item] = os.getpid()

    in_processes(work, range(3))
    assert workers.unique().numel() == 3


@on_linux
@pytest.mark.parametrize("n", [0, 2, 20_000])
def test_many_items_are_each_done_once(three_threads: None, none_left: None, n: int) -> None:
    done, begun = shared_empty((n,), torch.int64).zero_(), list[int]()
    in_processes(lambda item: done[item : item + 1].add_(1), range(n), begun.append)
    assert done.tolist() == [1] * n
    assert begun == sorted(begun)
    assert all(0 <= number <= n for number in begun)  # the others may do all


@on_linux
@pytest.mark.parametrize("here", [True, False])
def test_the_error_of_an_item_is_raised_and_ends_the_work(
    three_threads: None, none_left: None, here: bool
) -> None:
    parent, began = os.getpid(), time.monotonic()

    def work(item: int) -> None:
        if (os.getpid() == parent) == here:
            raise KeyboardInterrupt if here else ValueError("item")
        time.sleep(600 if here else 0.01)  # that the others have to go on for
        if not here and item >= 99:
            raise ValueError("item")

    with pytest.raises(KeyboardInterrupt if here else ValueError, match=None if here else "item"):
        in_processes(work, range(100))
    assert time.monotonic() - began < 300
    assert torch.get_num_threads() == 3


@on_linux
def test_an_error_is_raised_where_the_system_waits_for_processes(three_threads: None) -> None:
    """It does so if whoever started this process ignores its children."""
    here, ended = os.getpid(), shared_empty((3,), torch.bool).zero_()

    def work(item: int) -> None:
        if os.getpid() == here:
            while int(ended.sum()) < 2:
                time.sleep(0.01)
            time.sleep(0.3)
            raise ValueError("item")
        ended[item] = True
        os._exit(0)

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(ValueError, match="item"):
            in_processes(work, range(3))
    finally:
        signal.signal(signal.SIGCHLD, before)


@on_linux
def test_no_process_works_on_for_one_that_is_killed() -> None:
    code = """if True:
        import os, signal, sys, time, torch
        from siamese_oneshot.utils.hardware import in_processes
        torch.set_num_threads(3)
        here = os.getpid()
        def work(item):
            os.write(1, b".")
            time.sleep(0.5)
            if os.getpid() == here:
                os.kill(here, signal.SIGKILL)
        in_processes(work, range(1000))
    """
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=120)
    assert run.returncode == -signal.SIGKILL
    assert 1 <= len(run.stdout) <= 9  # all who hold the pipe have ended


def test_a_tensor_is_shared_with_forked_processes_alone() -> None:
    assert shared_empty((0, 3), torch.float32).shape == (0, 3)
    shared = shared_empty((2, 3), torch.bfloat16)
    assert (shared.shape, shared.dtype) == ((2, 3), torch.bfloat16)
    shared.fill_(1.5)
    assert shared.sum() == 9
    if not hardware.can_fork():
        return
    if not (child := os.fork()):
        shared[1, 2] = 4
        os._exit(0)
    os.waitpid(child, 0)
    assert shared[1, 2] == 4


def test_threads_compute_in_the_modes_of_the_caller(three_threads: None) -> None:
    def modes() -> list[object]:
        autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        return [torch.is_inference_mode_enabled(), torch.is_grad_enabled(), autocast]

    for inference, gradients, autocast in itertools.product((False, True), repeat=3):
        seen: list[list[object]] = []
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            written = torch.zeros(4)

            def work(item: int, written: torch.Tensor = written, seen: Any = seen) -> None:
                written[item] = item  # which an inference tensor allows in its mode alone
                seen.append(modes())

            with torch.autocast("cpu", torch.float16, enabled=autocast):
                in_threads(work, range(4))
                assert seen == [modes()] * 4
        assert written.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("others", "threads", "expected"),
    [(0, 4, None), (1, 4, None), (2, 4, 2), (3, 4, 1), (9, 4, 1), (9, 1, None)],
)
def test_threads_that_find_no_core_are_too_many(
    monkeypatch: pytest.MonkeyPatch, others: int, threads: int, expected: int | None
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    # A job that has just ended is still in the load of the last minute, 3.97.
    text = f"3.97 2.77 2.27 {1 + others}/102 9335\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert fewer_threads(threads) == expected


def test_without_a_count_of_running_threads_none_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert fewer_threads(1000) is None
