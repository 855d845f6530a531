"""Training throughput: the paper's network as public loops train it, and as this package does."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from torch.nn import functional as F
from torch.utils.data import DataLoader

from siamese_oneshot.bench.contest import Contest, Measure, compete
from siamese_oneshot.bench.parts import Parts, steps_a_second
from siamese_oneshot.bench.plain import PlainPairs, write_pngs
from siamese_oneshot.data.drawings import Drawings

PAIRS = 32  # a step's, as in the replication
_CLASSES = 100  # whose pictures the reference loop has as PNG files
REFERENCE = "plain loop: PIL, float32"
_PAIRS = ["objective=pairs", f"batches.size={PAIRS}"]
_ALL = [
    "objective=all_pairs", "batches.alphabets=2", "batches.characters=8", "batches.drawers=4",
    "batches.turns=false", "batches.distortion.elastic=0",
]  # fmt: skip
OURS = {
    "independent pairs": _PAIRS,
    "independent pairs, direct convolution": [*_PAIRS, "model.encoder.convolution=direct"],
    "every pair of a batch": _ALL,
}


def training(parts: Parts) -> Iterator[Contest]:
    """Pairs a second with the paper's network, each contestant in a process of its own."""
    contestants = {REFERENCE: _elsewhere(REFERENCE, parts)}
    contestants |= {name: _elsewhere(name, parts) for name in OURS}
    timing = "processor time" if parts.processor_time else "wall clock"
    yield compete(
        f"training the paper's network, {timing}",
        "pairs",
        contestants,
        REFERENCE,
        parts.rounds,
        f"64 pictures a step, affine distortion, {parts.precision} in this package, convolutions "
        f"by Fourier transform: {_transformed(parts)}; each in a "
        "process of its own, start-up not counted. 'Every pair': 16 characters by 4 drawers make "
        "96 same pairs; as many different ones are counted, though all 1,920 are learned from",
    )


def _transformed(parts: Parts) -> str:
    """The layers that ``convolution=auto`` sends through the frequency domain here."""
    plain = (parts.device, parts.precision) == ("cpu", "32-true")
    tower: Any = parts.network("paper").encoder
    return ", ".join(tower.by_fourier(2 * PAIRS, plain)) or "none"


def _elsewhere(name: str, parts: Parts) -> Measure:
    def turn() -> float:
        # Processor time hardly varies, so that few steps tell it.
        steps = "2" if parts.processor_time else "6"
        line = [sys.executable, "-m", __name__, name, "--steps", steps]
        line += ["--processor-time"] if parts.processor_time else []
        if parts.root is not None:
            line += ["--root", str(parts.root)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        return float(json.loads(done.stdout.splitlines()[-1]))

    return turn


def plain_loop(drawings: Drawings, parts: Parts, steps: int) -> float:
    """Pairs a second of the loop that public implementations have."""
    way = "model.encoder.convolution=direct"
    network = parts.network("paper", way, channels_last=False)
    optimiser = torch.optim.SGD(network.parameters(), 1e-3, 0.9)
    with tempfile.TemporaryDirectory() as folder:
        data = PlainPairs(write_pngs(drawings, Path(folder), _CLASSES), PAIRS * (steps + 2))
        batches = iter(DataLoader(data, PAIRS))

        def step() -> None:
            first, second, same = (part.to(parts.device) for part in next(batches))
            optimiser.zero_grad()
            score = network.score(network.embed(first), network.embed(second))
            F.binary_cross_entropy_with_logits(score, same).backward()
            optimiser.step()

        return PAIRS * steps_a_second(step, steps, parts.device, parts.clock)


def this_package(name: str, parts: Parts, steps: int) -> float:
    """Pairs a second of the steps that a training makes."""
    config = parts.config("model=paper", "optim=paper_sgd", "data.split=koch", *OURS[name])
    data = parts.data(config)
    network, objective = parts.network("paper", *OURS[name]), instantiate(config.objective)
    optimiser = instantiate(config.optim)(network.named_layers, 100).optimizer
    numbers = iter(range(steps + 2))

    def step() -> None:
        batch = parts.batch(data, next(numbers))
        with parts.autocast():
            loss = objective(network, *batch)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    pairs = PAIRS
    if OURS[name] is _ALL:
        of = config.batches
        pairs = of.alphabets * of.characters * of.drawers * (of.drawers - 1)
    return pairs * steps_a_second(step, steps, parts.device, parts.clock)


def main() -> None:
    """One contestant in this process; prints its rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[REFERENCE, *OURS])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--processor-time", action="store_true")
    arguments = parser.parse_args()
    plain = arguments.name == REFERENCE
    parts = Parts(arguments.root, keep_memory=not plain, processor_time=arguments.processor_time)
    if plain:
        rate = plain_loop(parts.drawings, parts, arguments.steps)
    else:
        rate = this_package(arguments.name, parts, arguments.steps)
    print(json.dumps(rate))


if __name__ == "__main__":
    main()
