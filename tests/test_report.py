"""The whole report: files, table, W&B's summary run, and errors as one line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.report import main
from siamese_oneshot.reports import summary
from siamese_oneshot.reports.groups import group_jobs
from siamese_oneshot.reports.importance import importance_of
from siamese_oneshot.reports.sweep import read_sweep


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in [key for key in os.environ if key.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Six finished jobs, of which two are seeds of one setting; one pruned, one failed, damage."""
    folder = tmp_path / "my sweep"
    for number, (lr, seed, validation) in enumerate(
        (
            (0.1, 0, 0.5),
            (0.01, 0, 0.9),
            (0.01, 1, 0.92),
            (0.001, 0, 0.7),
            (1e-4, 0, 0.4),
            (1.0, 0, 0.1),
        )
    ):
        scores = scores_of({"test/lake_runs": int(1000 * validation)})
        settings = {"optimizer.lr": lr, "seed": seed, "model.act": "=1+1" if number else "null"}
        make_job(folder, number, settings, result_of(validation, seed, scores=scores))
    make_job(folder, 6, {"optimizer.lr": 2.0}, result_of(0.3, status="pruned"))
    make_job(folder, 7, {"optimizer.lr": 3.0}, None, error="ValueError: größer | bad")
    (make_job(folder, 8, {"optimizer.lr": 4.0}, None) / "result.json").write_text("{")
    return folder


def files_below(folder: Path) -> dict[str, int]:
    """Of the jobs' own folders, when each file was last changed."""
    found = [path for job in folder.glob("*_job") for path in (job, *job.rglob("*"))]
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_the_files(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_below(sweep)
    main([str(sweep), "--wandb", "disabled"])
    assert files_below(sweep) == before
    out = sweep / "report"
    names = {"history.png", "importance.png", "parallel_coordinates.png"}
    names |= {"report.md", "jobs.csv", "report.json", "index.html", "runs"}
    assert {path.name for path in out.iterdir()} == names
    printed = capsys.readouterr().out
    # 90 and 92: t(1) = 12.7062 standard errors of 1
    for words in ("9 jobs: 6 finished, 1 pruned, 1 failed, 1 unfinished", "91.00 ± 12.71", "8_job"):
        assert words in printed
    page = (out / "report.md").read_text(encoding="utf-8")
    for words in (
        "| lr=0.01, act==1+1 | 1, 2 | 2 | 91.00 ± 12.71 | 91.00 ± 12.71 |",
        "ValueError: größer \\| bad",
        "![Validation score by job](history.png)",
        "(parallel_coordinates.png)",
        "### left out",
        "python -m siamese_oneshot.report",
        "--wandb disabled",
    ):
        assert words in page

    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert content["version"] == 1
    assert content["statuses"] == {"finished": 6, "pruned": 1, "failed": 1, "unfinished": 1}
    assert content["settings"][0]["jobs"] == [1, 2]
    assert content["settings"][0]["validation"]["value"] == pytest.approx(0.91)
    assert content["jobs"][1]["scores"]["test/lake_runs"]["trials"] == 1000
    assert content["importance"][0]["key"] == "optimizer.lr"
    assert [one["what"] for one in content["left_out"]] == ["8_job"]

    with open(out / "jobs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["optimizer.lr"]) for row in rows] == [0.1, 0.01, 0.01, 1e-3, 1e-4, 1, 2, 3, 4]
    assert [row["validation"] for row in rows] == [
        "0.5", "0.9", "0.92", "0.7", "0.4", "0.1", "0.3", "", "",
    ]  # fmt: skip
    assert [row["status"] for row in rows[5:]] == ["finished", "pruned", "failed", "unfinished"]
    assert (rows[1]["test/lake_runs"], rows[2]["seed"], rows[6]["test/lake_runs"]) == (
        "0.9",
        "1",
        "",
    )
    assert rows[7]["error"] == "ValueError: größer | bad"
    assert rows[1]["model.act"] == "'=1+1", "no spreadsheet runs it"
    assert (rows[0]["model.act"], rows[6]["model.act"]) == ("null", "")


def test_a_second_report_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    for number in range(4):
        make_job(tmp_path / "s", number, {"a": number}, result_of(0.5 + number / 10))
    out = tmp_path / "out"
    main([str(tmp_path / "s"), "--output", str(out), "--wandb", "disabled"])
    assert (out / "importance.png").exists()
    alone = str(tmp_path / "s" / "0_job")
    main([alone, "--output", str(out), "--wandb", "disabled"])
    assert {path.name for path in out.iterdir()} == {
        "history.png", "report.md", "jobs.csv", "report.json", "index.html",
    }  # fmt: skip
    page = (out / "report.md").read_text()
    assert "no ranking of the settings: only 1 job has finished" in page
    assert "importance.png" not in page


def test_a_sweep_of_which_nothing_has_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_job(tmp_path, 0, {"a": 1}, None, told=False)
    main([str(tmp_path), "--wandb", "disabled"])
    assert "No job has finished yet." in capsys.readouterr().out
    assert not (tmp_path / "report" / "history.png").exists()


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "empty")])
    assert str(stopped.value.code).startswith("Error: there is no job in")
    make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5))
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "s"), "--output", str(tmp_path / "file"), "--wandb", "disabled"])
    assert "name another folder with --output" in str(stopped.value.code)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom siamese_oneshot.report import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'wandb', 'matplotlib', 'optuna', 'scipy', 'bokeh', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage:")
    assert done.stdout.rstrip().endswith("[]")


