from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from siamese_oneshot.bench import sweep


def test_jobs_find_the_data_from_where_the_command_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relative root, and the places that are looked in without one; else there are no jobs."""
    told = []
    monkeypatch.setattr(subprocess, "run", lambda line, **how: told.append((line, how)))
    for root in (None, Path("../omniglot")):
        sweep._command(SimpleNamespace(root=root), [])()
    for line, how in told:
        assert "cwd" not in how
        assert "data.fallback=null" in line
        (folder,) = [one for one in line if one.startswith("hydra.sweep.dir=")]
        assert Path(folder.partition("=")[2]).is_absolute()
    assert "data.root=../omniglot" not in told[0][0]
    assert "data.root=../omniglot" in told[1][0]
