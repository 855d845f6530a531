"""A project of one's own adds a data set, a sampler and a protocol, one file and one YAML each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny import FULL_PRECISION, NETWORK

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.evaluate import evaluate_task
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.train import train_task

STRANGER = Path(__file__).parent / "stranger"
LISTS = [
    "data.eval.way=5", "data.eval.n_pairs=40", "data.eval.val_runs=2", "data.eval.test_runs=2",
    "data.eval.koch_runs=2", "data.eval.n_cross_episodes=10", "logger=none",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that uses all three."""
    folder = tmp_path_factory.mktemp("stranger")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(STRANGER)
        line = [
            "--config-dir", str(STRANGER / "conf"), "data=shapes", "loss=bce_pairs",
            "sampler=same_pairs", "+protocol=three_way", *LISTS, *NETWORK, FULL_PRECISION,
            "trainer.accelerator=cpu", "trainer.max_steps=2", "callbacks.validation_plots=null",
            f"hydra.run.dir={folder / 'run'}",
        ]  # fmt: skip
        run_hydra(train_task, argv=line)
        yield folder / "run"
    sys.modules.pop("stranger_data", None)


def test_a_data_set(run: Path) -> None:
    result = read_result(run)
    assert result.status == "finished"
    assert result.data_source == "shapes"
    assert result.data_split == "ratio_60_20_20"
    assert result.trained_on == "shapes: 3 alphabets by 6 drawers (besides 1 for validation)"
    assert any(text.startswith("images of shapes, not Omniglot") for text in result.warnings)


def test_a_sampler(run: Path) -> None:
    assert read_result(run).steps == 2
    assert "sampler=same_pairs" in read_result(run).overrides


def test_a_protocol_in_training_and_in_evaluation(run: Path) -> None:
    def scores(records: list[dict[str, object]]) -> list[tuple[object, ...]]:
        kept = [one for one in records if one["key"] == "three_way"]
        return [(one["split"], one["n"], one["way"], one["shot"]) for one in kept]

    trained = json.loads((run / "result.json").read_text())["scores"]
    assert scores(trained) == [("test", 10, 3, 2)]
    line = [
        "--config-dir", str(STRANGER / "conf"), f"models={run}", "data=shapes",
        "+protocol=three_way", *LISTS, "mnist=false", "plots=false", "accelerator=cpu",
        "protocols.max_way=3", "protocols.episodes_per_way=10", "protocols.few_shot_episodes=10",
        f"output_dir={run / 'evaluation'}",
    ]  # fmt: skip
    run_hydra(evaluate_task, "evaluate", argv=line)
    evaluated = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert scores(evaluated["models"][0]["scores"]) == [("test", 10, 3, 2)]
