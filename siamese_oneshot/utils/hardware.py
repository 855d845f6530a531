"""Device, precision and memory settings, chosen for the machine."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import signal
import sys
import time
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import torch
from torch import Tensor

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
T = TypeVar("T")
R = TypeVar("R")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
_IDLE = 60.0  # seconds, after which a forked process that only waits is taken to hang


def choose_accelerator(accelerator: str) -> str:
    """Resolve ``auto`` to ``gpu`` if CUDA is available, else to ``cpu``.

    Raises:
        ArgumentError: One that is not in ``ACCELERATORS``, or that this machine does not have.
    """
    check.choice("accelerator", accelerator, ACCELERATORS)
    if accelerator == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    available = {"cpu": True, "mps": torch.backends.mps.is_available()}
    if not available.get(accelerator, torch.cuda.is_available()):
        message = "PyTorch finds none on this machine; use cpu or auto"
        raise ArgumentError("accelerator", accelerator, message=message)
    return accelerator


def choose_precision(precision: str, accelerator: str) -> str:
    """Resolve ``auto`` to bfloat16 if the hardware multiplies it fast, else to float32.

    Raises:
        ArgumentError: One that is not in ``PRECISIONS``, or float16 on a CPU, where Lightning would
            silently use bfloat16.
    """
    check.choice("precision", precision, PRECISIONS)
    if precision == "16-mixed" and accelerator == "cpu":
        message = "it needs a GPU; on a CPU use bf16-mixed, 32-true or auto"
        raise ArgumentError("precision", precision, message=message)
    if precision != "auto":
        return precision
    if accelerator in ("gpu", "cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if fast else "32-true"


def fewer_threads(threads: int) -> int | None:
    """How many threads fit beside what runs at this moment, if these are too many, else None.

    Threads that wait for a core hold up all others at every operation. Linux alone counts them.
    """
    try:
        running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
    except OSError:
        return None
    free = (os.cpu_count() or 1) - (int(running) - 1)  # this one runs, too
    return max(1, free) if threads > max(1, free + 1) else None


def share_one_heap() -> bool:
    """Let all threads allocate from one heap of glibc; whether it could.

    Otherwise the threads of a validation cannot use what training has freed. A thread that has
    allocated memory before keeps its own heap.
    """
    return _mallopt(-8, 1)  # M_ARENA_MAX


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory instead of returning it to the system; whether it could.

    Every step of a large network on the CPU frees and allocates hundreds of megabytes. If glibc
    returns them to the system, each page has to be zeroed and mapped again: nearly half of the
    step time of the paper's network. Results do not change.
    """
    no_mmap = _mallopt(-4, 0)  # M_MMAP_MAX: allocate large blocks on the heap, too
    no_trim = _mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    return no_mmap and no_trim


def _mallopt(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(option, value))
    except (OSError, AttributeError):  # another C library
        return False


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """What a function returns for each item, on as many threads as PyTorch may use on the CPU.

    Each of them computes alone, which takes less time than all of them at one small item, and in
    the caller's modes (autocast, gradients, inference). The function must release Python's lock
    most of the time, as PyTorch does. The first error is raised, and after it, or Ctrl-C, no
    further item is begun.
    """
    n, items = torch.get_num_threads(), list(items)
    if n == 1 or len(items) == 1:
        return [work(item) for item in items]
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    dtype, autocast = torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu")

    def work_alike(item: T) -> R:
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(gradients),
            torch.autocast("cpu", dtype, enabled=autocast),
        ):
            return work(item)

    try:
        with ThreadPoolExecutor(n, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work_alike, items))
    finally:
        torch.set_num_threads(n)  # threads that begin later take over the last one that was set


def can_fork() -> bool:
    """Whether a copy of this process can compute: on Linux, before anything is on a GPU."""
    return sys.platform.startswith("linux") and not torch.cuda.is_initialized()


