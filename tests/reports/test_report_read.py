"""What is read of complete, unfinished and damaged folders."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.reports.read import (
    CONFIG,
    Curve,
    Sweep,
    find_runs,
    natural_order,
    number_of,
    numbers_of,
    parsed,
    read_curves,
    read_sweep,
    setting_text,
    spans_decades,
)
from siamese_oneshot.utils.errors import UserError


def problems(sweep: Sweep, label: str) -> str:
    return "; ".join(why for what, why in sweep.left_out if what == label)


def test_runs_are_found_once_in_natural_order(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    for number in (10, 9):
        make_job(sweep, number, {}, result_of(0.5))
    (sweep / "9_job" / "checkpoints").mkdir()
    (sweep / "linked").symlink_to(sweep / "9_job")
    found, left_out = find_runs([sweep, sweep / "10_job"])
    assert [folder.name for folder in found] == ["9_job", "10_job"]
    assert left_out == []
    assert natural_order("2_x") < natural_order("10_a")


def test_folders_without_a_run(tmp_path: Path) -> None:
    make_job(tmp_path / "a" / "b", 0, {}, None)
    for name in ("a/empty/deep", "a/wandb/run", "a/.cache", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/wandb/run/result.json").touch()
    found, left_out = find_runs([tmp_path / "a", tmp_path / "c"])
    assert [folder.name for folder in found] == ["0_job"]
    assert left_out == []
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="there is no run in"):
        read_sweep([tmp_path / "c"])


def test_statuses(tmp_path: Path) -> None:
    scores = scores_of({"test/lake_runs": 7})
    make_job(tmp_path, 0, {"a": 1}, result_of(0.9, 3, scores=scores), error="it was lost")
    make_job(tmp_path, 1, {"a": 2}, result_of(None, status="pruned"), logged=[0.2, 0.4, 0.3])
    make_job(tmp_path, 2, {"a": 3}, None, error="RuntimeError: out of memory")
    interrupted = result_of(0.5, status="interrupted")
    make_job(tmp_path, 3, {"a": 4}, interrupted, logged=[0.9], error="it was lost")
    make_job(tmp_path, 10, {"a": 5}, None, logged=[0.1, 0.6], config={"seed": 8})
    sweep = read_sweep([tmp_path])
    assert [(run.number, run.status, run.val_accuracy, run.seed) for run in sweep.runs] == [
        (0, "finished", 0.9, 3),
        (1, "pruned", 0.4, 0),
        (2, "failed", None, None),
        (3, "interrupted", 0.5, 0),
        (10, "unfinished", 0.6, 8),
    ]
    first = sweep.runs[0]
    errors = [run.error for run in sweep.runs]
    assert errors == ["", "", "RuntimeError: out of memory", "it was lost", ""]
    assert first.scores["test/lake_runs"].correct == 7
    assert first.result is not None
    assert first.job is not None
    assert (first.seconds, first.result.steps, first.job.attempts) == (75, 100, 1)
    assert sweep.finished() == [first]
    counts = "5 jobs: 1 finished, 1 pruned, 1 failed, 1 interrupted, 1 unfinished"
    assert sweep.summary() == counts
    assert sweep.left_out == []


def test_values_come_from_the_configuration_then_from_the_command_line(tmp_path: Path) -> None:
    config = {"optimizer": {"lr": 0.002, "wd": "${optimizer.lr}"}, "model": {"f": [1, 2]}}
    overrides = {"+optimizer.lr": "1e-1", "optimizer.wd": 7, "model": "big", "model.f": 0}
    overrides["only"] = "[1, 2]"
    make_job(tmp_path, 0, overrides, result_of(0.5), config=config)
    make_job(tmp_path, 1, {"model": "big"}, result_of(0.5))
    settings = [run.settings for run in read_sweep([tmp_path]).runs]
    assert settings[0] == {
        "optimizer.lr": "0.002",
        "optimizer.wd": "${optimizer.lr}",
        "model": "big",
        "model.f": "[1,2]",
        "only": "[1,2]",
    }
    assert settings[1] == {"model": "big"}


def test_without_job_json_differing_settings_count_as_swept(tmp_path: Path) -> None:
    same = {"trainer.max_steps": 5, "logger": "none"}
    for seed, lr in enumerate((0.1, 0.2)):
        settings = {**same, "optimizer.lr": lr, "seed": seed}
        last = make_job(tmp_path, seed, settings, result_of(0.5 + seed / 10), job_json=False)
    sweep = read_sweep([tmp_path])
    assert sweep.keys == ["optimizer.lr"]
    assert [run.settings for run in sweep.runs] == [
        {"optimizer.lr": "0.1"},
        {"optimizer.lr": "0.2"},
    ]
    assert [run.number for run in sweep.runs] == [0, 1]
    alone = read_sweep([last])
    assert (alone.keys, alone.runs[0].label, alone.runs[0].val_accuracy) == ([], "1_job", 0.6)


def test_a_default_that_changed_between_runs_is_a_difference(tmp_path: Path) -> None:
    for number, steps in enumerate((100, 200, 200)):
        config = {"seed": number, "trainer": {"max_steps": steps}, "data": {"root": f"/{number}"}}
        config |= {"new": 1} if number else {}
        make_job(tmp_path, number, {"seed": number}, result_of(0.5), job_json=False, config=config)
    sweep = read_sweep([tmp_path])
    assert sweep.keys == ["trainer.max_steps"]
    assert [run.settings["trainer.max_steps"] for run in sweep.runs] == ["100", "200", "200"]


def test_runs_of_several_sweeps_are_numbered_by_position(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in (0, 1):
            make_job(tmp_path / name, number, {"x": name}, result_of(0.5))
    sweep = read_sweep([tmp_path / "b", tmp_path / "a"])
    assert [run.number for run in sweep.runs] == [0, 1, 2, 3]
    assert [run.settings["x"] for run in sweep.runs] == ["b", "b", "a", "a"]
    alike = read_sweep([tmp_path / "a" / "0_job", tmp_path / "b" / "0_job"])
    assert [run.label for run in alike.runs] == ["a/0_job", "b/0_job"]


def test_damage_is_reported_and_never_fatal(tmp_path: Path) -> None:
    other_version = json.dumps({"version": 9, "scores": []})
    texts = {
        "result.json": ['{"version": 2, "stat', "[1]", other_version, "\x00\xff"],
        "job.json": ["{", "[]", json.dumps({"version": 9}), json.dumps({"version": 1})],
        ".hydra/config.yaml": ["a: [", "\t- x", "just words", ""],
    }
    for number, (name, content) in enumerate((n, c) for n in texts for c in texts[n]):
        folder = make_job(tmp_path, number, {"a": 1}, result_of(0.5), logged=[0.25])
        (folder / name).write_bytes(content.encode("latin-1"))
    sweep = read_sweep([tmp_path])
    damaged, rest = sweep.runs[:4], sweep.runs[4:]
    assert [(run.status, run.val_accuracy) for run in damaged] == [("unfinished", 0.25)] * 4
    assert all("result.json" in problems(sweep, run.label) for run in damaged)
    assert "version 9" in damaged[2].error
    assert all("job.json is damaged" in problems(sweep, f"{n}_job") for n in (4, 5, 7))
    assert "job.json has version 9" in problems(sweep, "6_job")
    assert [run.number for run in sweep.runs] == list(range(12))
    assert all("config.yaml is damaged" in problems(sweep, f"{n}_job") for n in (8, 9))
    assert problems(sweep, "10_job") == problems(sweep, "11_job") == ""
    assert sweep.finished() == rest


def test_files_of_someone_else_end_in_one_line(tmp_path: Path) -> None:
    """A folder that is passed on shows no file of the reader's machine, and reading it ends."""
    secret = tmp_path / "secret"
    (secret / "csv" / "version_0").mkdir(parents=True)
    (secret / "config.yaml").write_text("password: 1")
    (secret / "csv" / "version_0" / "metrics.csv").write_text("step,password\n1,1\n")
    folders = [make_job(tmp_path / "s", number, {}, result_of(0.5)) for number in range(6)]
    for folder in folders:
        (folder / CONFIG).unlink(missing_ok=True)
        (folder / CONFIG).parent.mkdir(exist_ok=True)
    (folders[0] / CONFIG).symlink_to(secret / "config.yaml")
    os.mkfifo(folders[1] / CONFIG)
    (folders[2] / CONFIG).write_text("a: &x [1]\nb: [*x, *x]")
    (folders[3] / CONFIG).write_text("a: &x\n  b: *x")
    with open(folders[4] / CONFIG, "wb") as file:
        file.truncate(2**40)
    for name in ("csv", "evaluation"):
        shutil.rmtree(folders[5] / name, ignore_errors=True)
        (folders[5] / name).symlink_to(secret / name)
    (secret / "evaluation").mkdir()
    (secret / "evaluation" / "evaluation.json").write_text("{}")
    (folders[5] / "result.json").unlink()
    (folders[5] / "result.json").symlink_to(secret / "config.yaml")
    sweep = read_sweep([tmp_path / "s"])
    told = {
        0: "leads out of the folder",
        1: "not a regular file",
        2: "holds aliases",
        3: "holds aliases",
        4: "1,099,511,627,776 bytes",
        5: "leads out of the folder",
    }
    for number, why in told.items():
        run = sweep.runs[number]
        assert run.config is None or number == 5
        assert not run.curves.keys() & {"password"}
        assert why in problems(sweep, run.label)
        assert "password" not in problems(sweep, run.label)
    assert sweep.runs[5].result is None
    assert sweep.runs[5].evaluation() is None
    assert "leads out of the folder" in sweep.runs[5].problems[-1]


