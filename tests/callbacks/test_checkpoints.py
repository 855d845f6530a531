"""Checkpoint files: a predecessor is kept, damage is noticed, nothing is executed."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_siamese import STEPS, Data, configured, module, trainer

from siamese_oneshot.callbacks import checkpoints
from siamese_oneshot.callbacks.checkpoints import (
    AtomicCheckpointIO,
    BestCheckpoint,
    checkpoint_exists,
    read_checkpoint,
    write_checkpoint,
)
from siamese_oneshot.models.optimizers import adam
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import previous


def state(number: int) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(number)
    return {"state_dict": {"w": torch.randn(500, generator=rng)}, "global_step": number}


def write(path: Path, count: int) -> Path:
    """Write this many checkpoints, one after another."""
    for number in range(count):
        write_checkpoint(state(number), path)
    return path


def steps_of(path: Path) -> list[int]:
    return [read_checkpoint(file)["global_step"] for file in (path, previous(path))]


@pytest.mark.parametrize("hard_links", [True, False])
def test_one_predecessor_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    path = write(tmp_path / "checkpoints" / "last.ckpt", 3)
    assert sorted(p.name for p in path.parent.iterdir()) == ["last.ckpt", "last.previous.ckpt"]
    assert steps_of(path) == [2, 1]


def test_every_flipped_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "last.ckpt", 1)
    content = path.read_bytes()
    start = content.index(state(0)["state_dict"]["w"].numpy().tobytes())
    for index in range(start, start + 2000, 97):
        path.write_bytes(content[:index] + bytes([content[index] ^ 8]) + content[index + 1 :])
        with pytest.raises(UserError, match=r"checksum.*there is no previous checkpoint"):
            read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>" * 99, None])
def test_the_predecessor_replaces_a_damaged_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = write(tmp_path / "last.ckpt", 2)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert checkpoint_exists(path)
    with caplog.at_level(logging.WARNING):
        assert AtomicCheckpointIO().load_checkpoint(path)["global_step"] == 0
    assert "loading the previous checkpoint" in caplog.text
    assert read_checkpoint(path)["global_step"] == 0, "on disk, too"
    assert (tmp_path / "last.damaged.ckpt").exists() is (content is not None)
    write_checkpoint(state(5), path)
    assert steps_of(path) == [5, 0], "the damaged file is not kept as predecessor"


def test_only_the_first_process_repairs_and_all_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "last.ckpt", 2)
    path.write_bytes(b"x")
    load = checkpoints.load_checkpoint

    def load_late(file: Path) -> dict[str, Any]:
        """Load in the second process; the first repairs before the predecessor is loaded."""
        if file == previous(path) and file.exists():
            monkeypatch.setattr(checkpoints, "load_checkpoint", load)
            monkeypatch.setenv("LOCAL_RANK", "0")
            assert read_checkpoint(path)["global_step"] == 0
            monkeypatch.setenv("LOCAL_RANK", "1")
        return load(file)

    monkeypatch.setenv("LOCAL_RANK", "1")
    assert read_checkpoint(path)["global_step"] == 0
    assert path.read_bytes() == b"x", "the second process changes nothing"
    monkeypatch.setattr(checkpoints, "load_checkpoint", load_late)
    assert read_checkpoint(path)["global_step"] == 0
    assert not previous(path).exists()
    assert (tmp_path / "last.damaged.ckpt").read_bytes() == b"x"


def test_two_damaged_files_end_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"x")
    previous(path).write_bytes(b"y")
    with pytest.raises(UserError, match="start again in another folder"):
        read_checkpoint(path)
    assert path.read_bytes() == b"x"


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_a_pickle_that_would_execute_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "x": Hostile()}, tmp_path / "zipped.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"state_dict": Hostile()}))
    for name in ("zipped", "plain"):
        with pytest.raises(UserError, match="cannot be read"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "last.ckpt", 2)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(state(2), path)
    monkeypatch.undo()
    assert steps_of(path) == [1, 0]
    assert len([*tmp_path.iterdir()]) == 2


def constant(layers: Any, total_steps: int) -> Any:
    return adam(layers, total_steps, lr=0.0)


def test_last_is_the_last_epoch_and_best_the_first_of_equal_ones(
    data: Data, tmp_path: Path
) -> None:
    best, _, last = configured(tmp_path)
    trainer([best, last], max_epochs=3).fit(module(make_optimizer=constant), data())
    steps = [read_checkpoint(tmp_path / f"{n}.ckpt")["global_step"] for n in ("best", "last")]
    assert steps == [STEPS, 3 * STEPS]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_several_best_checkpoints_have_names_of_their_own(data: Data, tmp_path: Path) -> None:
    options: dict[str, Any] = {"monitor": "val/verification_auroc", "mode": "max"}
    best = BestCheckpoint(str(tmp_path), save_top_k=2, **options)
    trainer([best], max_epochs=4).fit(module(), data())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(Path(path).name for path in best.best_k_models)
    assert len(names) == 2
    assert all(name.startswith("best_step=0000") for name in names)


def test_the_state_of_the_best_survives_a_move_but_not_its_loss(data: Data, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    best = BestCheckpoint(str(old), monitor="val/one_shot_error")
    trainer([best]).fit(module(), data())
    state_dict = best.state_dict()
    assert state_dict["best_model_path"] == "best.ckpt"
    moved = BestCheckpoint(str(new), monitor="val/one_shot_error")
    moved.load_state_dict(state_dict)
    assert moved.best_model_path == "", "it is not there: the next one is the best"
    old.rename(new)
    moved.load_state_dict(state_dict)
    assert moved.best_model_path == str(new / "best.ckpt")
    assert moved.best_model_score == best.best_model_score
