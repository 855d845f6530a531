"""Export: the card has the evaluation's scores, and exported weights are copied bit by bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from eval_models import COMPUTE, make_run
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny import TINY
from tiny_network import NETWORK, checkpoint
from torch import Tensor

from siamese_oneshot import export as exporting
from siamese_oneshot.cli import conf_dir
from siamese_oneshot.comparison.models import find_models
from siamese_oneshot.comparison.runner import model_record
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.model_evaluation import TaskProvider, evaluate_model
from siamese_oneshot.evaluation.tables import CORE
from siamese_oneshot.export import card_page, export
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs import checkpoint as checkpoints
from siamese_oneshot.runs.checkpoint import find_weights, load_trained, save_trained
from siamese_oneshot.runs.evaluation_record import (
    EvaluationRecord,
    read_evaluation,
    write_evaluation,
)
from siamese_oneshot.runs.result import read_result, write_result
from siamese_oneshot.utils.errors import UserError

COMMAND = "python -m siamese_oneshot.train seed=3 data.root=/home/me hydra.run.dir=/tmp/x"


@pytest.fixture
def run(tmp_path: Path, task_provider: TaskProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run with its evaluation; what is exported is measured on the same lists."""
    digest = task_provider.loaded.dataset.digest
    run = make_run(tmp_path / "run", 0, status="finished", data_digest=digest)
    record = measured(run, task_provider)
    (model_results,) = record.models
    monkeypatch.setattr(exporting, "_evaluate", lambda file, *_: measured(file, task_provider))
    result = read_result(run)
    digests = {f"test/{one.key}": one.digest for one in model_results.scores if one.split == "test"}
    write_result(run, replace(result, task_digests=digests, command=COMMAND, commit="abc"))
    (run / "evaluation").mkdir()
    write_evaluation(run / "evaluation", record)
    return run


def measured(where: Path, task_provider: TaskProvider) -> EvaluationRecord:
    model_results = evaluate_model(find_models([str(where)])[0], task_provider, COMPUTE)
    digest = task_provider.loaded.dataset.digest
    return EvaluationRecord([model_record(model_results)], "synthetic", digest)


def evaluation(run: Path) -> Path:
    return run / "evaluation" / "evaluation.json"


def test_a_network_is_exported_with_test_time_augmentation(
    run: Path, tmp_path: Path, task_provider: TaskProvider
) -> None:
    export(run, tmp_path / "three.safetensors", tta=True)
    trained = load_trained(tmp_path / "three.safetensors")
    assert trained.network.tta
    assert "test-time augmentation" in (tmp_path / "three.md").read_text()
    plain, three = (
        measured(one, task_provider).models[0] for one in (run, tmp_path / "three.safetensors")
    )
    assert trained.threshold == three.threshold != plain.threshold
    assert trained.reject_threshold == three.reject_threshold != plain.reject_threshold
    assert [one["value"] for one in trained.card["scores"]] == [
        one.value for one in three.scores if one.key in CORE
    ]


