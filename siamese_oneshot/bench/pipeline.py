"""The input pipeline alone, and how much of a training step it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hydra.utils import instantiate
from torch.utils.data import DataLoader

from siamese_oneshot.bench.contest import Contest, compete, timed
from siamese_oneshot.bench.parts import Parts, wait_for
from siamese_oneshot.bench.plain import PlainPairs, write_pngs

_PAIRS = 128
_CLASSES = 30


def pipeline(parts: Parts) -> Iterator[Contest]:
    """Pairs a second without a network; then steps with data made on time and beforehand."""
    yield _alone(parts)
    for name, overrides in {
        "default experiment": [],
        "paper's network, 32 pairs": ["model=paper", "objective=pairs", "batches.size=32"],
    }.items():
        yield _share(name, overrides, parts)


def _alone(parts: Parts) -> Contest:
    config = parts.config("model=paper", "objective=pairs", f"batches.size={_PAIRS}")
    data = parts.data(config)

    def ours() -> None:
        for number in range(10):
            parts.batch(data, number)
        wait_for(parts.device)

    with tempfile.TemporaryDirectory() as folder:
        files = write_pngs(parts.drawings, Path(folder), _CLASSES)
        plain = DataLoader(PlainPairs(files, _PAIRS), _PAIRS)
        return compete(
            "input pipeline alone, 105x105, affine distortion",
            "pairs",
            {
                "PIL, a picture at a time": timed(lambda: list(plain), _PAIRS),
                "one gather and one warp a batch": timed(ours, 10 * _PAIRS),
            },
            "PIL, a picture at a time",
            parts.rounds,
        )


def _share(name: str, overrides: list[str], parts: Parts) -> Contest:
    config = parts.config(*overrides)
    data, objective = parts.data(config), instantiate(config.objective)
    network = instantiate(config.model).to(parts.device, memory_format=torch.channels_last)
    optimiser = instantiate(config.optim)(network.named_layers, 100).optimizer
    steps = 20 if not overrides else 3
    kept = parts.batch(data, 0)

    def train(batch: Callable[[int], tuple[object, ...]]) -> Callable[[], None]:
        def turn() -> None:
            for number in range(steps):
                with parts.autocast():
                    loss = objective(network, *batch(number))["loss"]
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
            wait_for(parts.device)

        return turn

    return compete(
        f"steps with and without their data: {name}",
        "steps",
        {
            "data at hand": timed(train(lambda number: kept), steps),
            "data made for every step": timed(train(lambda n: parts.batch(data, n)), steps),
        },
        "data at hand",
        parts.rounds,
        "one less the ratio is the share of a step that waits for data",
    )
