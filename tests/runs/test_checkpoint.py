"""Networks are found by name, folder or file, load as they were, and no code in a file is run."""

from __future__ import annotations

import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_network import NETWORK

from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.comparison.models import find_models
from siamese_oneshot.data.class_index import ClassIndex
from siamese_oneshot.data.splits import split_dataset
from siamese_oneshot.data.tasks import (
    EvalConfig,
    first_episodes,
    indices_of,
    make_validation_tasks,
)
from siamese_oneshot.evaluation.embeddings import Embeddings, score_lists
from siamese_oneshot.evaluation.evaluator import answer
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.checkpoint import (
    PRETRAINED,
    VERSION,
    dequantize,
    find_weights,
    load_pretrained,
    load_trained,
    quantize,
    runs_in,
    save_trained,
    untrusted_targets,
)
from siamese_oneshot.runs.result import RunResult, write_result
from siamese_oneshot.utils.config import group_options, instantiate_plain
from siamese_oneshot.utils.errors import UserError

METADATA = {"experiment": "tiny", "seed": 3, "split": "koch", "data_source": "omniglot"}


def description(**encoder: Any) -> dict[str, Any]:
    return {**NETWORK, "encoder": {**NETWORK["encoder"], "batch_norm": True, **encoder}}


def checkpoint(run: Path, header: dict[str, Any] | None = None, **extra: Any) -> Path:
    """Write ``checkpoints/best.ckpt`` into a run's folder."""
    network = instantiate_plain(description())
    network.encoder.layers["conv1"][1].running_mean += 0.25  # as after training
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    header = {"version": VERSION, "network": description(), "metadata": METADATA, **(header or {})}
    path = empty_checkpoint(run)
    torch.save({"state_dict": state, "siamese_oneshot": header, **extra}, path)
    return path


def empty_checkpoint(run: Path, name: str = "best.ckpt") -> Path:
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    path = run / "checkpoints" / name
    path.touch()
    return path


def embeddings(trained: TrainedModel) -> torch.Tensor:
    images = torch.rand(5, 1, 21, 21, generator=torch.Generator().manual_seed(0))
    return trained.network.embed(images)


def test_a_run_loads_as_it_was(tmp_path: Path) -> None:
    chosen = {"threshold": -0.5, "reject_threshold": 1.25, "temperature": 2.0}
    path = checkpoint(tmp_path, chosen)
    by_folder, by_file = load_trained(tmp_path), load_trained(path)
    assert by_folder.metadata == METADATA
    assert {name: getattr(by_folder, name) for name in chosen} == chosen
    assert (by_folder.size, by_folder.parameters) == (21, 4 * 9 + 2 * 4 + (4 * 81 + 1) * 64 + 65)
    state = by_folder.network.state_dict()
    for name, value in torch.load(path, weights_only=True)["state_dict"].items():
        assert torch.equal(state[name.removeprefix("network.")], value)
    assert torch.equal(embeddings(by_folder), embeddings(by_file))
    for trainable in (False, True):
        network = load_pretrained(path, trainable)
        assert network.training == trainable
        assert {weight.requires_grad for weight in network.parameters()} == {trainable}
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_exported_weights_are_those_of_the_run_in_16_bits(tmp_path: Path) -> None:
    checkpoint(tmp_path, {"threshold": -0.5})
    run = load_trained(tmp_path)
    file = tmp_path / "exported" / "tiny.safetensors"
    save_trained(run, file)
    again = load_trained(file)
    assert (again.metadata, again.threshold, again.reject_threshold) == (METADATA, -0.5, None)
    for name, value in run.network.state_dict().items():
        stored = again.network.state_dict()[name]
        assert stored.dtype == value.dtype
        torch.testing.assert_close(stored, value, rtol=2**-10, atol=2**-24)
    torch.testing.assert_close(embeddings(again), embeddings(run), rtol=0, atol=2e-3)
    assert file.stat().st_size < 2.1 * run.parameters + 3000


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_the_previous_checkpoint_replaces_a_damaged_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = checkpoint(tmp_path, {"threshold": 0.5})
    content = path.read_bytes()
    weights = torch.load(path, weights_only=True)["state_dict"]
    offset = content.index(max(weights.values(), key=torch.numel).numpy().tobytes())
    flipped = content[:offset] + bytes([content[offset] ^ 8]) + content[offset + 1 :]
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else flipped)
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):
        load_trained(tmp_path)
    path.with_name("best.previous.ckpt").write_bytes(content)
    assert load_trained(tmp_path).threshold == 0.5
    assert "loading the previous checkpoint" in caplog.text
    with pytest.raises(UserError, match=r"best\.ckpt is damaged"):  # only for a folder
        load_trained(path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.system", "Refusing to load .*: it references os.system, and only classes of "
         "siamese_oneshot.models are trusted. Pass trust=MODULE .export "
         "and demo: --trust MODULE. to allow it; train trusts the modules of its own model"),
        ("siamese_oneshot.training.command.train", "Refusing to load"),
        ("siamese_oneshot.models", "Refusing to load"),
        ("", "Refusing to load"),
        ("siamese_oneshot.models.encoders.torch.hub.load", "only classes of"),  # imported there
        ("siamese_oneshot.models.siamese.torch.load", "only classes of"),
        ("siamese_oneshot.models.nothing.Here", "no such class"),
        ("siamese_oneshot.models.siamese.Tensor", "only classes of"),
    ],
)  # fmt: skip
def test_a_file_cannot_choose_what_is_called(tmp_path: Path, target: str, message: str) -> None:
    nested = [{"a": [{"_target_": target, "command": "true"}]}]
    for wanted in ({**description(), "_target_": target}, description(filters=nested)):
        path = checkpoint(tmp_path, {"network": wanted})
        with pytest.raises(UserError, match=message):
            load_trained(path)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module with an encoder of its own, and a function that is only imported there."""
    (tmp_path / "my_models.py").write_text(
        "from os import system\n"
        "from siamese_oneshot.models.encoders import ConvEncoder\n"
        "class MyEncoder(ConvEncoder):\n"
        '    """An encoder from outside the package."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_models"
    sys.modules.pop("my_models", None)