def test_the_card_of_a_run_has_the_scores_of_its_rounded_weights(
    run: Path, tmp_path: Path, task_provider: TaskProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = checkpoints.quantize

    def coarse(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: (8 * value).round() / 8 for name, value in exact(weights).items()}

    monkeypatch.setattr(checkpoints, "quantize", coarse)
    page = export(run, tmp_path / "mine.safetensors")
    (model,) = measured(tmp_path / "mine.safetensors", task_provider).models
    (before,) = read_evaluation(evaluation(run)).models
    assert [one.value for one in model.scores] != [one.value for one in before.scores]
    text = page.read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "other"
    assert 'from_pretrained("mine.safetensors")' in text
    assert "trained with `python -m siamese_oneshot.train seed=3` at commit abc" in text
    for score in model.scores:
        assert (f"| {score.percent} | {score.n:,} |" in text) or score.key not in CORE
    assert "AUROC" in text
    mine = load_trained(tmp_path / "mine.safetensors")
    assert mine.threshold == model.threshold
    assert mine.reject_threshold == model.reject_threshold
    assert mine.temperature == model.temperature
    assert mine.card["data_digest"] == task_provider.loaded.dataset.digest
    kept = [(one["key"], one["value"]) for one in mine.card["scores"]]
    assert kept == [(one.key, one.value) for one in model.scores if one.key in CORE]
    with pytest.raises(UserError, match=r"first\.safetensors is not a run's folder"):
        export(tmp_path / "first.safetensors", tmp_path / "x.safetensors")


def test_an_exported_network_is_not_tested_on_changed_data_either(
    run: Path, tmp_path: Path, dataset: CharacterDataset, task_provider: TaskProvider
) -> None:
    file, older = tmp_path / "mine.safetensors", tmp_path / "older.safetensors"
    export(run, file)
    trained = load_trained(file)
    assert trained.metadata["data_digest"] == dataset.digest
    without = {key: value for key, value in trained.metadata.items() if key != "data_digest"}
    save_trained(replace(trained, metadata=without), older)
    fewer = dataset.pixels.clone()
    fewer[0] = 0
    changed = LoadedData(replace(dataset, pixels=fewer), None)
    for where in (run, file, older):
        (model,) = find_models([str(where)])
        task_provider.tasks(model)
        with pytest.raises(UserError, match="was trained on other synthetic images than these"):
            replace(task_provider, loaded=changed, _made={}).tasks(model)


def test_a_file_holds_no_folder_of_the_machine_that_trained_it(
    tmp_path: Path, task_provider: TaskProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_evaluate", lambda file, *_: measured(file, task_provider))
    settings = ["data.root=/home/me/x", "init_from=/home/me/a", "teachers=[/home/me/b,'~/my c/d']"]
    teacher = {"name": "/home/me/b", "experiment": "large", "seed": 5, "split": "other"}
    teacher |= {"command": COMMAND}
    first = {"name": "/home/me/a", "overrides": settings, "init_from": {"name": "/home/me/e"}}
    run = make_run(
        tmp_path / "run", 0, settings, "finished",
        command=f"python -m x {' '.join(settings[:2])}", init_from=first, teachers=[teacher],
    )  # fmt: skip
    text = export(run, tmp_path / "mine.safetensors").read_text()
    metadata = load_trained(tmp_path / "mine.safetensors").metadata
    assert "learned from the answers of b: experiment large, seed 5, split other" in text
    assert metadata["overrides"] == ["init_from=a", "teachers=[b,'d']"]
    assert metadata["init_from"]["init_from"]["name"] == "e"
    assert metadata["teachers"][0]["command"] == "python -m siamese_oneshot.train seed=3"
    assert metadata["init_from"]["overrides"] == ["init_from=a", "teachers=[b,'d']"]
    assert "/" not in str(metadata)
    assert "home" not in text


def test_a_run_is_evaluated_on_its_own_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        data = compose("config", [text for text in TINY if text.startswith("data")]).data
        text = OmegaConf.to_yaml(OmegaConf.create({"data": OmegaConf.to_container(data)}))
    run = make_run(tmp_path / "run", 0)
    (run / "config.yaml").write_text(text.replace("sampler: ${sampler}", "sampler: null"))
    record = exporting._evaluate(run / "checkpoints" / "best.ckpt", run, ())
    assert record.data_source == "synthetic"
    said = capsys.readouterr().out
    assert said == "evaluating the rounded weights by every protocol, for the card\n"
    (model,) = record.models
    assert {score.key: score.n for score in model.scores}["verification"] == 200


def test_the_data_of_a_run_may_not_have_changed(run: Path, tmp_path: Path) -> None:
    result = read_result(run)
    digests = {**result.task_digests, "test/within_alphabet": "another list"}
    write_result(run, replace(result, task_digests=digests))
    with pytest.raises(UserError, match=r"not its own lists are test/within_alphabet$"):
        export(run, tmp_path / "mine.safetensors")
    assert not list(tmp_path.glob("mine.*"))


def test_a_file_that_cannot_be_written_is_refused_before_the_evaluation(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_evaluate", lambda *_: pytest.fail("evaluated"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        export(run, tmp_path / "file" / "net.safetensors")


@pytest.mark.parametrize("line", [[], ["outputs/my_run"]])
def test_without_a_file_the_command_says_what_to_name(
    line: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["export", *line])
    with pytest.raises(SystemExit, match=r"^Error: name a run's folder and the file") as stop:
        exporting.main()
    words = " ".join(str(stop.value).split())
    assert f"siamese_oneshot.export {line[0] if line else 'pretrained'} network.onnx (or " in words


@pytest.mark.parametrize("suffix", ["onnx", "html"])
def test_thresholds_of_one_view_are_not_exported_with_three(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_of = {"onnx": "export_onnx", "html": "export_page"}[suffix]
    exported: list[TrainedModel] = []
    monkeypatch.setattr(exporting, export_of, lambda trained, *_: exported.append(trained))
    monkeypatch.setattr(exporting, "text_of", str)
    file = tmp_path / f"net.{suffix}"
    monkeypatch.setattr("sys.argv", ["export", "dense", str(file), "--tta"])
    with pytest.raises(SystemExit, match=r"dense were chosen without .* with --tta first"):
        exporting.main()
    assert not exported
    monkeypatch.setattr("sys.argv", ["export", "pretrained", str(file), "--tta"])  # as it is
    exporting.main()
    assert exported[0].network.tta
    assert exported[0].threshold == load_trained("pretrained").threshold is not None


def test_the_command_names_every_kind_of_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["export", "pretrained", "net.pt"])
    with pytest.raises(SystemExit, match=r"net\.pt must end in \.safetensors, \.onnx or \.html"):
        exporting.main()


def test_a_network_whose_builder_takes_no_tta_is_not_exported_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_evaluate", lambda *_: pytest.fail("evaluated"))
    own = {"_target_": f"{__name__}.as_it_is", "network": NETWORK}
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save(checkpoint(network=own), run / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match=r"as_it_is has no argument tta.*leave --tta out"):
        export(run, tmp_path / "net.safetensors", trust=[__name__], tta=True)


def as_it_is(network: SiameseNetwork) -> SiameseNetwork:
    return network


@pytest.mark.parametrize("name", ["pretrained", "dense"])
def test_the_packaged_cards_are_those_of_their_headers(name: str) -> None:
    trained = load_trained(name)
    temperature = {"pretrained": 0.3938, "dense": 1.4479}[name]
    assert trained.temperature == pytest.approx(temperature, abs=1e-4)
    page = find_weights(name).with_suffix(".md").read_text()
    assert f"{trained.parameters:,} parameters" in page
    assert trained.card["command"] in page
    scores = trained.card["scores"]
    assert {one["key"] for one in scores} == set(CORE)
    for one in scores:
        low, high = 100 * one["low"], 100 * one["high"]
        assert f"{100 * one['value']:.2f} ({low:.1f}-{high:.1f}) | {one['n']:,} |" in page
    assert page == card_page(trained, find_weights(name).name)
    front = yaml.safe_load(page.split("---")[1])
    assert (front["license"], front["datasets"], front["metrics"]) == (
        "mit", ["omniglot"], ["accuracy"],
    )  # fmt: skip
    sections = re.findall("^## (.*)$", page, re.MULTILINE)
    assert sections == ["Use", "Limits", "Data", "Metrics"]
