"""Which file a name, a folder or a path stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_oneshot.runs.checkpoint import PRETRAINED, find_weights, runs_in
from siamese_oneshot.utils.errors import UserError


def checkpoint(run: Path, name: str = "best.ckpt") -> Path:
    path = run / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_best_checkpoint_else_the_last(tmp_path: Path) -> None:
    last = checkpoint(tmp_path, "last.ckpt")
    assert find_weights(tmp_path) == last
    best = checkpoint(tmp_path)
    assert find_weights(tmp_path) == best
    assert find_weights(last) == last


@pytest.mark.parametrize("result", ["{}", '{"version": 1, "checkpoint": 5}', "\x00"])
def test_a_damaged_result_says_nothing(tmp_path: Path, result: str) -> None:
    best = checkpoint(tmp_path)
    (tmp_path / "result.json").write_text(result)
    assert find_weights(tmp_path) == best


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("pretraned", "Did you mean pretrained"),
        ("nowhere/at/all", "no network at"),
        ("notes.txt", r"neither a \.ckpt nor"),
        ("folder", r"no checkpoints/best\.ckpt"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("notes.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        find_weights(where)


def test_runs_of_a_sweep_are_found_in_order(tmp_path: Path) -> None:
    for name in ("2_seed=2", "0_seed=0", "10_seed=1"):
        checkpoint(tmp_path / name)
    (tmp_path / "3_failed" / "checkpoints").mkdir(parents=True)
    assert [run.name for run in runs_in(tmp_path)] == ["0_seed=0", "10_seed=1", "2_seed=2"]
    assert runs_in(tmp_path / "0_seed=0") == [tmp_path / "0_seed=0"]


def test_packaged_weights_are_small() -> None:
    assert sum(find_weights(name).stat().st_size for name in PRETRAINED) <= 4 * 2**20
