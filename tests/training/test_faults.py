"""A loss that is not finite, a full disk, a damaged checkpoint."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kills import LINE, differences, finish, hold, kill, needs_fork, resume, start, wait_until

from siamese_oneshot.runs.result import read_result

pytestmark = needs_fork


def last(folder: Path) -> dict[str, object]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def poisoned(folder: Path, step: int) -> None:
    """A run whose weights become NaN after a step."""
    poison = ["+callbacks.poison._target_=stoppers.Poison", f"+callbacks.poison.step={step}"]
    rare = "trainer.log_every_n_steps=7"  # the next step is not checked
    every_step = "callbacks.last_checkpoint.every_n_minutes=0"
    text = finish(start(folder, *LINE, *poison, rare, every_step), folder, 1)
    advice = f"not finite at step {step}: lower the learning rate (now up to"
    assert advice in text.replace("\n", " ")
    assert "Traceback" not in text
    assert read_result(folder).status == "failed"
    assert last(folder)["global_step"] == step - 1
    for name in ("state_dict", "current_model_state"):
        assert all(one.isfinite().all() for one in last(folder)[name].values())  # type: ignore[attr-defined]


def test_nan_weights_at_the_end_of_an_epoch_reach_no_checkpoint(tmp_path: Path) -> None:
    poisoned(tmp_path / "run", 8)


def test_nan_weights_end_a_run_that_can_be_resumed(uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    poisoned(folder, 6)
    shutil.rmtree(folder / "csv")  # it has every seventh step only
    text = finish(resume(folder, "callbacks.poison=null", "trainer.log_every_n_steps=1"), folder)
    assert "resuming from" in text
    found = differences(uninterrupted, folder)
    assert [line for line in found if not line.startswith("history")] == []


def middle_of_the_largest(path: Path) -> int:
    """Offset of a byte of weights; padding between the members of the archive has no checksum."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = max(archive.infolist(), key=lambda info: info.file_size)
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        return member.header_offset + 30 + name + extra + member.file_size // 2


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed after ten steps, with the checkpoints of two epochs."""
    folder = tmp_path_factory.mktemp("faults") / "killed"
    process = start(folder, *LINE, *hold(10))
    wait_until(process, (folder / "held").exists)
    kill(process)
    assert last(folder)["global_step"] == 8
    return folder


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "missing"])
def test_a_damaged_checkpoint_is_replaced_by_its_predecessor(
    uninterrupted: Path, killed: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(killed, tmp_path / "run")
    newest = folder / "checkpoints" / "last.ckpt"
    content = newest.read_bytes()
    if damage == "truncated":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "bit flipped":
        offset = middle_of_the_largest(newest)
        newest.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
    else:
        newest.unlink()
    text = finish(resume(folder, "callbacks.hold=null"), folder).replace("\n", " ")
    assert "loading the previous checkpoint" in text
    assert differences(uninterrupted, folder) == []


def test_a_damaged_best_checkpoint_is_replaced_by_its_predecessor(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(start(folder, *LINE, "optimizer.lr=1e-2", "trainer.max_steps=40"), folder)
    best = folder / "checkpoints" / "best.ckpt"
    before = torch.load(best.with_name("best.previous.ckpt"), weights_only=True)["global_step"]
    best.write_bytes(best.read_bytes()[:-1000])
    text = finish(resume(folder), folder).replace("\n", " ")
    assert "loading the previous checkpoint" in text
    assert torch.load(best, weights_only=True)["global_step"] == before
    assert read_result(folder).status == "finished"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("reader", ["terminal", "pipe", "full log disk"])
def test_whoever_reads_the_output_may_go_away(
    uninterrupted: Path, tmp_path: Path, reader: str
) -> None:
    folder = tmp_path / "run"
    if reader == "terminal":
        end, output = pty.openpty()
    elif reader == "pipe":
        end, output = os.pipe()
    else:
        end = output = os.open("/dev/full", os.O_WRONLY)
    process = start(folder, *LINE, *hold(6), output=output)
    wait_until(process, (folder / "held").exists)
    for one in {end, output}:
        os.close(one)
    (folder / "held").unlink()
    assert process.wait(300) == 0
    assert differences(uninterrupted, folder) == []


def test_a_process_without_standard_streams_trains(uninterrupted: Path, tmp_path: Path) -> None:
    def close() -> None:
        sys.stdout = sys.stderr = None  # type: ignore[assignment]

    process = start(tmp_path / "run", *LINE, prepare=close)
    assert process.wait(300) == 0
    assert differences(uninterrupted, tmp_path / "run") == []


def test_a_limit_on_the_size_of_files_is_one_line(uninterrupted: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = tmp_path / "run"
    size = (uninterrupted / "checkpoints" / "last.ckpt").stat().st_size // 2
    limited = start(
        folder, *LINE, prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    )
    text = finish(limited, folder, 1)
    (error,) = [line for line in text.splitlines() if line.startswith("Error")]
    assert "File too large; raise the limit (ulimit -f)" in error
    assert "Traceback" not in text
    assert not [*folder.rglob("*.tmp")]
    finish(resume(folder), folder)
    assert differences(uninterrupted, folder) == []


def test_a_full_disk_leaves_the_last_checkpoint_and_one_line(
    uninterrupted: Path, small_disk: Path
) -> None:
    folder, ballast = small_disk / "run", small_disk / "ballast"
    process = start(folder, *LINE, *hold(6))
    wait_until(process, (folder / "held").exists)
    fill(ballast)
    (folder / "held").unlink()
    text = finish(process, folder, 1)
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert "No space left on device; free some space" in errors[0]
    assert "resume with: python -m" in text
    assert "Traceback" not in text
    assert last(folder)["global_step"] == 4
    assert not [*folder.rglob("*.tmp")]
    ballast.unlink()
    finish(resume(folder, "callbacks.hold=null"), folder)
    assert differences(uninterrupted, folder) == []