def test_wandb_offline(sweep: Path) -> None:
    main([str(sweep), "--wandb", "auto", "--project", "p"])  # without a login: offline
    (run,) = (sweep / "report" / "wandb").glob("offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    ask = {"capture_output": True, "text": True, "timeout": 60, "check": True}
    lines = subprocess.run(command, **ask).stdout.splitlines()  # type: ignore[call-overload]
    (told,) = [one["run"] for one in map(json.loads, lines) if one["type"] == "run"]
    assert (told["run_group"], told["job_type"], told["project"]) == ("my sweep", "report", "p")
    command.insert(-1, "--summary")
    end = json.loads(subprocess.run(command, **ask).stdout)  # type: ignore[call-overload]
    assert (end["state"], end["exit_code"]) == ("finished", 0)
    figures = end["summary"]
    assert figures["best/validation"] == 0.92
    assert figures["best/validation_mean"] == pytest.approx(0.91)
    assert [figures[f"jobs/{one}"] for one in ("all", "finished", "pruned")] == [9, 6, 1]
    tables = {key for key, one in figures.items() if "table-file" in str(one)}
    assert tables == {"jobs", "settings"}
    assert figures["best/optimizer.lr"] == "0.01"
    for name in ("history", "importance", "parallel_coordinates"):
        assert f"images/{name}" in figures
    (table,) = run.rglob("jobs_*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"][:3] == ["number", "folder", "status"]
    assert len(content["data"]) == 9


def test_a_dead_wandb_is_a_warning(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Dead:
        def log_table(self, *_: Any, **__: Any) -> None:
            raise ConnectionError("the service has died")

    class Run:
        def __enter__(self) -> Dead:
            return Dead()

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(summary, "wandb_run", lambda *_, **__: Run())
    main([str(sweep), "--wandb", "offline"])
    assert "the report is not on W&B: the service has died" in caplog.text
    assert (sweep / "report" / "report.json").exists()


def test_summary_of_a_sweep_without_a_finished_job(tmp_path: Path) -> None:
    make_job(tmp_path, 0, {"a": 1}, None)
    sweep = read_sweep([tmp_path])
    figures = summary.summary_of(sweep, group_jobs(sweep)[0], importance_of(sweep))
    assert figures == {"jobs/all": 1, "jobs/unfinished": 1}
