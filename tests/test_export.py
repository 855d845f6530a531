"""Export: the card has the evaluation's scores, and exported weights are copied bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from eval_models import COMPUTE, make_run
from safetensors.torch import load_file

from siamese_oneshot.comparison.models import find_models
from siamese_oneshot.comparison.runner import model_record
from siamese_oneshot.evaluation.model_evaluation import TaskProvider, evaluate_model
from siamese_oneshot.evaluation.tables import CORE
from siamese_oneshot.export import export
from siamese_oneshot.runs.checkpoint import find_weights, load_trained
from siamese_oneshot.runs.evaluation_record import (
    EvaluationRecord,
    read_evaluation,
    write_evaluation,
)
from siamese_oneshot.runs.result import read_result, write_result
from siamese_oneshot.utils.errors import UserError

COMMAND = "python -m siamese_oneshot.train seed=3 data.root=/home/me hydra.run.dir=/tmp/x"


@pytest.fixture
def run(tmp_path: Path, task_provider: TaskProvider) -> Path:
    """A finished run with its evaluation."""
    run = make_run(tmp_path / "run", 0, status="finished", data_digest="images")
    task_provider.loaded = replace(task_provider.loaded, digest="images")
    model_results = evaluate_model(find_models([str(run)])[0], task_provider, COMPUTE)
    result = read_result(run)
    digests = {f"test/{one.key}": one.digest for one in model_results.scores if one.split == "test"}
    write_result(run, replace(result, task_digests=digests, command=COMMAND, commit="abc"))
    (run / "evaluation").mkdir()
    write_evaluation(
        run / "evaluation", EvaluationRecord([model_record(model_results)], "synthetic", "images")
    )
    return run


def evaluation(run: Path) -> Path:
    return run / "evaluation" / "evaluation.json"


def rewrite(run: Path, record: EvaluationRecord, **changes: object) -> None:
    (model,) = record.models
    models = [replace(model, **changes)]  # type: ignore[arg-type]
    write_evaluation(evaluation(run).parent, replace(record, models=models))


def test_the_card_of_a_run(run: Path, tmp_path: Path) -> None:
    page = export(run, tmp_path / "mine.safetensors")
    (model,) = read_evaluation(evaluation(run)).models
    text = page.read_text()
    assert "trained with `python -m siamese_oneshot.train seed=3` at commit abc" in text
    for score in model.scores:
        assert (f"| {score.percent} | {score.n:,} |" in text) or score.key not in CORE
    assert "AUROC" in text
    mine = load_trained(tmp_path / "mine.safetensors")
    assert mine.threshold == model.threshold
    assert mine.reject_threshold == model.reject_threshold
    assert mine.card["data_digest"] == "images"
    assert {one["key"] for one in mine.card["scores"]} <= set(CORE)
    assert all(one["value"] == one["correct"] / one["n"] for one in mine.card["scores"])
    assert "before its weights were rounded" in text


def test_exported_weights_are_copied_and_keep_their_thresholds(run: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    export(run, first)
    before = load_trained(first)
    rewrite(run, read_evaluation(evaluation(run)), threshold=7.0, reject_threshold=8.0)
    page = export(first, second, evaluation=evaluation(run), command="train it")
    after = load_trained(second)
    one, other = load_file(first), load_file(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert after.threshold == before.threshold
    assert after.reject_threshold == before.reject_threshold
    assert after.card["command"] == "train it"
    assert after.card["commit"] == "abc"
    assert "with its weights rounded" in page.read_text()
    assert "train it" in page.read_text()


def test_an_evaluation_of_several_models_is_refused(run: Path, tmp_path: Path) -> None:
    file, record = tmp_path / "other.safetensors", read_evaluation(evaluation(run))
    write_evaluation(evaluation(run).parent, replace(record, models=record.models * 2))
    with pytest.raises(UserError, match="is not the evaluation of one network"):
        export(run, file)
    assert not file.exists()


@pytest.mark.parametrize("name", ["pretrained", "dense"])
def test_the_packaged_cards_are_those_of_their_headers(name: str) -> None:
    trained = load_trained(name)
    page = find_weights(name).with_suffix(".md").read_text()
    assert f"{trained.parameters:,} parameters" in page
    assert trained.card["command"] in page
    scores = trained.card["scores"]
    assert {one["key"] for one in scores} == set(CORE)
    for one in scores:
        low, high = 100 * one["low"], 100 * one["high"]
        assert f"{100 * one['value']:.2f} ({low:.1f}-{high:.1f}) | {one['n']:,} |" in page
    assert "with its weights rounded" in page
