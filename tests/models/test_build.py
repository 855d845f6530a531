"""Descriptions are built as Hydra's instantiate builds them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from hydra.utils import instantiate

from siamese_oneshot.models.build import build_from_description

NETWORK = {
    "_target_": "siamese_oneshot.models.siamese.build_network",
    "_convert_": "all",
    "encoder": {
        "_target_": "siamese_oneshot.models.encoders.ConvEncoder", "_partial_": True,
        "image_size": 16, "filters": [2], "kernels": [3], "pool_sizes": [2], "embedding_dim": 4,
    },
    "similarity": {"_target_": "siamese_oneshot.models.similarity.WeightedL1", "_partial_": True},
    "init": "torch",
    "seed": 1,
}  # fmt: skip


def test_the_network_is_the_one_that_hydra_builds() -> None:
    network, expected = build_from_description(NETWORK), instantiate(NETWORK)
    assert repr(network) == repr(expected)
    for (name, value), (same_name, same) in zip(
        network.state_dict().items(), expected.state_dict().items(), strict=True
    ):
        assert name == same_name
        assert torch.equal(value, same)


def test_values_without_a_target_stay_and_the_description_is_not_changed() -> None:
    values = {"a": [1, {"b": None}], "c": {"_target_": "math.sqrt", "_partial_": True}}
    before = json.dumps(values)
    built = build_from_description(values)
    assert (built["a"], built["c"](4.0)) == ([1, {"b": None}], 2.0)
    assert json.dumps(values) == before


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ({"_target_": "math.nothing"}, AttributeError),
        ({"_target_": "no_such_module.f"}, ImportError),
        ({"_target_": "json.dumps", "objekt": 1}, TypeError),
    ],
)
def test_what_cannot_be_built(description: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        build_from_description(description)


def test_hydra_is_not_imported() -> None:
    code = "import sys, siamese_oneshot.models.build; assert 'hydra' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
