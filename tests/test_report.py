"""The whole report: files, table, and errors as one line."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from made_jobs import make_job, result_of, scores_of

from siamese_oneshot.report import main


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Ten finished jobs, of which two are seeds of one setting; one pruned, one failed, damage."""
    folder = tmp_path / "my sweep"
    rows = [(0.1, 0, 0.5), (0.01, 0, 0.9), (0.01, 1, 0.92), (0.001, 0, 0.7), (1e-4, 0, 0.4)]
    rows += [(1.0, 0, 0.1), (2.0, 0, 0.2), (3.0, 0, 0.3), (5.0, 0, 0.15), (6.0, 0, 0.05)]
    for number, (lr, seed, validation) in enumerate(rows):
        scores = scores_of({"test/lake_runs": int(1000 * validation)})
        settings = {"optimizer.lr": lr, "seed": seed, "model.act": "=1+1" if number else "null"}
        make_job(folder, number, settings, result_of(validation, seed, scores=scores))
    make_job(folder, 10, {"optimizer.lr": 2.0}, result_of(0.3, status="pruned"))
    make_job(folder, 11, {"optimizer.lr": 3.0}, None, error="ValueError: größer | bad")
    (make_job(folder, 12, {"optimizer.lr": 4.0}, None) / "result.json").write_text("{")
    return folder


def files_below(folder: Path) -> dict[str, int]:
    """When each file of the jobs' folders was last changed."""
    found = [path for job in folder.glob("*_job") for path in (job, *job.rglob("*"))]
    return {str(path): path.stat().st_mtime_ns for path in found}


def test_the_files(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_below(sweep)
    main([str(sweep)])
    assert files_below(sweep) == before
    out = sweep / "report"
    names = {"report.md", "jobs.csv", "index.html", "runs"}
    assert {path.name for path in out.iterdir()} == names
    printed = capsys.readouterr().out
    # 90 and 92: t(1) = 12.7062 standard errors of 1
    counts = "13 jobs: 10 finished, 1 pruned, 1 failed, 1 unfinished"
    for words in (counts, "91 ± 13", "12_job"):
        assert words in printed
    assert printed.splitlines()[1].startswith(
        "Best validation score: lr=0.01, act==1+1 (jobs 1, 2)"
    )
    page = (out / "report.md").read_text(encoding="utf-8")
    for words in (
        "| lr=0.01, act==1+1 | 91 ± 13 | 2 | 1, 2 | 91 ± 13 |",
        "ValueError: größer \\| bad",
        "Charts: index.html",
        "### Importance of the settings",
        "### Left out",
        "python -m siamese_oneshot.report",
    ):
        assert words in page

    with open(out / "jobs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rates = [0.1, 0.01, 0.01, 1e-3, 1e-4, 1, 2, 3, 5, 6, 2, 3, 4]
    assert [float(row["optimizer.lr"]) for row in rows] == rates
    assert [row["val_accuracy"] for row in rows[:3] + rows[10:]] == [
        "0.5", "0.9", "0.92", "0.3", "", "",
    ]  # fmt: skip
    assert [row["status"] for row in rows[9:]] == ["finished", "pruned", "failed", "unfinished"]
    scores = [rows[1]["test/lake_runs"], rows[1]["test/lake_runs_n"], rows[10]["test/lake_runs"]]
    assert scores == ["0.9", "1000", ""]
    assert rows[2]["seed"] == "1"
    assert rows[11]["error"] == "ValueError: größer | bad"
    assert rows[1]["model.act"] == "'=1+1", "no spreadsheet runs it"
    assert (rows[0]["model.act"], rows[10]["model.act"]) == ("null", "")


def test_no_heading_begins_like_a_formula(tmp_path: Path) -> None:
    for number in range(2):
        make_job(tmp_path / "s", number, {"@a": number, "\tb": number}, result_of(0.5))
    main([str(tmp_path / "s")])
    with open(tmp_path / "s" / "report" / "jobs.csv", encoding="utf-8", newline="") as file:
        headings = next(csv.reader(file))
    assert {"'@a", "'\ufffdb"} <= set(headings)
    assert not {"@a", "\tb"} & set(headings)


def test_no_control_character_reaches_a_page_or_a_table(tmp_path: Path) -> None:
    for number in range(2):
        make_job(tmp_path / "s", number, {"model.act": f"a\x1b]0;b\x07{number}"}, result_of(0.5))
    main([str(tmp_path / "s")])
    for name in ("jobs.csv", "index.html"):
        text = (tmp_path / "s" / "report" / name).read_text()
        assert "a\ufffd]0;b\ufffd1" in text
        assert not {"\x1b", "\x07"} & set(text)


def test_a_sweep_of_which_nothing_has_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_job(tmp_path, 0, {"a": 1}, None, job_json=False)
    main([str(tmp_path)])
    assert "No job has finished yet." in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").exists()


def test_the_report_of_one_run_is_its_verdict_and_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = scores_of({"test/lake_runs": 300}, n=400)
    folder = make_job(tmp_path, 0, {"a": 1}, result_of(0.5, scores=scores))
    main([str(folder)])
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].startswith("75.00% (95% interval 70.5-79.0) on lake_runs list")
    assert "below the paper's 92.0%" in printed
    assert "finished after 100 steps" in printed
    assert "Importance" not in printed
    assert "over seeds" not in printed


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "empty")])
    assert str(stopped.value.code).startswith("Error: there is no run in")
    make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5))
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "s"), "--output", str(tmp_path / "file")])
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


@pytest.fixture
def three_jobs(tmp_path: Path) -> Path:
    for number, status in enumerate(("finished", "finished", "pruned")):
        result = result_of(0.9 + 0.02 * number, status=status)
        make_job(tmp_path / "s", number, {"optimizer.lr": 0.1**number}, result)
    return tmp_path / "s"


def test_watch_writes_the_pages_again_until_it_is_stopped(
    three_jobs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser loads them again after as many seconds; jobs that have ended since are on them."""
    page = three_jobs / "report" / "index.html"
    seen: list[tuple[float, str]] = []

    def wait(seconds: float) -> None:
        seen.append((seconds, page.read_text(encoding="utf-8")))
        if len(seen) == 2:
            raise KeyboardInterrupt
        make_job(three_jobs, 3, {"optimizer.lr": 7.5}, result_of(0.95))

    monkeypatch.setattr("siamese_oneshot.report.time", Mock(sleep=wait))
    with pytest.raises(SystemExit) as stopped:
        main([str(three_jobs), "--watch", "20"])
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    (first, before), (second, after) = seen
    assert (first, second) == (20, 20)
    for text in (before, after):
        assert '<meta http-equiv="refresh" content="20">' in text
    assert ("4 jobs: " in before, "4 jobs: " in after) == (False, True)
    main([str(three_jobs)])
    assert 'http-equiv="refresh"' not in page.read_text(encoding="utf-8")