def test_scores_that_are_no_numbers(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, result_of(None), logged=[0.4])
    for number, value in ((1, "NaN"), (2, '"high"')):
        folder = make_job(tmp_path, number, {"a": 1}, result_of(0.75))
        text = (folder / "result.json").read_text().replace("0.75", value)
        (folder / "result.json").write_text(text)
    result = result_of(0.5, scores=scores_of({"test/a": 250, "test/b": 500}))
    folder = make_job(tmp_path, 3, {"a": 1}, result)
    text = (folder / "result.json").read_text().replace('"value": 0.25', '"value": null')
    (folder / "result.json").write_text(text)
    sweep = read_sweep([tmp_path])
    assert [run.val_accuracy for run in sweep.runs] == [0.4, None, None, None]
    assert [run.status for run in sweep.runs] == ["failed", *["unfinished"] * 3]
    assert "without a validation score" in sweep.runs[0].error
    words = ("no validation score", "val_accuracy is nan", "'high'", "value=None")
    for number, word in enumerate(words):
        assert word in problems(sweep, f"{number}_job")


def test_a_job_that_never_began_is_reported(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, None, job_json=False)
    sweep = read_sweep([tmp_path])
    assert (sweep.runs[0].status, sweep.runs[0].val_accuracy) == ("unfinished", None)
    assert "neither a result nor" in problems(sweep, "0_job")


