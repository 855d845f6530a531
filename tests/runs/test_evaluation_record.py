"""evaluation.json is read as it was written, or refused; scores keep their types."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from eval_models import COMPUTE, CONFIG, PROTOCOLS, network

from siamese_oneshot.comparison.runner import model_record
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.sources import LoadedData
from siamese_oneshot.evaluation.model_evaluation import TaskProvider, evaluate_model
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.runs.evaluation_record import (
    EvaluationRecord,
    find_evaluation,
    read_evaluation,
    write_evaluation,
)
from siamese_oneshot.utils.errors import UserError


@pytest.fixture(scope="module")
def record(dataset: CharacterDataset) -> EvaluationRecord:
    provider = TaskProvider(
        LoadedData(dataset, None), None, "ratio_60_20_20", None, CONFIG, PROTOCOLS
    )
    model_results = evaluate_model(network(), provider, COMPUTE, {"half": lambda _: 0.5})
    return EvaluationRecord([model_record(model_results)], "synthetic", "abc", commit="123")


def test_what_was_written_is_found_and_read(tmp_path: Path, record: EvaluationRecord) -> None:
    assert find_evaluation(tmp_path) is None
    path = write_evaluation(tmp_path / "evaluation", record)
    assert find_evaluation(tmp_path) == find_evaluation(tmp_path / "evaluation") == path
    assert read_evaluation(path) == record
    assert record.network is record.models[0]
    (koch,) = record.models[0].predictions.values()
    assert len(koch["is_correct"]) == 4 * 5
    assert record.models[0].summary == {"half": 0.5}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 1, "version 1; this package reads 2"),
        ("models", [1], "damaged"),
        ("models/0/scores/0/value", "0.9", "value='0.9' is not float"),
        ("models/0/scores/0/way", True, "way=True is not int"),
        ("models/0/scores/0/value", float("nan"), "value is nan"),
        ("models/0/scores/0/surprise", 1, "damaged"),
        ("models/0/split", None, "split=None is not str"),
        ("data_digest", 7, "data_digest=7 is not str"),
    ],
)
def test_what_is_damaged_is_refused(
    tmp_path: Path, record: EvaluationRecord, path: str, value: Any, message: str
) -> None:
    file = write_evaluation(tmp_path, record)
    part = content = json.loads(file.read_text())
    *parents, last = path.split("/")
    for name in parents:
        part = part[int(name) if name.isdigit() else name]
    part[last] = value
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_evaluation(file)


@pytest.mark.parametrize("text", ["", "[1", "[]", "7"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(UserError, match="damaged"):
        read_evaluation(tmp_path / "evaluation.json")
    with pytest.raises(UserError, match="does not exist: run evaluate first"):
        read_evaluation(tmp_path / "nothing.json")


def test_a_score_has_its_share_and_interval() -> None:
    score = Score.from_counts("k", "test", "n", "p", 9, 10, "d", way=5, shot=1)
    assert score.value == 0.9
    assert score.percent == "90.00 (59.6-98.2)"
    assert score.auroc_and_eer == ""
    assert dataclasses.replace(score, auroc=0.99621, eer=0.02258).auroc_and_eer == (
        "AUROC 0.9962, EER 2.26%"
    )
    assert Score.from_dict(dataclasses.asdict(score)) == score
