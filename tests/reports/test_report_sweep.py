"""What is read of whole, half-finished and damaged sweeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.reports.sweep import read_sweep
from siamese_oneshot.utils.errors import UserError


def complaints(sweep, place: str) -> str:
    return "; ".join(one.why for one in sweep.left_out if one.what == place)


def test_statuses(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, result_of(0.9, seed=3, scores=scores_of({"test/lake_runs": 7})))
    make_job(tmp_path, 1, {"a": 2}, result_of(None, status="pruned"), logged=[0.2, 0.4, 0.3])
    make_job(tmp_path, 2, {"a": 3}, None, error="RuntimeError: out of memory")
    make_job(tmp_path, 3, {"a": 4}, result_of(0.5, status="interrupted"), logged=[0.9])
    make_job(tmp_path, 10, {"a": 5}, None, logged=[0.1, 0.6], config={"seed": 8})
    sweep = read_sweep([tmp_path])
    told = [(job.number, job.status, job.validation, job.seed) for job in sweep.jobs]
    assert told == [
        (0, "finished", 0.9, 3),
        (1, "pruned", 0.4, 0),
        (2, "failed", None, None),
        (3, "interrupted", 0.5, 0),
        (10, "unfinished", 0.6, 8),
    ]
    assert sweep.jobs[2].error == "RuntimeError: out of memory"
    assert sweep.jobs[0].scores["test/lake_runs"].correct == 7
    assert (sweep.jobs[0].seconds, sweep.jobs[0].steps, sweep.jobs[0].attempts) == (75, 100, 1)
    assert [job.counts for job in sweep.jobs] == [True, False, False, False, False]
    assert sweep.described() == (
        "5 jobs: 1 finished, 1 pruned, 1 failed, 1 interrupted, 1 unfinished"
    )
    assert sweep.left_out == []


def test_what_a_job_failed_of_is_forgotten_when_it_has_gone_on_by_itself(tmp_path: Path) -> None:
    for number, status in enumerate(("finished", "pruned", "interrupted")):
        make_job(tmp_path, number, {"a": 1}, result_of(0.5, status=status), error="it was lost")
    assert [job.error for job in read_sweep([tmp_path]).jobs] == ["", "", "it was lost"]


def test_values_come_from_the_configuration_then_from_choices_then_from_words(
    tmp_path: Path,
) -> None:
    config = {
        "optim": {"lr": 0.002, "wd": "${optimizer.lr}", "at": "${hydra:x}"},
        "model": {"f": [1, 2]},
    }
    overrides = {
        "+optimizer.lr": "1e-1",
        "optimizer.wd": 7,
        "optimizer.at": "x",
        "model": "big",
        "model.f": 0,
    }
    first = make_job(tmp_path, 0, overrides | {"only": "[1, 2]"}, result_of(0.5), config=config)
    choices = {"hydra": {"runtime": {"choices": {"model": "small"}}}}
    (first / ".hydra" / "hydra.yaml").write_text(json.dumps(choices))
    make_job(tmp_path, 1, {"model": "big"}, result_of(0.5))
    one, other = read_sweep([tmp_path]).jobs
    assert one.settings == {
        "optimizer.lr": 0.002,
        "optimizer.wd": 0.002,
        "optimizer.at": "x",
        "model": "small",
        "model.f": "[1,2]",
        "only": "[1,2]",
    }
    assert other.settings == {"model": "big"}


def test_without_job_json_what_differs_was_swept(tmp_path: Path) -> None:
    same = {"trainer.max_steps": 5, "logger": "none"}
    make_job(tmp_path, 0, {**same, "optimizer.lr": 0.1, "seed": 0}, result_of(0.5), told=False)
    made = make_job(
        tmp_path, 1, {**same, "optimizer.lr": 0.2, "seed": 1}, result_of(0.6), told=False
    )
    sweep = read_sweep([tmp_path])
    assert sweep.keys == ["optimizer.lr"]
    assert [job.settings for job in sweep.jobs] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}]
    assert [job.number for job in sweep.jobs] == [0, 1]
    alone = read_sweep([made])
    assert (alone.keys, alone.jobs[0].place, alone.jobs[0].validation) == ([], "1_job", 0.6)


def test_a_default_that_changed_between_runs_is_a_difference(tmp_path: Path) -> None:
    for number, steps in enumerate((100, 200, 200)):
        config = {"seed": number, "trainer": {"max_steps": steps}, "data": {"root": f"/{number}"}}
        made = config | ({"new": 1} if number else {})
        make_job(tmp_path, number, {"seed": number}, result_of(0.5), told=False, config=made)
    sweep = read_sweep([tmp_path])
    assert sweep.keys == ["trainer.max_steps"]
    assert [job.settings["trainer.max_steps"] for job in sweep.jobs] == [100, 200, 200]


def test_several_sweeps_are_numbered_anew(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in (0, 1):
            make_job(tmp_path / name, number, {"x": name}, result_of(0.5))
    sweep = read_sweep([tmp_path / "b", tmp_path / "a"])
    assert [job.number for job in sweep.jobs] == [0, 1, 2, 3]
    assert [job.settings["x"] for job in sweep.jobs] == ["b", "b", "a", "a"]
    alike = read_sweep([tmp_path / "a" / "0_job", tmp_path / "b" / "0_job"])
    assert [job.place for job in alike.jobs] == ["a/0_job", "b/0_job"]


def test_damage_is_told_and_never_fatal(tmp_path: Path) -> None:
    texts = {
        "result.json": [
            '{"version": 1, "stat',
            "[1]",
            json.dumps({"version": 9, "scores": []}),
            "\x00\xff",
        ],
        "job.json": [
            "{",
            "[]",
            json.dumps({"version": 2}),
            json.dumps({"version": 1, "number": "x"}),
        ],
        ".hydra/config.yaml": ["a: [", "\t- x", "just words", ""],
    }
    number = 0
    for name, contents in texts.items():
        for content in contents:
            folder = make_job(tmp_path, number, {"a": 1}, result_of(0.5), logged=[0.25])
            (folder / name).write_bytes(content.encode("latin-1"))
            number += 1
    sweep = read_sweep([tmp_path])
    assert len(sweep.jobs) == 12
    damaged = sweep.jobs[:4]
    assert [(job.status, job.validation) for job in damaged] == [("unfinished", 0.25)] * 4
    assert all("result.json" in complaints(sweep, job.place) for job in damaged)
    assert "version 9" in complaints(sweep, "2_job")
    assert "version 9" in sweep.jobs[2].error
    assert all("job.json" in complaints(sweep, f"{n}_job") for n in range(4, 8))
    assert "version 2" in complaints(sweep, "6_job")
    assert "number cannot be understood" in complaints(sweep, "7_job")
    assert [job.number for job in sweep.jobs] == list(range(12))
    assert all("config.yaml is damaged" in complaints(sweep, f"{n}_job") for n in (8, 9))
    assert complaints(sweep, "10_job") == complaints(sweep, "11_job") == ""
    assert all(job.counts for job in sweep.jobs[4:])


def test_scores_that_are_none(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, result_of(None), logged=[0.4])
    for number, value in ((1, "NaN"), (2, '"high"'), (3, "1.5")):
        folder = make_job(tmp_path, number, {"a": 1}, result_of(0.75))
        text = (folder / "result.json").read_text().replace("0.75", value)
        (folder / "result.json").write_text(text)
    wrong = scores_of({"test/a": 500, "test/b": 500})
    folder = make_job(tmp_path, 4, {"a": 1}, result_of(0.5, scores=wrong))
    text = (folder / "result.json").read_text().replace('"value": 0.5', '"value": null', 1)
    (folder / "result.json").write_text(text)
    sweep = read_sweep([tmp_path])
    assert [job.validation for job in sweep.jobs] == [0.4, None, None, None, 0.5]
    statuses = [job.status for job in sweep.jobs]
    assert statuses == ["failed", "failed", "unfinished", "failed", "finished"]
    assert "without a validation score" in sweep.jobs[0].error
    assert not any(job.counts for job in sweep.jobs[:4])
    assert list(sweep.jobs[4].scores) == ["test/b"]
    for number, words in enumerate(
        ("no validation score", "nan", "'high'", "1.5", "a list is None")
    ):
        assert words in complaints(sweep, f"{number}_job")


def test_metrics_that_were_being_written(tmp_path: Path) -> None:
    folder = make_job(tmp_path, 0, {"a": 1}, None, logged=[0.5, 0.25])
    path = folder / "csv" / "version_0" / "metrics.csv"
    path.write_text(path.read_text() + "2,2,nan,\n3,3,7,\n4,4,oops\n5")
    (folder / "csv" / "version_1").mkdir()
    (folder / "csv" / "version_1" / "metrics.csv").write_text("")
    assert read_sweep([tmp_path]).jobs[0].validation == 0.5


def test_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="there is no job in"):
        read_sweep([tmp_path])


def test_a_job_that_never_began_is_told(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, None, told=False)
    sweep = read_sweep([tmp_path])
    assert (sweep.jobs[0].status, sweep.jobs[0].validation) == ("unfinished", None)
    assert "neither a result nor" in complaints(sweep, "0_job")