def test_classes_of_a_trusted_module_load(tmp_path: Path, stranger: str) -> None:
    own = description(_target_="my_models.MyEncoder")
    assert untrusted_targets(description()) == untrusted_targets(own, stranger) == []
    assert untrusted_targets(own) == ["my_models.MyEncoder"]
    sys.modules.pop("my_models")  # looked up above
    path = checkpoint(tmp_path / "run", {"network": own})
    with pytest.raises(UserError, match=r"best\.ckpt: it references my_models\.MyEncoder"):
        load_trained(path)
    assert "my_models" not in sys.modules, "a module that is not trusted is not imported"
    for trust in ("my_models", ["other", "my_models"]):
        network = load_pretrained(path, trust=trust)
        assert type(network.encoder).__name__ == "MyEncoder"
    assert OneShotClassifier.from_pretrained(path, trust=[stranger]).classes == ()
    (model,) = find_models([str(path)], [stranger])
    assert model.trained is not None
    assert model.trained.description == own
    exported = tmp_path / "own.safetensors"
    save_trained(load_trained(path, stranger), exported)
    with pytest.raises(UserError, match="Refusing to load"):
        load_trained(exported)
    assert load_trained(exported, stranger).description == own
    hidden = checkpoint(tmp_path / "b", {"network": description(_target_="my_models.system")})
    with pytest.raises(UserError, match="only classes of"):  # imported there, not defined there
        load_trained(hidden, stranger)


