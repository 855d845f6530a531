"""What a result must say so that it can be repeated."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from siamese_oneshot.tracking import machine as module
from siamese_oneshot.tracking.machine import keep_changes, machine


def test_the_machine_is_plain() -> None:
    found = machine()
    assert found["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(found)) == found


def test_changes_of_the_code_are_kept_so_that_they_can_be_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, run = tmp_path / "code", tmp_path / "run"
    file = code / "siamese_oneshot" / "tracking" / "machine.py"
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    monkeypatch.setattr(module, "__file__", str(file))

    def git(*words: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=code, capture_output=True, check=True)

    assert keep_changes(run) is None, "outside a repository"
    git("init")
    git("commit", "--allow-empty", "-m", "another project's")
    assert keep_changes(run) is None, "in a repository that is not ours"
    git("add", ".")
    git("commit", "-m", "ours")
    assert keep_changes(run) is None, "nothing differs"
    file.write_text("2\n")
    kept = keep_changes(run)
    assert kept == run / "changes.patch"
    git("checkout", "siamese_oneshot/tracking/machine.py")
    git("apply", str(kept))
    assert file.read_text() == "2\n"
