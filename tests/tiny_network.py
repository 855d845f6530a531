"""A network of two layers, for tests that write its files: it recognizes equal images, no more."""

from __future__ import annotations

from typing import Any

from siamese_oneshot.utils.config import instantiate_plain

NETWORK = {
    "_target_": "siamese_oneshot.models.siamese.build_network",
    "encoder": {
        "_target_": "siamese_oneshot.models.encoders.ConvEncoder", "_partial_": True,
        "image_size": 21, "filters": [4], "kernels": [3], "pool_sizes": [2], "embedding_dim": 64,
    },
    "similarity": {
        "_target_": "siamese_oneshot.models.similarity.WeightedL1", "_partial_": True,
        "weight_init": -1.0,
    },
    "init": "torch",
    "seed": 1,
}  # fmt: skip


def state_dict(seed: int = 1) -> dict[str, Any]:
    """The untrained weights."""
    weights: dict[str, Any] = instantiate_plain({**NETWORK, "seed": seed}).state_dict()
    return weights


def header(**changes: Any) -> dict[str, Any]:
    """What a file says about the network."""
    return {"version": 2, "network": NETWORK, "metadata": {"seed": 1}, **changes}


def checkpoint(seed: int = 1, **changes: Any) -> dict[str, Any]:
    """The content of a checkpoint."""
    weights = {f"network.{name}": value for name, value in state_dict(seed).items()}
    return {"state_dict": weights, "siamese_oneshot": header(**changes)}