class Trap:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    created = tmp_path / "created"
    plain = tmp_path / "plain.ckpt"
    plain.write_bytes(pickle.dumps(Trap(created)))
    for path in (checkpoint(tmp_path, None, more=Trap(created)), plain):
        with pytest.raises(UserError, match="not a plain checkpoint"):
            load_trained(path)
    assert not created.exists()


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match=r"best\.ckpt is no checkpoint of this package"):
        load_trained(path)
    checkpoint(tmp_path, {"version": 99})
    with pytest.raises(UserError, match=f"version 99; this package reads version {VERSION}"):
        load_trained(path)
    checkpoint(tmp_path, {"network": description(embedding_dim=9)})
    with pytest.raises(UserError, match="does not hold a network"):
        load_trained(path)
    with pytest.raises(UserError, match=r"best\.ckpt is damaged .*: File is not a zip file"):
        load_trained(_cut(path))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(UserError, match="does not hold a network"):
        load_trained(foreign)
    foreign.write_bytes(b"\xff" * 40)
    with pytest.raises(UserError, match="cannot be read"):
        load_trained(foreign)


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "it holds a list"),
        ("text", "it holds a str"),
        ({"state_dict": {}, "siamese_oneshot": "text"}, "damaged or not a plain checkpoint"),
        ({"state_dict": [1], "siamese_oneshot": {}}, "damaged or not a plain checkpoint"),
        ({"state_dict": {1: torch.zeros(1)}}, "does not hold a network"),
        ({"state_dict": {"network.x": [1]}}, "holds more than tensors"),
        ({"state_dict": {"network.x": torch.tensor(torch.nan)}}, r"NaN or infinite, as in x"),
    ],
)
def test_a_checkpoint_of_another_package_is_said_to_be_one(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "foreign.ckpt"
    if isinstance(content, dict):
        content = {"siamese_oneshot": {"version": VERSION, "network": description()}, **content}
    torch.save(content, path)
    with pytest.raises(UserError, match=message):
        load_trained(path)


def test_a_run_whose_result_names_a_checkpoint_elsewhere_is_not_followed(tmp_path: Path) -> None:
    path = empty_checkpoint(tmp_path / "run")
    result = RunResult(
        status="finished", experiment="tiny", seed=0, data_source="omniglot", data_digest="d",
        data_split="koch", scores=[], val_accuracy=None, checkpoint="checkpoints/best.ckpt",
        steps=1, epochs=1, train_seconds=1.0, total_seconds=1.0, precision="32-true",
    )  # fmt: skip
    write_result(tmp_path / "run", result)
    assert find_weights(tmp_path / "run") == path
    for elsewhere in ("../x.ckpt", "/etc/passwd"):
        write_result(tmp_path / "run", replace(result, checkpoint=elsewhere))
        with pytest.raises(UserError, match=f"from {elsewhere}, outside of that folder"):
            find_weights(tmp_path / "run")


@pytest.mark.parametrize("name", sorted(PRETRAINED))
def test_packaged_weights_have_a_card(name: str) -> None:
    trained = load_trained(name)
    assert trained.threshold is not None
    assert trained.reject_threshold is not None
    assert {"seed", "split", "data_source"} <= set(trained.metadata)
    assert trained.metadata["experiment"] == name in group_options("experiment")
    assert trained.card["command"].startswith("python -m siamese_oneshot.train")
    assert {score["key"] for score in trained.card["scores"]} >= {"lake_runs", "one_shot"}
    json.dumps(trained.card, allow_nan=False)
    assert sum(find_weights(one).stat().st_size for one in PRETRAINED) <= 4 * 2**20


@pytest.mark.omniglot
@pytest.mark.parametrize(("name", "correct"), [("pretrained", 178), ("dense", 122)])
def test_packaged_networks_answer_real_episodes(omniglot, name: str, correct: int) -> None:
    """The first 200 validation episodes; arithmetic may change one or two answers."""
    trained, dataset = load_trained(name), omniglot.dataset
    split = split_dataset(dataset, trained.metadata["split"])
    tasks = make_validation_tasks(ClassIndex(dataset, split.validation), EvalConfig())
    task = first_episodes(tasks.episode_tasks[0], 200)
    indices = indices_of([task])
    parts = {key: getattr(dataset, key)[indices] for key in ("pixels", "classes", "drawers")}
    pixels = replace(dataset, **parts).resized(trained.size).pixels
    table = Embeddings(indices, trained.network.embed(pixels[:, None].float() / 255))
    scores = score_lists(table, [task.episodes], trained.network)
    assert answer(task, *scores).correct == pytest.approx(correct, abs=2)


@pytest.mark.parametrize("result", ["{}", '{"version": 2, "checkpoint": 5}', "\x00"])
def test_the_best_checkpoint_or_the_last_represents_a_run(tmp_path: Path, result: str) -> None:
    last = empty_checkpoint(tmp_path, "last.ckpt")
    assert find_weights(tmp_path) == find_weights(last) == last
    best = empty_checkpoint(tmp_path)
    (tmp_path / "result.json").write_text(result)  # damaged: it does not name the kept one
    assert find_weights(tmp_path) == best


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("pretraned", "Did you mean pretrained"),
        ("nowhere/at/all", "There is no network"),
        ("notes.txt", r"neither a \.ckpt nor"),
        ("folder", r"no checkpoints/best\.ckpt"),
    ],
)
def test_missing_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("notes.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        find_weights(where)


def test_runs_of_a_sweep_are_sorted(tmp_path: Path) -> None:
    for name in ("2_seed=2", "0_seed=0", "10_seed=1"):
        empty_checkpoint(tmp_path / name)
    (tmp_path / "3_failed" / "checkpoints").mkdir(parents=True)
    assert [run.name for run in runs_in(tmp_path)] == ["0_seed=0", "10_seed=1", "2_seed=2"]
    assert runs_in(tmp_path / "0_seed=0") == [tmp_path / "0_seed=0"]


def test_quantization_error_is_at_most_half_a_step() -> None:
    rng = torch.Generator().manual_seed(0)
    large = torch.randn(200, 1000, generator=rng)
    large[3] = 0.0
    large[5] *= 1e-4
    weights = {
        "large.weight": large,
        "small.weight": torch.randn(20, 10, generator=rng),
        "conv.weight": torch.randn(64, 64, 5, 5, generator=rng),
        "bias": torch.randn(200, generator=rng),
        "count": torch.tensor(7),
    }
    packed = quantize(weights)
    half = ("small.weight", "conv.weight", "bias")
    assert packed["large.weight"].dtype == torch.int8
    assert {packed[name].dtype for name in half} == {torch.float16}
    restored = dequantize(packed)
    assert list(restored) == list(weights)
    error = (restored["large.weight"] - large).abs().amax(1)
    assert (error <= 0.5001 * large.abs().amax(1) / 127 + 1e-12).all()
    assert float(error.max()) > 0
    for name in half:
        assert torch.equal(restored[name], weights[name].half().float())
    assert torch.equal(restored["count"], weights["count"])
    again = dequantize(quantize(restored))
    for name, value in restored.items():
        torch.testing.assert_close(again[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"threshold": "0.5"}, "threshold=0.5: it must be a number"),
        ({"temperature": 0.0}, "temperature=0.0: it must be a number"),
        ({"reject_threshold": True}, "reject_threshold=true: it must be a number"),
        ({"reject_threshold": float("nan")}, "reject_threshold=nan: it must be a number"),
        ({"threshold": [0.5]}, "threshold="),
        ({"metadata": "x"}, "metadata=x: it must be"),
        ({"card": 3}, "card=3: it must be"),
        ({"network": description(filters=[4] * 100_000)}, "far too many parts"),
        ({"network": description(embedding_dim=10**12)}, "size mismatch|overflow"),
        ({"network": description(filters=[10**5])}, "size mismatch"),
    ],
)
def test_a_header_of_someone_else_is_checked_before_it_costs_anything(
    tmp_path: Path, header: dict[str, Any], message: str
) -> None:
    checkpoint(tmp_path, header)
    with pytest.raises(UserError, match=message):
        load_trained(tmp_path)


def test_files_that_are_no_plain_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    with open(tmp_path / "sparse.safetensors", "wb") as file:
        file.truncate(2**34)
    (tmp_path / "zeros.ckpt").symlink_to("/dev/zero")
    path = checkpoint(tmp_path / "run")
    with (
        zipfile.ZipFile(path) as plain,
        zipfile.ZipFile(tmp_path / "deflated.ckpt", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in plain.namelist():
            deflated.writestr(name, plain.read(name))
        deflated.writestr("archive/zeros", bytes(10**6))
    for name, message in {
        "pipe.ckpt": "not a regular file",
        "zeros.ckpt": "not a regular file",
        "sparse.safetensors": "17,179,869,184 bytes",
        "deflated.ckpt": "it is compressed",
    }.items():
        with pytest.raises(UserError, match=message):
            load_trained(tmp_path / name)


def test_a_nested_header_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"siamese_oneshot": "[" * 100_000})
    with pytest.raises(UserError, match="cannot be read"):
        load_trained(path)