def in_processes(
    work: Callable[[T], object], items: Iterable[T], begun: Callable[[int], object] = lambda n: None
) -> None:
    """As `in_threads`, with processes that are forked from this one where it `can_fork`.

    Threads wait for Python's lock between any two operations, which takes half of the time where an
    operation takes some 50 µs. What ``work`` computes must be written into tensors of
    `shared_empty` or into files: all else is lost with its process. What another process leaves
    undone, since an error or the system ended it or it hangs, this one does, and raises its error.

    Args:
        work: Called with each item, and again with one that failed in another process.
        items: In the order in which they are begun.
        begun: Called in this process with the number of items that are begun in all.
    """
    n, items = torch.get_num_threads(), list(items)
    if n == 1 or len(items) <= 1 or not can_fork():
        in_threads(work, items)
        begun(len(items))
        return
    # The numbers of the items, each of which one process reads. A pipe needs no /dev/shm; what it
    # has no room for, beyond some 16,000, is done at the end.
    done, here = shared_empty((len(items),), torch.bool).zero_(), os.getpid()
    left, written = os.pipe()
    os.set_blocking(written, False)
    os.write(written, array("i", range(len(items))).tobytes())
    os.close(written)

    def take_turns(begun: Callable[[int], object] | None = None) -> None:
        torch.set_num_threads(1)
        while here in (os.getpid(), os.getppid()) and (number := os.read(left, 4)):
            item = int.from_bytes(number, sys.byteorder)
            if begun is not None:
                begun(item + 1)
            work(items[item])
            done[item] = True

    helpers: list[int] = []
    try:
        with suppress(OSError):  # too many processes, or too little memory: fewer will do
            while len(helpers) < min(n, len(items)) - 1:
                # No handler, which may raise an error, is called between these lines in the copy.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                try:
                    if not (helper := os.fork()):
                        _end_after(take_turns, before)
                    helpers.append(helper)
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
        take_turns(begun)
        while helpers:
            _wait_for(helpers[-1])
            helpers.pop()
    finally:
        for helper in helpers:  # after an error, or Ctrl-C
            with suppress(ProcessLookupError, ChildProcessError):  # as above
                os.kill(helper, signal.SIGKILL)
                os.waitpid(helper, 0)
        os.close(left)
        torch.set_num_threads(n)
    for item in (~done).nonzero().flatten().tolist():
        work(items[item])


def _wait_for(helper: int) -> None:
    """Wait until a forked process ends, and end it once it is idle for `_IDLE` seconds.

    It is idle that is stopped, or waits for a lock which no thread of a copy gives back. One that
    waits for a core or a disk, or has computed since, is merely slow.
    """
    idle, before = 0.0, [""]
    with suppress(ChildProcessError, ProcessLookupError):  # who started this one ignores children
        while not os.waitpid(helper, os.WNOHANG)[0]:
            with suppress(OSError):  # no /proc
                stat = Path(f"/proc/{helper}/stat").read_text()
                state, *numbers = stat.rpartition(")")[2].split()
                idle = 0 if state in "RD" or numbers[10:12] != before else idle + 0.002
                before = numbers[10:12]  # its processor times
            if idle > _IDLE:
                os.kill(helper, signal.SIGKILL)
            time.sleep(0.002)


def _end_after(work: Callable[[], object], signals: set[int]) -> NoReturn:
    """Work in a forked process and end it, which the other one's signal handlers must not see.

    A terminal and Jupyter send Ctrl-C to both, and the other one decides: if it goes on to the end
    of a validation, this one is still of use.

    Args:
        work: What to do.
        signals: Those that are blocked during it; before it, all are.
    """
    try:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                ignored = number == signal.SIGINT
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        work()
    finally:
        os._exit(0)


def shared_empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialized tensor on the CPU that processes forked from this one share with it."""
    numbers = math.prod(shape)
    if not numbers:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(mmap.mmap(-1, numbers * dtype.itemsize), dtype=dtype).view(shape)
