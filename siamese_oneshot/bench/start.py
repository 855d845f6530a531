"""How long a start takes, and how much memory a training."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.data.omniglot.files import CACHE_VARIABLE

_LOAD = """
import sys, time
from siamese_oneshot.data.omniglot import load_omniglot
began = time.perf_counter()
load_omniglot(sys.argv[1] or None, download=False)
print(time.perf_counter() - began)
"""
_DRAW = """
import time
from siamese_oneshot.data.glyph_cache import load_alphabets
began = time.perf_counter()
load_alphabets(300, (20, 40), 6, 0)
print(time.perf_counter() - began)
"""
# Linux counts the parent's memory into a child's ru_maxrss, so ask the process's own record there.
_PEAK = """
import resource, runpy, sys
from pathlib import Path
sys.argv = ["train", *sys.argv[1:]]
try:
    runpy.run_module("siamese_oneshot.train", run_name="__main__")
finally:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        peak = int(line.split()[1]) * 1024
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print("PEAK", peak / 2**30)
"""


def start(parts: Parts) -> Iterator[Figures]:
    """``--help``, the data from a cold and a warm cache, and the peak memory of a training."""
    root = "" if parts.root is None else str(parts.root)
    seconds: dict[str, list[float]] = {"--help": []}
    loads = {
        "cold: decode": [_LOAD, root],
        "warm: load": [_LOAD, root],
        "300 generated alphabets: draw": [_DRAW],
        "300 generated alphabets: load": [_DRAW],
    }
    seconds |= {name: [] for name in loads}
    for _ in tqdm(range(parts.rounds), desc="start", leave=False):
        began = time.perf_counter()
        _run([sys.executable, "-m", "siamese_oneshot.train", "--help"])
        seconds["--help"].append(time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as cache:
            for name, line in loads.items():
                out = _run([sys.executable, "-c", *line], {CACHE_VARIABLE: cache})
                seconds[name].append(float(out.splitlines()[-1]))
    note = "data: 32,460 drawings, 54,174 generated ones; imports not counted"
    yield Figures("start", "seconds", seconds, note)
    pixels = parts.drawings.pixels.numel() / 2**30
    with tempfile.TemporaryDirectory() as folder:
        line = [
            sys.executable, "-c", _PEAK, "trainer.max_steps=60", "batches.steps=30", "test=false",
            "logger=none", f"hydra.run.dir={folder}", *([f"data.root={root}"] if root else []),
        ]  # fmt: skip
        words = next(one for one in _run(line).splitlines() if one.startswith("PEAK"))
    peak = float(words.split()[1])
    values = {"peak of a default training": [peak], "all pixels at 105x105": [pixels]}
    yield Figures("memory", "GiB", values, "60 steps and 2 validations")


def _run(line: list[str], more: dict[str, str] | None = None) -> str:
    return subprocess.run(
        line, check=True, capture_output=True, text=True, env={**os.environ, **(more or {})},
        cwd=Path.cwd(),
    ).stdout  # fmt: skip
