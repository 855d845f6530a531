"""The command, code, packages and machine that a result records."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from siamese_oneshot.utils import run_info
from siamese_oneshot.utils.run_info import (
    commit,
    environment,
    keep_changes,
    machine,
    of_training,
)

NEW = "siamese_oneshot/models/mine.py"
Git = Callable[..., str]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one file of the code, not yet a repository."""
    folder = tmp_path / "code"
    file = folder / "siamese_oneshot" / "utils" / "run_info.py"
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    monkeypatch.setattr(run_info, "__file__", str(file))
    monkeypatch.setattr(run_info, "_ROOT", folder)
    return folder


@pytest.fixture
def git(code: Path) -> Git:
    def call(*words: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *words], cwd=code, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return call


def test_code_that_no_repository_tracks_has_no_commit(code: Path, git: Git, tmp_path: Path) -> None:
    assert (commit(), keep_changes(tmp_path)) == (None, None), "outside a repository"
    git("init")
    git("commit", "--allow-empty", "-m", "another project's")
    assert (commit(), keep_changes(tmp_path)) == (None, None), "installed inside another's"


def test_changes_and_new_files_are_told_and_can_be_applied(
    code: Path, git: Git, tmp_path: Path
) -> None:
    git("init")
    git("add", ".")
    git("commit", "-m", "ours")
    (code / "notes.txt").write_text("no code\n")
    assert (commit(), keep_changes(tmp_path)) == (git("rev-parse", "HEAD"), None)
    tracked, new = code / "siamese_oneshot/utils/run_info.py", code / NEW
    new.parent.mkdir()
    new.write_text("3\n")
    assert commit() == git("rev-parse", "HEAD") + "+", "a new file acts, too"
    tracked.write_text("2\n")
    assert commit() == git("rev-parse", "HEAD") + "+"
    kept = keep_changes(tmp_path)
    assert kept == tmp_path / "changes.patch"
    git("checkout", str(tracked))
    new.unlink()
    git("apply", str(kept))
    assert (tracked.read_text(), new.read_text()) == ("2\n", "3\n")


def test_environment_and_machine_are_plain_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "name=two words", "data.alphabets=[a,b]"])
    facts = {**environment(), **machine()}
    assert json.loads(json.dumps(facts)) == facts
    assert facts["packages"]["torch"].startswith("2.")
    assert facts["threads"] == torch.get_num_threads()
    command = shlex.split(facts["command"])
    assert command[:3] == ["python", "-m", "siamese_oneshot.train"]
    assert command[-2:] == ["name=two words", "data.alphabets=[a,b]"], "the command can be pasted"


def test_overrides_that_change_what_is_learned() -> None:
    overrides = [
        "optimizer.lr=1", "+experiment=paper", "seed=3", "logger=none", "logger.wandb.mode=offline",
        "optimizer.lr=1e-3", "data.root=here", "~callbacks.ema", "callbacks.validation_plots=null",
        "hydra/launcher=joblib", "hydra.run.dir=x", "++test=false", "callbacks.throughput.x=1",
        "data.rooted=1", "trust=[mine]",
    ]  # fmt: skip
    learned = ["optimizer.lr=1e-3", "+experiment=paper", "~callbacks.ema", "data.rooted=1"]
    assert of_training(overrides) == learned


def test_a_repository_that_git_does_not_trust_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message = b"fatal: detected dubious ownership in repository at '/code'"
    refusal = subprocess.CompletedProcess([], 128, b"", message)
    monkeypatch.setattr(subprocess, "run", lambda *line, **options: refusal)
    assert commit() is None
    (record,) = caplog.records
    assert "git config --global --add safe.directory" in record.getMessage()
    refusal.stderr = b"fatal: not a git repository"
    assert commit() is None
    assert len(caplog.records) == 1