def test_curves_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("a,step,b\nnan,1,\ninf,2,2\nx,3,\n4,,\n4,-1,\n0.5,5,7,9\n3,1e99,\n6")
    found: list[str] = []
    assert read_curves(tmp_path, found) == {"a": Curve([5], [0.5]), "b": Curve([2, 5], [2.0, 7.0])}
    path.write_text("epoch,step,a\n0,59,0.5\n,60,0.7\n")
    assert read_curves(tmp_path, found)["a"] == Curve([60], [0.7]), "after 60 steps"
    path.write_text("no,steps\n1,2\n")
    assert read_curves(tmp_path, found) == {}
    assert found == []


def test_thinning_keeps_ends_and_extremes() -> None:
    values = np.random.default_rng(0).random(10_007).tolist()
    values[4321], values[8765] = 7.0, -7.0
    curve = Curve(list(range(10_007)), values)
    thin = curve.thinned(500)
    assert 300 < len(thin.steps) <= 500
    assert thin.steps == sorted(set(thin.steps))
    assert (thin.steps[0], thin.steps[-1]) == (0, 10_006)
    assert (max(thin.values), min(thin.values)) == (7.0, -7.0)
    assert all(values[step] == value for step, value in zip(thin.steps, thin.values, strict=True))
    assert curve.thinned(20_000) is curve


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("12", 12), ("12.0", 12), ("-3.5", -3.5), ("True", True), ("null", None),
     ("'a, b'", "a, b"), ("[64, 64.0]", [64, 64]), ("nan", float("nan")), ("adamw", "adamw"),
     ("{a: [true]}", {"a": [True]})],
)  # fmt: skip
def test_values_of_overrides(text: str, value: object) -> None:
    assert parsed(text) == setting_text(value)


def test_settings_are_texts_and_some_are_numbers() -> None:
    values = (0.000123456, True, None, 4096, 1.0, [64, None], {"a": 0.5})
    texts = ["0.000123456", "true", "null", "4096", "1", "[64,null]", "{a:0.5}"]
    assert [*map(setting_text, values)] == texts
    assert number_of("1e-3") == 0.001
    assert [number_of(text) for text in ("", "true", "nan", "[1]", None)] == [None] * 5
    assert numbers_of(["1", "2.5"]) == [1, 2.5]
    assert numbers_of(["1", "a"]) is None
    assert spans_decades([0.001, 0.1])
    assert not spans_decades([0.001, 0.09])
    assert spans_decades([0.001, 0.09], 20)
    assert not spans_decades([0, 100])
