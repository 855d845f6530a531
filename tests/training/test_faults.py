"""What goes wrong beside a kill: a loss that is not finite, a full disk, a damaged checkpoint."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kills import LINE, begin, differences, done, go_on, kill, undisturbed, wait_until

from siamese_oneshot.runs.result import read_result

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="makes its trainings by fork")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(tmp_path_factory)


def last(folder: Path) -> dict[str, object]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def held_at(step: int) -> list[str]:
    """What makes a training wait after so many steps."""
    return ["+callbacks.hold._target_=stoppers.Hold", f"+callbacks.hold.step={step}"]


def poisoned(folder: Path, step: int) -> None:
    """A run that ends where its weights are not finite any more."""
    poison = ["+callbacks.poison._target_=stoppers.Poison", f"+callbacks.poison.step={step}"]
    rare = "trainer.log_every_n_steps=7"  # the step after is not looked at
    text = done(
        begin(folder, *LINE, *poison, rare, "callbacks.last_checkpoint.every_n_minutes=0"),
        folder,
        1,
    )
    assert f"not finite at step {step}: lower optimizer.lr (now up to" in text.replace("\n", " ")
    assert "Traceback" not in text
    assert read_result(folder).status == "failed"
    assert last(folder)["global_step"] == step - 1
    for name in ("state_dict", "current_model_state"):
        assert all(one.isfinite().all() for one in last(folder)[name].values())  # type: ignore[attr-defined]


def test_weights_that_are_not_finite_at_the_end_of_an_epoch_reach_no_checkpoint(
    tmp_path: Path,
) -> None:
    poisoned(tmp_path / "run", 8)


def test_weights_that_are_not_finite_end_a_run_that_can_go_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    poisoned(folder, 6)
    shutil.rmtree(folder / "csv")  # of every seventh step
    text = done(go_on(folder, "callbacks.poison=null", "trainer.log_every_n_steps=1"), folder)
    assert "going on from" in text
    found = differences(whole, folder)
    assert [one for one in found if not one.startswith("history")] == []


def middle_of_the_largest(path: Path) -> int:
    """Where in the file a byte of weights is: damage to padding between members is none."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = max(archive.infolist(), key=lambda one: one.file_size)
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        return member.header_offset + 30 + name + extra + member.file_size // 2


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after ten steps, with the checkpoints of its two epochs."""
    folder = tmp_path_factory.mktemp("faults") / "killed"
    process = begin(folder, *LINE, *held_at(10))
    wait_until(process, (folder / "held").exists)
    kill(process)
    assert last(folder)["global_step"] == 8
    return folder


@pytest.mark.parametrize("how", ["cut short", "a bit flipped", "missing"])
def test_a_damaged_checkpoint_falls_back_on_the_one_before(
    whole: Path, killed: Path, tmp_path: Path, how: str
) -> None:
    folder = shutil.copytree(killed, tmp_path / "run")
    newest = folder / "checkpoints" / "last.ckpt"
    content = newest.read_bytes()
    if how == "cut short":
        newest.write_bytes(content[: len(content) // 2])
    elif how == "a bit flipped":
        spot = middle_of_the_largest(newest)
        newest.write_bytes(content[:spot] + bytes([content[spot] ^ 1]) + content[spot + 1 :])
    else:
        newest.unlink()
    text = done(go_on(folder, "callbacks.hold=null"), folder).replace("\n", " ")
    assert "going back to the one before it" in text
    assert differences(whole, folder) == []


def test_a_damaged_best_checkpoint_is_results_by_the_best_before(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done(begin(folder, *LINE, "optimizer.lr=1e-2", "trainer.max_steps=40"), folder)
    best = folder / "checkpoints" / "best.ckpt"
    before = torch.load(best.with_name("best.previous.ckpt"), weights_only=True)["global_step"]
    best.write_bytes(best.read_bytes()[:-1000])
    assert "going back to the one before it" in done(go_on(folder), folder).replace("\n", " ")
    assert torch.load(best, weights_only=True)["global_step"] == before
    assert read_result(folder).status == "finished"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_disk_leaves_the_checkpoint_before_and_one_line(
    whole: Path, small_disk: Path
) -> None:
    folder, ballast = small_disk / "run", small_disk / "ballast"
    process = begin(folder, *LINE, *held_at(6))
    wait_until(process, (folder / "held").exists)
    fill(ballast)
    (folder / "held").unlink()
    text = done(process, folder, 1)
    errors = [line for line in text.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert "is full; the last checkpoint there is whole. Make room, then: python -m" in errors[0]
    assert "Traceback" not in text
    assert last(folder)["global_step"] == 4
    assert not [*folder.rglob("*.tmp")]
    ballast.unlink()
    done(go_on(folder, "callbacks.hold=null"), folder)
    assert differences(whole, folder) == []
