"""What a run was asked for is found again, and what would make its scores wrong is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from siamese_oneshot.runs import record
from siamese_oneshot.utils.errors import UserError

LINE = ["optimizer.lr=1e-3", "data.root='a folder, x=1'", "+sweep=optimizer"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A recorded run; every file says the same."""
    cfg = OmegaConf.create({"optimizer": {"lr": 1e-3}, "seed": 0, "size": "${seed}"})
    hydra = OmegaConf.create({"overrides": {"task": LINE}, "mode": "RUN"})
    record.write_record(tmp_path, cfg, hydra)
    for name in ("job.json", "result.json"):
        (tmp_path / name).write_text(json.dumps({"overrides": LINE}))
    (tmp_path / "checkpoints").mkdir()
    state = {
        "state_dict": {},
        "exact_resume": {"legs": [{"overrides": ["old=1"]}, {"overrides": LINE}]},
    }
    torch.save(state, tmp_path / "checkpoints" / "last.ckpt")
    return tmp_path


def test_the_files_are_those_that_hydra_writes(run: Path) -> None:
    resolved = OmegaConf.load(run / "config.yaml")
    assert resolved == {"optimizer": {"lr": 1e-3}, "seed": 0, "size": 0}
    plain = OmegaConf.to_container(OmegaConf.load(run / ".hydra/config.yaml"), resolve=False)
    assert plain["size"] == "${seed}"  # type: ignore[index, call-overload]
    assert OmegaConf.load(run / ".hydra/hydra.yaml").hydra.mode == "RUN"
    assert OmegaConf.to_container(OmegaConf.load(run / ".hydra/overrides.yaml")) == LINE


SOURCES = [
    ".hydra/overrides.yaml",
    "config.yaml",
    "job.json",
    "result.json",
    "checkpoints/last.ckpt",
]


@pytest.mark.parametrize("lost", range(len(SOURCES)))
@pytest.mark.parametrize(
    "lose",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x00\xff["),
        lambda path: path.write_text("- &x a=1\n- *x\n"),
        lambda path: (path.unlink(), os.mkfifo(path)),  # who opens it waits for a writer
    ],
    ids=["missing", "empty", "damaged", "aliases", "pipe"],
)
def test_the_overrides_are_in_every_file(
    run: Path, lost: int, lose: Callable[[Path], object]
) -> None:
    for name in SOURCES[:lost]:
        lose(run / name)
    assert record.recorded_overrides(run) == LINE


def test_a_folder_that_has_none_of_them_is_no_run(run: Path) -> None:
    for name in (*SOURCES[1:], ".hydra"):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match="is not the folder of a run"):
        record.recorded_overrides(run)


def test_an_override_of_several_lines_is_read_from_another_file(run: Path) -> None:
    (run / ".hydra/overrides.yaml").unlink()
    (run / "config.yaml").write_text("# python -m siamese_oneshot.train 'a=\n1'\n")
    assert record.recorded_overrides(run) == LINE


METADATA = {"data_digest": "ab", "split": "lake", "val_alphabets": ["Latin"], "seed": 0}


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("data_digest", "cd", "data"),
        ("split", "vinyals", "data.split"),
        ("val_alphabets", None, "data.val_alphabets"),
        ("seed", 1, "seed"),
    ],
)
def test_a_run_keeps_its_images_split_and_seed(name: str, value: object, key: str) -> None:
    with pytest.raises(UserError, match=f"^{key}: last.ckpt was trained with"):
        record.check_identity(METADATA, {**METADATA, name: value}, Path("last.ckpt"))


def test_equal_or_unknown_metadata_are_no_obstacle() -> None:
    now = {**METADATA, "commit": "another"}
    record.check_identity(METADATA, now, Path("last.ckpt"))
    record.check_identity({}, now, Path("last.ckpt"))


def test_settings_that_are_learned_with_are_compared_by_key() -> None:
    first, second = (
        OmegaConf.create(
            {
                "a": {"b": [1, 2], "c": c, "d": {}},
                "seed": seed,
                "data": {"root": str(seed), "n": "${seed}"},
            }
        )
        for c, seed in ((1, 0), (None, 5))
    )
    assert record.settings_of(first) == {"a.b": [1, 2], "a.c": 1, "a.d": {}, "data.n": "${seed}"}
    changes = record.differences(record.settings_of(first), record.settings_of(second))
    assert changes == {"a.c": "1 → null"}
    assert record.differences({"a": 1}, {"b": 2}) == {"a": "1 → null", "b": "null → 2"}
