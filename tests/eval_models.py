"""Small lists, a stand-in for MNIST, and models."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tiny_network import checkpoint

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.tasks import EvalConfig, ProtocolConfig
from siamese_oneshot.evaluation.baselines import Chance, PixelNearestNeighbor
from siamese_oneshot.evaluation.embeddings import ComputeConfig
from siamese_oneshot.evaluation.model_evaluation import EvaluatedModel
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.siamese import build_network
from siamese_oneshot.models.similarity import WeightedL1
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.result import RunResult, write_result
from siamese_oneshot.utils.run_info import of_training

CONFIG = EvalConfig(n_pairs=40, val_runs=6, koch_runs=4, test_runs=8, n_cross_episodes=60, way=5)
PROTOCOLS = ProtocolConfig(max_way=6, episodes_per_way=30, few_shot_episodes=40, mnist_episodes=50)
COMPUTE = ComputeConfig("cpu", "32-true", 7)


def mnist_like(each: int = 9) -> CharacterDataset:
    """Ten classes of one alphabet, 12 × 12."""
    rng = torch.Generator().manual_seed(4)
    pattern = torch.rand(10, 1, 12, 12, generator=rng) < 0.3
    noise = torch.rand(10, each, 12, 12, generator=rng) < 0.1
    return CharacterDataset(
        pixels=(pattern ^ noise).flatten(0, 1).to(torch.uint8) * 255,
        classes=torch.arange(10).repeat_interleave(each),
        drawers=torch.arange(each).repeat(10),
        class_names=tuple(f"Digits/{k}" for k in range(10)),
        alphabet_names=("Digits",),
        class_alphabets=torch.zeros(10, dtype=torch.int64),
        source="digits",
    )


def network(name: str = "tiny", seed: int = 0, **metadata: object) -> EvaluatedModel:
    encoder = partial(ConvEncoder, 16, [8, 8], [3, 3], [2, 2], embedding_dim=16)
    made = build_network(encoder, WeightedL1, "torch", seed).eval()  # type: ignore[arg-type]
    known = {
        "experiment": "tiny",
        "seed": seed,
        "split": "ratio_60_20_20",
        "data_source": "synthetic",
        "trained_on": "2 alphabets",
    }
    return EvaluatedModel(name, made, 16, TrainedModel(name, made, {}, known | metadata))


def pixels(name: str = "pixels", limit: int | None = None) -> EvaluatedModel:
    return EvaluatedModel(name, PixelNearestNeighbor("l2"), 16, None, limit)


def chance() -> EvaluatedModel:
    return EvaluatedModel("chance", Chance(), 16)


def make_run(
    folder: Path, seed: int, overrides: Sequence[str] = (), status: str = "", **known: Any
) -> Path:
    """A run's folder with a checkpoint, and a result if ``status`` is given."""
    metadata: dict[str, Any] = {"experiment": "tiny", "seed": seed, "split": "ratio_60_20_20"}
    metadata |= {"data_source": "synthetic", "overrides": of_training([*overrides, f"seed={seed}"])}
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save(checkpoint(seed, metadata=metadata | known), path)
    (folder / ".hydra").mkdir()
    if status:
        data = "synthetic", "", "ratio_60_20_20"
        result = RunResult(status, "tiny", seed, *data, [], None, None, 0, 0, 0, 0, "")
        write_result(folder, result)
    return folder
