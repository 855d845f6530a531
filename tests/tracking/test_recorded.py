from __future__ import annotations

from pathlib import Path

import pytest

from siamese_oneshot.tracking.recorded import of_training, with_recorded

LINE = [
    "optim.lr=1", "+experiment=paper", "seed=3", "logger=none", "logger.mode=offline",
    "optim.lr=1e-3", "data.root=here", "~callbacks.averaging", "callbacks.album=null",
    "hydra/launcher=joblib", "hydra.run.dir=x", "++test=false", "callbacks.watch.x=1",
    "data.rooted=1",
]  # fmt: skip
LEARNED = ["optim.lr=1e-3", "+experiment=paper", "~callbacks.averaging", "data.rooted=1"]


def test_what_says_what_is_learned() -> None:
    assert of_training(LINE) == LEARNED


def a_run(folder: Path, overrides: str) -> Path:
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    (folder / ".hydra" / "config.yaml").write_text("name: paper\nseed: 3\ndata: {split: koch}\n")
    return folder


def test_a_folder_says_what_a_checkpoint_does_not(tmp_path: Path) -> None:
    run = a_run(tmp_path, "".join(f"- {one}\n" for one in LINE))
    assert with_recorded({}, run) == {
        "experiment": "paper", "seed": 3, "split": "koch", "overrides": LEARNED,
    }  # fmt: skip
    assert with_recorded({"seed": 1}, run) == {"seed": 1, "overrides": LEARNED}
    known = {"seed": 1, "overrides": ["a=1"]}
    assert with_recorded(known, run) == known


@pytest.mark.parametrize("text", ["a: [", "5", "\x00"])
def test_damaged_overrides_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    assert with_recorded({"seed": 1}, a_run(tmp_path, text)) == {"seed": 1}
    assert "overrides.yaml cannot be read" in caplog.text


def test_no_folder_of_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert with_recorded({}, tmp_path) == {}
    assert "not known on which split" in caplog.text
