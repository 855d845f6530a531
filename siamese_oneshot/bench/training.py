"""Training throughput: the paper's network as public loops train it, and as this package does."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from siamese_oneshot.bench.contest import Contest, Measure, compete
from siamese_oneshot.bench.parts import Parts
from siamese_oneshot.data.drawings import Drawings

PAIRS = 32  # a step's, as in the replication
_CLASSES = 100  # whose pictures the reference loop has as PNG files
REFERENCE = "plain loop: PIL, float32"
OURS = {
    "independent pairs": ["objective=pairs", f"batches.size={PAIRS}"],
    "every pair of a batch": [
        "objective=all_pairs", "batches.alphabets=2", "batches.characters=8", "batches.drawers=4",
        "batches.turns=false", "batches.distortion.elastic=0",
    ],
}  # fmt: skip


def training(parts: Parts) -> Iterator[Contest]:
    """Pairs a second with the paper's network, each contestant in a process of its own."""
    contestants = {REFERENCE: _elsewhere(REFERENCE, parts)}
    contestants |= {name: _elsewhere(name, parts) for name in OURS}
    yield compete(
        "training the paper's network",
        "pairs",
        contestants,
        REFERENCE,
        parts.rounds,
        f"64 pictures a step, affine distortion, {parts.precision} in this package; each in a "
        "process of its own, start-up not counted. 'Every pair': 16 characters by 4 drawers make "
        "96 same pairs; as many different ones are counted, though all 1,920 are learned from",
    )


def _elsewhere(name: str, parts: Parts) -> Measure:
    def turn() -> float:
        line = [sys.executable, "-m", __name__, name, "--steps", "6"]
        if parts.root is not None:
            line += ["--root", str(parts.root)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        return float(json.loads(done.stdout.splitlines()[-1]))

    return turn


class PlainPairs(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """What a public implementation does for every pair: two files opened, two pictures turned.

    Args:
        files: by class.
        length: pairs in an epoch.
    """

    def __init__(self, files: list[list[Path]], length: int) -> None:
        self.files, self.length = files, length
        self.chance = np.random.default_rng(0)

    def __len__(self) -> int:
        """The number of pairs."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """A same pair where ``index`` is odd, else a different one."""
        one, other = self.chance.choice(len(self.files), 2, replace=False)
        if index % 2:
            first, second = self.chance.choice(len(self.files[one]), 2, replace=False)
            pair = self.files[one][first], self.files[one][second]
        else:
            pair = (self.chance.choice(self.files[one]), self.chance.choice(self.files[other]))
        return self._picture(pair[0]), self._picture(pair[1]), torch.tensor(float(index % 2))

    def _picture(self, path: Path) -> Tensor:
        angle, *shear = self.chance.uniform([-10, -0.3, -0.3], [10, 0.3, 0.3])
        with Image.open(path) as image:
            grey = image.convert("L").rotate(angle, fillcolor=255)
        matrix = (1, shear[0], -52 * shear[0], shear[1], 1, -52 * shear[1])
        warped = grey.transform(grey.size, Image.Transform.AFFINE, matrix, fillcolor=255)
        return 1 - torch.from_numpy(np.array(warped))[None].float() / 255


def plain_loop(drawings: Drawings, parts: Parts, steps: int) -> float:
    """Pairs a second of the loop that public implementations have."""
    network = parts.network("paper", channels_last=False)
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

        return PAIRS * _rate(step, steps, parts.device)


def write_pngs(drawings: Drawings, folder: Path, classes: int) -> list[list[Path]]:
    """The pictures of the first classes as one-bit PNG files, by class."""
    files: list[list[Path]] = [[] for _ in range(classes)]
    for position in (drawings.classes < classes).nonzero().flatten().tolist():
        of = files[int(drawings.classes[position])]
        path = folder / f"{position}.png"
        Image.fromarray(255 - drawings.pixels[position].numpy()).convert("1").save(path)
        of.append(path)
    return files


def this_package(name: str, parts: Parts, steps: int) -> float:
    """Pairs a second of the steps that a training makes."""
    config = parts.config("model=paper", "optim=paper_sgd", "data.split=koch", *OURS[name])
    config.data.root = None if parts.root is None else str(parts.root)
    data = instantiate(config.data)
    data.load()
    network, objective = parts.network("paper"), instantiate(config.objective)
    optimiser = instantiate(config.optim)(network.named_layers, 100).optimizer
    numbers = iter(range(steps + 2))

    def step() -> None:
        batch = data.on_after_batch_transfer(data.transfer_batch_to_device(
            data.stream[next(numbers)], torch.device(parts.device), 0), 0)  # fmt: skip
        with parts.autocast():
            loss = objective(network, *batch)["loss"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    pairs = PAIRS
    if name != "independent pairs":
        of = config.batches
        pairs = of.alphabets * of.characters * of.drawers * (of.drawers - 1)
    return pairs * _rate(step, steps, parts.device)


def _rate(step: Callable[[], None], steps: int, device: str) -> float:
    """Steps a second, after two that do not count."""
    for _ in range(2):
        step()
    _wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return steps / (time.perf_counter() - began)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """One contestant in this process; prints its rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[REFERENCE, *OURS])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--root", type=Path)
    arguments = parser.parse_args()
    plain = arguments.name == REFERENCE
    parts = Parts(arguments.root, keep_memory=not plain)
    if plain:
        rate = plain_loop(parts.drawings, parts, arguments.steps)
    else:
        rate = this_package(arguments.name, parts, arguments.steps)
    print(json.dumps(rate))


if __name__ == "__main__":
    main()
