"""Which code made a result, to the last file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from siamese_oneshot.runs import checkout
from siamese_oneshot.utils.run_info import commit, keep_changes

NEW = "siamese_oneshot/models/mine.py"
Git = Callable[..., str]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one file of the code, not yet a repository."""
    folder = tmp_path / "code"
    file = folder / "siamese_oneshot" / "tracking" / "checkout.py"
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    monkeypatch.setattr(checkout, "__file__", str(file))
    monkeypatch.setattr(checkout, "_ROOT", folder)
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
    tracked, new = code / "siamese_oneshot/utils/git_info.py", code / NEW
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
