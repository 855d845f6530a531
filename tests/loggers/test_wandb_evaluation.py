"""What an evaluation gives to W&B, with a recorder in its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from comparing import MACHINE, network, pixels
from hydra import compose, initialize_config_dir

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.evaluation import log
from siamese_oneshot.evaluation.evaluator import evaluate_model
from siamese_oneshot.evaluation.runner import tables_of
from siamese_oneshot.evaluation.model_evaluation import TaskProvider


class Recorder:
    def __init__(self) -> None:
        self.tables: dict[str, list[list[str]]] = {}
        self.figures: dict[str, float] = {}

    def attempt(self, do, *args) -> None:
        do(*args)

    def log_table(self, key: str, columns: list[str], data: list[list[str]]) -> None:
        assert key not in self.tables, f"{key} would be lost"
        assert all(len(row) == len(columns) for row in data)
        self.tables[key] = data

    def log_metrics(self, figures: dict[str, float]) -> None:
        self.figures |= figures


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_no_table_takes_anothers_place(
    task_provider: TaskProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    recorder = Recorder()

    @contextmanager
    def run(*_: object, **settings: object) -> Iterator[Recorder]:
        assert settings["job_type"] == "evaluate"
        assert settings["tags"] == ["tiny", "synthetic", "ratio_60_20_20", "mine"]
        yield recorder

    monkeypatch.setattr(log, "wandb_run", run)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("evaluate", ["logger.wandb.tags=[mine]"])
    outcomes = [
        evaluate_model(one, task_provider, MACHINE) for one in (*map(network, names), pixels())
    ]
    tables = tables_of(outcomes)
    log.log_evaluation(cfg, tmp_path, "evaluate", None, outcomes, tables, {})
    assert len(recorder.tables) == len(tables)
    assert {"tables/mixed_up_in_validation_5_way", "tables/mixed_up_in_hard_yardstick_5"} <= set(
        recorder.tables
    )
    for outcome in outcomes:
        (across,) = [
            one for one in outcome.scores if (one.split, one.key) == ("test", "cross_alphabet")
        ]
        assert (
            recorder.figures[f"{outcome.model.name}/test/cross_alphabet_accuracy"] == across.value
        )
