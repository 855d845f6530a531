"""Measure speed, alone or against another git revision.

    python -m siamese_oneshot.benchmark train                     # step time, images per second
    python -m siamese_oneshot.benchmark train --experiment paper --against HEAD~10
    python -m siamese_oneshot.benchmark network evaluate start predict sweep

``--against`` checks a revision out into a temporary git worktree and runs both in turn (A B A B …),
each as a process of its own, so that a busy machine slows both down. A revision whose settings have
other names takes them from ``--against-overrides``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.tables import Table, text_of

ROOT = Path(__file__).resolve().parents[1]
_THROUGHPUT = ("speed/images_per_second", "speed/pictures_per_second")  # by revision
_TRAIN = ("-m", "siamese_oneshot.train")
# Measures a network on random images, of the package that is found: this one's or a revision's.
_NETWORK = """
import ctypes, json, sys, timeit, time, torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

def fastest(work):  # seconds of processor time of the fastest of five calls, after one to warm up
    return min(timeit.repeat(work, number=1, repeat=6, timer=time.process_time)[1:])

def one(*keys):  # by revision
    return next((cfg[key] for key in keys if key in cfg), None)

for option, value in ((-4, 0), (-1, 2**31 - 1)):  # as a training: freed memory is kept
    getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)(option, value)
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    cfg = compose("config", sys.argv[3:])
network = instantiate(cfg.model).to(memory_format=torch.channels_last)
n = int(sys.argv[2])
encoder = cfg.model.encoder
side = next(encoder[key] for key in ("image_size", "size") if key in encoder)
images = torch.rand(n, 1, side, side)
fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
precisions = ("bf16-mixed", "auto") if fast else ("bf16-mixed",)

def forward(compute, *given):  # in the precision of a training on this machine
    with torch.autocast("cpu", torch.bfloat16, enabled=cfg.trainer.precision in precisions):
        return compute(*given)

gradient = fastest(lambda: forward(network.embed, images).float().square().mean().backward())
with torch.no_grad():
    embeddings = forward(network.embed, images)
    embed = fastest(lambda: forward(network.embed, images))
    score = fastest(lambda: forward(network.score, embeddings[:, None], embeddings))
in_bfloat16 = forward(torch.is_autocast_enabled, "cpu")
name = "network in bfloat16" if in_bfloat16 else "network in float32"
values = {
    f"{name}: embed, images/s": n / embed,
    f"{name}: embed and gradient, images/s": n / gradient,
    f"{name}: score, pairs/s": n * n / score,
}
loss, sampler = instantiate(one("loss", "objective")), one("sampler", "batches")
names = ("n_alphabets", "alphabets"), ("n_way", "characters"), ("n_drawers", "drawers")
sizes = [next((sampler[key] for key in pair if key in sampler), None) for pair in names]
if None in sizes:  # pairs
    size = next(sampler[key] for key in ("batch_size", "size") if key in sampler)
    batch = *torch.rand(2, size, 1, side, side), torch.arange(size) % 2.0
else:  # episodes
    batch = (torch.rand(*sizes, 1, side, side),)
step = fastest(lambda: forward(loss, network, *batch)["loss"].backward())
values[f"{name}: training step without optimizer, s"] = step
print(json.dumps(values))
"""
# Of this package alone: whose names revisions have differs.
_CLASSES = """
import json, random, time
from PIL import Image, ImageDraw
from siamese_oneshot import OneShotClassifier

def symbol(number):
    drawn, image = random.Random(number), Image.new("L", (105, 105), 255)
    corners = [(drawn.randint(15, 90), drawn.randint(15, 90)) for _ in range(5)]
    ImageDraw.Draw(image).line(corners, 0, 4)
    return image

def milliseconds(n, n_queries):
    classifier = OneShotClassifier.from_pretrained("pretrained")
    for number in range(n):
        classifier.add_class(str(number), symbol(number))
    queries, times = [symbol(number) for number in range(n_queries)], []
    for _ in range(4):
        start = time.process_time()
        classifier.predict(queries)
        times.append(1000 * (time.process_time() - start) / n_queries)
    return min(times)

print(json.dumps({
    "classifier: one query among 20 classes, ms": milliseconds(20, 1),
    **{f"classifier: a query of 50 among {n} classes, ms": milliseconds(n, 50) for n in (50, 500)},
}))
"""
# Also of this package alone: a training, with the time from its last step to its last line.
_END = """
import time
from siamese_oneshot.module import SiameseModule
from siamese_oneshot.train import main

last, end = [], SiameseModule.on_train_batch_end

def timed(*given):
    end(*given)
    last.append(time.perf_counter())

