"""Small lists, digits that are none, and subjects, shared by the tests of comparison."""

from __future__ import annotations

from functools import partial

import torch

from siamese_oneshot.comparison.subjects import Subject
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.exam import ExamSize
from siamese_oneshot.data.protocols import ProtocolSize
from siamese_oneshot.evaluation.baselines import Chance, PixelNeighbour
from siamese_oneshot.evaluation.embedding import Machine
from siamese_oneshot.model.comparator import WeightedL1
from siamese_oneshot.model.encoder import ConvEncoder
from siamese_oneshot.model.network import build_network
from siamese_oneshot.tracking.trained import Trained

SIZE = ExamSize(pairs=40, validation_runs=6, paper_runs=4, test_runs=8, across=60, way=5)
MORE = ProtocolSize(most_ways=6, ways_trials=30, few_shot_trials=40, digit_trials=50)
MACHINE = Machine("cpu", "32-true", 7)


def digits_like(each: int = 9) -> Drawings:
    """Ten classes of one alphabet, 12 × 12."""
    chance = torch.Generator().manual_seed(4)
    pattern = torch.rand(10, 1, 12, 12, generator=chance) < 0.3
    noise = torch.rand(10, each, 12, 12, generator=chance) < 0.1
    return Drawings(
        pixels=(pattern ^ noise).flatten(0, 1).to(torch.uint8) * 255,
        classes=torch.arange(10).repeat_interleave(each),
        drawers=torch.arange(each).repeat(10),
        class_names=tuple(f"Digits/{k}" for k in range(10)),
        alphabet_names=("Digits",),
        class_alphabets=torch.zeros(10, dtype=torch.int64),
        source="digits",
    )


def network(name: str = "tiny", seed: int = 0, **facts: object) -> Subject:
    tower = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], units=16)
    made = build_network(tower, WeightedL1, "torch", seed).eval()  # type: ignore[arg-type]
    known = {"experiment": "tiny", "seed": seed, "split": "shares", "data_source": "glyphs"}
    return Subject(name, made, 16, Trained(name, made, {}, known | facts))


def pixels(name: str = "pixels", most: int | None = None) -> Subject:
    return Subject(name, PixelNeighbour(2), 16, None, most)


def guessing() -> Subject:
    return Subject("guessing", Chance(), 16)
