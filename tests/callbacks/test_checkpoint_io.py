"""Checkpoint files: one generation kept, damage noticed, nothing run."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from siamese_oneshot.callbacks.checkpoint_io import (
    AtomicCheckpointIO,
    read_checkpoint,
    there_is,
    write_checkpoint,
)
from siamese_oneshot.training import checkpoint_io
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import previous


def state(number: int) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(number)
    return {"state_dict": {"w": torch.randn(500, generator=rng)}, "global_step": number}


def test_the_one_before_is_kept_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    for number in range(3):
        write_checkpoint(state(number), path)
    assert sorted(one.name for one in path.parent.iterdir()) == ["last.ckpt", "last.previous.ckpt"]
    assert read_checkpoint(path)["global_step"] == 2
    assert read_checkpoint(previous(path))["global_step"] == 1


def test_every_flipped_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(state(0), path)
    whole = path.read_bytes()
    start = whole.index(state(0)["state_dict"]["w"].numpy().tobytes())
    for place in range(start, start + 2000, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 8]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"checksum.*there is none before it"):
            read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>" * 99, None])
def test_the_one_before_takes_its_place_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(2):
        write_checkpoint(state(number), path)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert there_is(path)
    with caplog.at_level(logging.WARNING):
        assert AtomicCheckpointIO().load_checkpoint(path)["global_step"] == 0
    assert "going back to the one before it" in caplog.text
    assert read_checkpoint(path)["global_step"] == 0, "on the disk, too"
    assert (tmp_path / "last.damaged.ckpt").exists() is (content is not None)
    write_checkpoint(state(5), path)
    assert read_checkpoint(previous(path))["global_step"] == 0, "the damaged one is not kept"


def test_of_several_processes_the_first_mends_and_all_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(2):
        write_checkpoint(state(number), path)
    path.write_bytes(b"x")
    load = checkpoint_io._load

    def second(one: Path) -> dict[str, Any]:
        """Reads; but before it comes to the one before, the first process has mended."""
        if one == previous(path) and one.exists():
            monkeypatch.setattr(checkpoint_io, "_load", load)
            monkeypatch.setenv("LOCAL_RANK", "0")
            assert read_checkpoint(path)["global_step"] == 0
            monkeypatch.setenv("LOCAL_RANK", "1")
        return load(one)

    monkeypatch.setenv("LOCAL_RANK", "1")
    assert read_checkpoint(path)["global_step"] == 0
    assert path.read_bytes() == b"x", "left to the first"
    monkeypatch.setattr(checkpoint_io, "_load", second)
    assert read_checkpoint(path)["global_step"] == 0
    assert not previous(path).exists()
    assert (tmp_path / "last.damaged.ckpt").read_bytes() == b"x"


def test_where_both_are_damaged_the_message_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"x")
    previous(path).write_bytes(b"y")
    with pytest.raises(UserError, match="start anew in another folder"):
        read_checkpoint(path)
    assert path.read_bytes() == b"x"


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_a_pickle_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "x": Hostile()}, tmp_path / "zipped.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"state_dict": Hostile()}))
    for name in ("zipped", "plain"):
        with pytest.raises(UserError, match="cannot be read"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_writing_that_fails_leaves_both_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    for number in range(2):
        write_checkpoint(state(number), path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(state(2), path)
    monkeypatch.undo()
    assert [read_checkpoint(one)["global_step"] for one in (path, previous(path))] == [1, 0]
    assert len([*tmp_path.iterdir()]) == 2


def test_without_hard_links_the_one_before_is_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "last.ckpt"
    for number in range(3):
        write_checkpoint(state(number), path)
    assert [read_checkpoint(one)["global_step"] for one in (path, previous(path))] == [2, 1]