SiameseModule.on_train_batch_end = timed
main()
print(time.perf_counter() - last[-1])
"""
# Linux counts the memory of the starting process in the peak of the started one: so the measured
# command is started by a small process.
_MEASURE = """
import os, sys
words = [sys.executable, *sys.argv[1:]]
_, status, used = os.wait4(os.posix_spawn(words[0], words, os.environ), 0)
print(end=f"\\n{used.ru_utime + used.ru_stime} {used.ru_maxrss / 2**20}", file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
Values = dict[str, float]  # by what was measured, with its unit


@dataclass(frozen=True)
class Checkout:
    """A checkout of the code, with settings for its commands in its own names."""

    name: str
    root: Path
    overrides: Sequence[str] = ()

    def run(self, *words: str, folder: str) -> Ran:
        """Run ``python`` with this checkout's package."""
        environment = {**os.environ, "PYTHONPATH": str(self.root), "WANDB_MODE": "disabled"}
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            began = time.perf_counter()
            process = subprocess.run(
                [sys.executable, "-ISc", _MEASURE, *words], cwd=folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
            )  # fmt: skip
            seconds = time.perf_counter() - began
            output.seek(0)
            errors.seek(0)
            printed, said = output.read(), errors.read()
            if process.returncode:
                raise UserError(f"{self.name}: {' '.join(words)} failed:\n{said[-2000:]}")
            processor, memory = map(float, said.rsplit("\n", 1)[1].split())
            return Ran(seconds, processor, printed, memory)


class Ran(NamedTuple):
    """What a command took and printed."""

    seconds: float
    processor: float  # seconds of processor time
    output: str
    memory: float = 0.0  # largest size in GiB


def measure_train(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """Trainings of N and 3 N steps: their difference is free of start-up and evaluation."""
    runs = []
    for steps in (options.steps, 3 * options.steps):
        line = ["logger=none", "test=false", "trainer.log_every_n_steps=1"]
        line += [f"trainer.max_steps={steps}", f"hydra.run.dir={folder}/{steps}"]
        line = [*_experiment(options), *line, *code.overrides]
        runs.append(code.run(*_TRAIN, *line, folder=folder))
    values = {}
    for what, unit in (("seconds", "s"), ("processor", "s of processor")):
        first, second = (getattr(one, what) for one in runs)
        step = (second - first) / (2 * options.steps)
        values[f"train: {unit}/step"] = step
        values[f"train: rest, {unit}"] = first - options.steps * step
    values["train: peak memory, GiB"] = runs[1].memory
    rate = images_per_second(Path(folder, str(3 * options.steps)))
    return values if rate is None else {**values, "train: images/s": rate}


def images_per_second(run: Path) -> float | None:
    """The median throughput in ``metrics.csv``, without the first two steps."""
    for path in run.glob("csv/version_*/metrics.csv"):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        for column in _THROUGHPUT:
            rates = [float(row[column]) for row in rows if row.get(column)]
            if len(rates) > 2:
                return median(rates[2:])
    return None


def measure_sweep(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """What each further job of a sweep costs, with one training step each."""
    seconds = []
    for jobs in (1, 3):
        line = ["-m", f"seed=range({jobs})", "trainer.max_steps=1", "logger=none", "test=false"]
        line += [f"hydra.sweep.dir={folder}/{jobs}", *_experiment(options), *code.overrides]
        seconds.append(code.run(*_TRAIN, *line, folder=folder).seconds)
    return {"sweep: s/job": (seconds[1] - seconds[0]) / 2}


def measure_start(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """How long commands take before they do anything, and a training of one step, validated once.

    For this package also how long validation, its plots and the test take after the last step.
    Processor time compares best where other work goes on.
    """
    values = {
        "import": code.run("-c", "import siamese_oneshot", folder=folder),
        "train --help": code.run(*_TRAIN, "--help", folder=folder),
        "train --cfg job": code.run(*_TRAIN, "--cfg", "job", folder=folder),
    }
    line = ["logger=none", "test=false", "trainer.max_steps=1", f"hydra.run.dir={folder}/run"]
    line += [*_experiment(options), *code.overrides]
    values["train, one step"] = code.run(*_TRAIN, *line, folder=folder)
    found = {
        f"start: {name}, {unit}": getattr(ran, what)
        for name, ran in values.items()
        for what, unit in (("seconds", "s"), ("processor", "s of processor"))
    }
    if code.root == ROOT:  # with the test, whose table comes last
        line = ["logger=csv", "trainer.max_steps=1", f"hydra.run.dir={folder}/tested"]
        ran = code.run("-c", _END, *_experiment(options), *line, *code.overrides, folder=folder)
        found["start: train, from the last step to the table, s"] = float(ran.output.split()[-1])
    return found


def measure_predict(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """Twenty queries among 20 classes; for this one also how time grows with them."""
    for kind, angle in (("support", 0), ("query", 5)):
        Path(folder, kind).mkdir()
        for number in range(20):
            image = Image.new("L", (105, 105), 255)
            ImageDraw.Draw(image).arc((20, 20, 85, 85), angle, angle + 30 + 15 * number, 0, 5)
            image.save(Path(folder, kind, f"{number}.png"))
    line = ["-m", "siamese_oneshot.predict", f"support={folder}/support", f"query={folder}/query"]
    ran = code.run(*line, *code.overrides, folder=folder)
    values = {"predict: 20 classes, s of processor": ran.processor}
    if code.root != ROOT:
        return values
    return values | json.loads(code.run("-c", _CLASSES, folder=folder).output)


def measure_evaluate(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """An evaluation as a command."""
    line = ["-m", "siamese_oneshot.evaluate", options.model, "logger=none", "mnist=false"]
    ran = code.run(*line, *code.overrides, folder=folder)
    return {"evaluate: command, s": ran.seconds, "evaluate: s of processor": ran.processor}


def measure_network(code: Checkout, options: argparse.Namespace, folder: str) -> Values:
    """The network alone on random images."""
    line = [str(code.root / "conf"), str(options.batch_size), *_experiment(options)]
    values: Any = json.loads(code.run("-c", _NETWORK, *line, *code.overrides, folder=folder).output)
    return dict(values)


MEASURES: dict[str, Callable[[Checkout, argparse.Namespace, str], Values]] = {
    "train": measure_train,
    "network": measure_network,
    "evaluate": measure_evaluate,
    "start": measure_start,
    "predict": measure_predict,
    "sweep": measure_sweep,
}


def compare(
    measure: Callable[[Checkout], Values], checkouts: Sequence[Checkout], repeats: int
) -> Table:
    """Measure one or two checkouts in turn.

    Returns:
        The median of each value and, for two checkouts, the ratio of the second to the first: its
        median, lowest and highest over the rounds.
    """
    values: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in checkouts])
    for _ in range(repeats):
        for number, code in enumerate(checkouts):
            for name, value in measure(code).items():
                values[name][number].append(value)
    names = [code.name for code in checkouts]
    headings = ["measured", *(f">{name}" for name in names)]
    if len(names) == 2:
        headings += [f">{names[1]} / {names[0]}", ">lowest-highest"]
    table = Table(f"median of {repeats}", headings)
    for name, columns in values.items():
        row = [name, *(f"{median(column):.4g}" if column else "-" for column in columns)]
        if len(names) == 2:
            ratios = [second / first for first, second in zip(*columns, strict=False)]
            row += [f"{median(ratios):.3f}"] if ratios else ["-"]
            row += [f"{min(ratios):.3f}-{max(ratios):.3f}"] if ratios else ["-"]
        table.add(*row)
    return table


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A temporary checkout of a git revision.

    Raises:
        UserError: There is no such revision.
    """
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "checkout"))
        done = subprocess.run(
            [*git, "add", "--detach", path, revision], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"--against {revision}: {done.stderr.strip()}")
        try:
            yield Path(path)
        finally:
            subprocess.run([*git, "remove", "--force", path], capture_output=True)


def _experiment(options: argparse.Namespace) -> list[str]:
    return [f"+experiment={options.experiment}"] if options.experiment else []


@entry_point()
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m siamese_oneshot.benchmark",
        description="Measure the speed of this checkout, alone or against another git revision.",
    )
    add = parser.add_argument
    add("what", nargs="*", metavar="WHAT", help=f"of {', '.join(MEASURES)} (default: train)")
    add("--experiment", help="of conf/experiment (default: the default experiment)")
    text = "for evaluate: a name, a run's folder or a file (default: pretrained)"
    add("--model", type=_seen_from_here, default="pretrained", help=text)
    add("--steps", type=int, default=10, help="of the shorter training (default: 10)")
    add("--batch-size", type=int, default=64, help="images, for network (default: 64)")
    add("--repeats", type=int, default=3, help="rounds (default: 3)")
    add("--overrides", nargs="*", default=[], help="further settings; paths absolute")
    add("--against", metavar="REVISION", help="a git revision to compare with")
    add("--against-overrides", nargs="*", help="its settings (default: those of --overrides)")
    options = parser.parse_args(argv)
    wanted = options.what or ["train"]
    if not {*wanted} <= {*MEASURES} or min(options.steps, options.repeats, options.batch_size) < 1:
        parser.error(f"WHAT is of {', '.join(MEASURES)}; numbers must be 1 or more")
    try:
        with worktree(options.against) if options.against else nullcontext() as root:
            checkouts = [Checkout("this", ROOT, options.overrides)]
            if root is not None:
                overrides = options.against_overrides
                overrides = options.overrides if overrides is None else overrides
                checkouts.append(Checkout(options.against, root, overrides))
            for name in wanted:
                table = compare(partial(_measured, name, options), checkouts, options.repeats)
                print(text_of(table))
    except UserError as problem:
        sys.exit(f"Error: {problem}")


def _seen_from_here(model: str) -> str:
    """A name, or an absolute path: commands run in folders of their own."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.exists() else model


def _measured(name: str, options: argparse.Namespace, code: Checkout) -> Values:
    with tempfile.TemporaryDirectory() as folder:
        return MEASURES[name](code, options, folder)


if __name__ == "__main__":
    main()
