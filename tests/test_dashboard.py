"""The dashboard's definition without a server, against what a run really logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import wandb
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny import BATCHES, TINY
from wandb_files import ReadBack, parts_of, without_account

from siamese_oneshot.cli import conf_dir
from siamese_oneshot.dashboard import main
from siamese_oneshot.runs.job import Job

pytest.importorskip("wandb_workspaces", reason='pip install -e ".[dashboard]"')


def dry_run(capsys: pytest.CaptureFixture[str], *line: str) -> dict:
    main([*line, "--dry-run"])
    return json.loads(capsys.readouterr().out)


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path):
    with without_account(tmp_path) as patch:
        yield patch


def test_the_definition_has_its_sections(capsys: pytest.CaptureFixture[str]) -> None:
    made = dry_run(capsys, "--project", "p", "--entity", "e")
    found = made["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    assert [one["name"] for one in found if one["panels"]] == [
        "Test results", "Learning", "Mistakes", "Speed", "Sweep",
    ]  # fmt: skip
    kinds = {panel["viewType"] for one in found for panel in one["panels"]}
    assert {"Run History Line Plot", "Bar Chart", "Parallel Coordinates Plot"} <= kinds
    assert {"Parameter Importance", "Media Browser", "Run Comparer"} <= kinds
    for one in (one for one in found if one["panels"]):  # none is on a second page
        grid = one["flowConfig"]
        assert grid["columnsPerPage"] * grid["rowsPerPage"] >= len(one["panels"])
    headings = [b for b in made["report"]["spec"]["blocks"] if b["type"] == "heading"]
    assert len(headings) == 5


def test_every_name_is_logged_by_a_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, no_account: pytest.MonkeyPatch
) -> None:
    """A tiny training logs the history; the end of one on Omniglot is logged by hand."""
    from made_jobs import result_of, scores_of
    from wandb_files import wandb_run

    from siamese_oneshot.cli import run_hydra
    from siamese_oneshot.loggers.run_summary import log_result
    from siamese_oneshot.train import train_task

    names = dry_run(capsys)["names"]
    line = [word for word in [*TINY, *BATCHES] if word != "logger=none"]
    line += ["sampler.steps_per_epoch=2", "trainer.max_steps=2", "test=false",
             f"hydra.run.dir={tmp_path}/run"]  # fmt: skip
    run_hydra(train_task, argv=line)
    capsys.readouterr()  # what the training printed
    keys = ("lake_runs", "within_alphabet", "cross_alphabet", "verification")
    scores = scores_of({f"test/{key}": 900 for key in keys})
    with wandb_run(tmp_path / "end", {}, project="p") as logger:
        log_result([logger], result_of(0.9, scores=scores), tmp_path)
    capsys.readouterr()
    trained, ended = (ReadBack(*parts_of(tmp_path / name)) for name in ("run", "end"))
    history = {
        key.partition(".")[0] for back in (trained, ended) for row in back.history for key in row
    }
    known = history | trained.summary.keys()  # what never changes, as l2, has no curve
    assert set(names["history"]) <= known
    assert set(names["summary"]) <= trained.summary.keys() | ended.summary.keys()
    for pattern in names["patterns"]:
        assert [name for name in known if re.search(pattern, name)], pattern


def test_every_setting_is_one_of_the_default_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config")
    for name in dry_run(capsys)["names"]["config"]:
        assert OmegaConf.select(cfg, name, throw_on_missing=True) is not None, name


def test_a_sweeps_own_settings_are_the_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    swept = ["optimizer.warmup", "seed"]
    Job(0, ["optimizer.warmup=0.1", "seed=1"], swept).write(tmp_path / "s" / "0_job")
    assert dry_run(capsys, str(tmp_path / "s"))["names"]["config"] == ["optimizer.warmup"]
    with pytest.raises(SystemExit, match="holds no jobs"):
        main([str(tmp_path), "--dry-run"])


def unreachable(**options: object) -> None:
    """W&B's client, which itself tries for twenty seconds."""
    raise wandb.errors.CommError("no answer")


def test_what_is_missing_is_a_line(no_account: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="not logged in to W&B: run `wandb login`"):
        main([])
    no_account.setenv("WANDB_API_KEY", "0" * 40)
    no_account.setattr(wandb, "Api", unreachable)
    for line in ([], ["--entity", "me"]):
        with pytest.raises(SystemExit, match=r"Error: W&B .*: no answer"):
            main(line)
    no_account.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install -e '?\"?\.\[dashboard\]"):
        main(["--dry-run"])
