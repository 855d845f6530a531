"""Networks come back as they were, and nothing in a file is run."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import save_file

from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.data.tasks import EvalConfig, first_episodes, indices_of, make_validation_tasks
from siamese_oneshot.evaluation.evaluator import answer
from siamese_oneshot.evaluation.embeddings import Embeddings
from siamese_oneshot.runs.checkpoint import TrainedModel, load_trained, save_trained
from siamese_oneshot.runs.checkpoint import PRETRAINED
from siamese_oneshot.utils.errors import UserError

ENCODER = "siamese_oneshot.models.encoders.ConvEncoder"
BUILD = "siamese_oneshot.models.siamese.build_network"
FACTS = {"experiment": "tiny", "seed": 3, "split": "koch", "data_source": "omniglot"}


def description(**options: Any) -> dict[str, Any]:
    return {
        "_target_": BUILD,
        "_convert_": "all",
        "encoder": {
            "_target_": ENCODER, "_partial_": True, "size": 16, "filters": [4], "kernels": [3],
            "pools": [2], "units": 8, "batch_norm": True, **options,
        },
        "comparator": {
            "_target_": "siamese_oneshot.models.similarity.WeightedL1", "_partial_": True,
        },
        "init": "torch",
        "seed": 1,
    }  # fmt: skip


def checkpoint(folder: Path, header: dict[str, Any] | None = None, **extra: Any) -> Path:
    """A run's folder with a checkpoint in it."""
    made = instantiate(description())
    made.encoder.layers["conv1"][1].running_mean += 0.25  # as after training
    state = {f"network.{name}": value for name, value in made.state_dict().items()}
    header = {"version": 1, "network": description(), "metadata": FACTS, **(header or {})}
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "siamese_oneshot": header, **extra}, path)
    return path


def embeddings(trained: TrainedModel) -> torch.Tensor:
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return trained.network.embed(images)


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {"threshold": -0.5, "reject_threshold": 1.25})
    by_folder, by_file = load_trained(tmp_path), load_trained(path)
    assert by_folder.metadata == FACTS
    assert (by_folder.threshold, by_folder.reject_threshold) == (-0.5, 1.25)
    assert (by_folder.size, by_folder.parameters) == (16, 4 * 9 + 2 * 4 + (4 * 49 + 1) * 8 + 9)
    assert not by_folder.network.training
    state = by_folder.network.state_dict()
    for name, value in torch.load(path, weights_only=True)["state_dict"].items():
        assert torch.equal(state[name.removeprefix("network.")], value)
    assert torch.equal(embeddings(by_folder), embeddings(by_file))


def test_exported_weights_are_those_of_the_run_in_16_bits(tmp_path: Path) -> None:
    checkpoint(tmp_path, {"threshold": -0.5})
    run = load_trained(tmp_path)
    file = tmp_path / "made" / "tiny.safetensors"
    save_trained(run, file)
    again = load_trained(file)
    assert (again.metadata, again.threshold, again.reject_threshold) == (FACTS, -0.5, None)
    for name, value in run.network.state_dict().items():
        assert again.network.state_dict()[name].dtype == value.dtype
        torch.testing.assert_close(
            again.network.state_dict()[name], value, rtol=2**-10, atol=2**-24
        )
    torch.testing.assert_close(embeddings(again), embeddings(run), rtol=0, atol=2e-3)
    assert file.stat().st_size < 2.1 * run.parameters + 3000


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_of_a_run_the_checkpoint_before_a_damaged_one_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = checkpoint(tmp_path, {"threshold": 0.5})
    whole = path.read_bytes()
    weights = torch.load(path, weights_only=True)["state_dict"]
    place = whole.index(max(weights.values(), key=torch.numel).numpy().tobytes())
    flipped = whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :]
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else flipped)
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):
        load_trained(tmp_path)
    path.with_name("best.previous.ckpt").write_bytes(whole)
    assert load_trained(tmp_path).threshold == 0.5
    assert "the one before it is taken" in caplog.text
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):  # named itself
        load_trained(path)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "siamese_oneshot.models.encoders.torch.hub.load",  # reachable, but not ours
        "siamese_oneshot.models.siamese.torch.load",
        "siamese_oneshot.models.siamese.Tensor",
        "siamese_oneshot.models.nothing.Here",
        "siamese_oneshot.training.command.train",
        "siamese_oneshot.models",
        "",
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_file_cannot_name_what_is_called(tmp_path: Path, target: str, deep: bool) -> None:
    wanted = description()
    if deep:
        wanted["encoder"]["filters"] = [{"a": [{"_target_": target, "command": "true"}]}]
    else:
        wanted["_target_"] = target
    path = checkpoint(tmp_path, {"network": wanted})
    with pytest.raises(UserError, match="to be called"):
        load_trained(path)


def test_interpolations_are_not_plain_values(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {"network": description(activation="${oc.env:HOME}")})
    with pytest.raises(UserError, match="not a plain value"):
        load_trained(path)


class Trap:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    path = checkpoint(tmp_path, None, more=Trap(sprung))
    with pytest.raises(UserError, match="not a plain checkpoint"):
        load_trained(path)
    plain = tmp_path / "plain.ckpt"
    plain.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match="not a plain checkpoint"):
        load_trained(plain)
    assert not sprung.exists()


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):
        load_trained(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match=r"best\.ckpt is no checkpoint of this package"):
        load_trained(path)
    checkpoint(tmp_path, {"version": 99})
    with pytest.raises(UserError, match="version 99"):
        load_trained(path)
    checkpoint(tmp_path, {"network": description(units=9)})
    with pytest.raises(UserError, match="does not hold a network"):
        load_trained(path)
    empty = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, empty)
    with pytest.raises(UserError, match="does not hold a network"):
        load_trained(empty)
    empty.write_bytes(b"\xff" * 40)
    with pytest.raises(UserError, match="cannot be read"):
        load_trained(empty)


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_packaged_weights_have_a_card(name: str) -> None:
    trained = load_trained(name)
    assert trained.threshold is not None
    assert trained.reject_threshold is not None
    assert {"experiment", "seed", "split", "data_source"} <= set(trained.metadata)
    assert trained.card["command"].startswith("python -m siamese_oneshot.train")
    assert {score["key"] for score in trained.card["scores"]} >= {"lake_runs", "one_shot"}
    json.dumps(trained.card, allow_nan=False)


@pytest.mark.omniglot
@pytest.mark.parametrize(("name", "right"), [("pretrained", 174), ("dense", 112)])
def test_real_packaged_networks_recognise_as_they_did(omniglot, name: str, right: int) -> None:
    """The first 200 of the episodes that they were chosen by; arithmetic may tip one or two."""
    trained, dataset = load_trained(name), omniglot.dataset
    split = split_dataset(dataset, trained.metadata["split"])
    (task,) = make_validation_tasks(
        ClassIndex(dataset, split.validation), EvalConfig()
    ).episode_tasks
    asked = first_episodes(task, 200)
    seen = indices_of([asked])
    parts = {key: getattr(dataset, key)[seen] for key in ("pixels", "classes", "drawers")}
    pixels = replace(dataset, **parts).resized(trained.size).pixels
    table = Embeddings(seen, trained.network.embed(pixels[:, None].float() / 255))
    assert answer(asked, table, trained.network.score).correct == pytest.approx(right, abs=2)
