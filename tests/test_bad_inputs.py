"""Wrong input of any kind ends in a message that names it, and leaves no partial results."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import EPISODES, SMALL, TASKS, ask
from bad_omniglot import BAD_OMNIGLOT, Spoil
from bad_own import BAD_OWN, FOLDER, PREDICT, Make, good
from bad_settings import BAD_SETTINGS
from lookalike import Lookalike

import siamese_oneshot
from siamese_oneshot.cli import run_hydra
from siamese_oneshot.data.image_folder import load_folder
from siamese_oneshot.data.omniglot import loader
from siamese_oneshot.train import train_task
from siamese_oneshot.utils.errors import UserError

RESULTS = re.compile(r".*\.ckpt|result\.json|metrics\.csv|(predictions|evaluation)\..*|.*\.tmp")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lookalike:
    lookalike = Lookalike(tmp_path_factory.mktemp("lookalike"))
    lookalike.zips(lookalike.folder / "zips")
    return lookalike


def refused(work: Path, line: list[str], says: list[str]) -> str:
    """Run a command that must be refused; returns its message."""
    before = results(work)
    message = ask(line[0], line[1:], work)
    for part in says:
        assert part in message, message
    assert results(work) == before
    return message


def results(work: Path) -> set[Path]:
    return {path for path in work.rglob("*") if RESULTS.fullmatch(path.name)}


@pytest.mark.parametrize(
    ("command", "line", "says"), BAD_SETTINGS, ids=[" ".join(row[1]) for row in BAD_SETTINGS]
)
def test_a_bad_setting(work: Path, command: str, line: list[str], says: list[str]) -> None:
    if command == "predict":  # whose folders are looked at first
        good()
    message = refused(work, [command, *line], says)
    assert "\n" not in message


@pytest.mark.parametrize(("spoil", "says"), [row[1:] for row in BAD_OMNIGLOT],
                         ids=[row[0] for row in BAD_OMNIGLOT])  # fmt: skip
def test_bad_files_of_omniglot(
    work: Path, built: Lookalike, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, says: list[str]
) -> None:
    monkeypatch.setattr(loader, "EDITION", built.edition)
    monkeypatch.setenv("SIAMESE_ONESHOT_CACHE", str(work / "cache"))
    shutil.copytree(built.folder / "zips", work / "root")
    spoil(work / "root")
    with pytest.raises(UserError) as caught:
        loader.load_omniglot("root", download=False)
    message = str(caught.value)
    for part in says:
        assert part in message, message
    assert len(message.splitlines()) <= 8
    assert not list(work.rglob("*.bits"))
    assert not list(work.parent.rglob("escaped*"))


def test_a_training_names_the_bad_file_of_omniglot(
    work: Path, built: Lookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIAMESE_ONESHOT_CACHE", str(work / "cache"))
    shutil.copytree(built.folder / "zips", work / "root")
    line = ["train", "data.source=omniglot", "data.download=false", "data.on_missing=null"]
    says = "images_background.zip: missing: Alphabet_of_the_Magi/character01/01"
    refused(work, [*line, "data.root=root", "data.split=lake"], [says])
    refused(work, [*line, "data.root=nowhere", "data.split=lake"], ["data.root=", "no such folder"])


@pytest.mark.parametrize(("make", "says"), [row[1:] for row in BAD_OWN],
                         ids=[row[0] for row in BAD_OWN])  # fmt: skip
def test_bad_files_of_the_user(work: Path, make: Make, says: list[str]) -> None:
    good()
    message = refused(work, make(), says)
    assert len(message.splitlines()) <= 25
    assert not (work / "ran").exists()


# --- the machine


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk, and not everywhere")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder, as a user whom permissions stop."""
    pretrained = Path(siamese_oneshot.__file__).parent / "pretrained"
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        monkeypatch.chdir(folder)
        good()
        # Import what this user may not read.
        load_folder("symbols")
        codecs.lookup("cp437")
        before = Path(folder, "before")
        before.mkdir()
        ask("train", [*FOLDER[1:-1], "data.root=nowhere"], before)
        with contextlib.suppress(AssertionError):  # it is not refused
            ask("predict", [*PREDICT[1:], "output_dir=before"], before)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            if not os.access(pretrained, os.R_OK | os.X_OK, effective_ids=True):
                pytest.skip("the checkout is in a folder that other users cannot read")
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_a_full_disk_for_the_cache_costs_only_the_cache(
    built: Lookalike, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(loader, "EDITION", built.edition)
    dataset = loader.load_omniglot(built.folder / "zips", False, tiny_disk)
    assert built.matches(dataset)
    assert "No space left" in caplog.text
    assert not [path for path in tiny_disk.iterdir() if path.suffix != ".lock"]


def test_a_full_disk_for_results(work: Path, tiny_disk: Path) -> None:
    good()
    (tiny_disk / "filler").write_bytes(bytes(60 * 2**10))
    message = refused(
        work,
        [*PREDICT, f"output_dir={tiny_disk}/out"],
        [f"output_dir={tiny_disk}", "No space left"],
    )
    assert "\n" not in message
    assert {path.name for path in tiny_disk.rglob("*")} <= {"filler", "out"}


def test_a_full_disk_for_a_run(tiny_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny_disk / "filler").write_bytes(bytes(60 * 2**10))
    with pytest.raises(SystemExit) as stopped:
        run_hydra(train_task, argv=["data=synthetic", f"hydra.run.dir={tiny_disk}/a/b/c"])
    message = capsys.readouterr().err
    assert stopped.value.code == 1
    assert re.fullmatch(
        r"Error: .*No space left on device; free some space on that disk.*\n", message
    )


@pytest.fixture(params=["a file", "a read-only folder"])
def shut(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where nobody can write, root neither."""
    path = tmp_path / "shut"
    if request.param == "a file":
        path.write_text("as it was")
        yield path
        return
    path.mkdir()
    for options in (["--bind", str(path), str(path)], ["-o", "remount,ro,bind", str(path)]):
        if os.geteuid() != 0 or subprocess.run(["mount", *options], check=False).returncode != 0:
            pytest.skip("only root can mount a folder, and not everywhere")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize(
    "line",
    [
        ["train", "hydra.run.dir={shut}/run"],
        ["train", "hydra.run.dir={shut}"],
        ["train", "-m", "seed=0,1", "hydra.sweep.dir={shut}"],
        ["train", "callbacks.checkpoint.dirpath={shut}/checkpoints"],
        ["train", "callbacks.last_checkpoint.dirpath={shut}/checkpoints"],
        ["evaluate", "models=chance", "output_dir={shut}/out"],
        ["predict", "output_dir={shut}/out"],
    ],
    ids=lambda line: " ".join(line),
)
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(
    work: Path, shut: Path, line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    good()
    command, *rest = [text.format(shut=shut) for text in line]
    config, task = TASKS[command]
    own = EPISODES if command == "train" else ()
    with pytest.raises(SystemExit) as stopped:
        run_hydra(task, config, [*SMALL[command], *own, *rest])
    shown = capsys.readouterr()
    assert stopped.value.code == 1
    reason = "Read-only file system|Not a directory|File exists"
    assert re.fullmatch(rf"Error: .*{shut}.*({reason}).*\n", shown.err), shown
    assert not re.search("step|embedded", shown.out)
    assert not results(work)


@pytest.mark.parametrize(
    ("mode", "command"),
    [
        (0o000, [*PREDICT, "support=shut"]),
        (0o000, [*PREDICT, "query=shut"]),
        (0o000, [*FOLDER[:-1], "data.root=shut"]),
        (0o555, [*PREDICT, "output_dir=shut/out"]),
    ],
)
def test_a_folder_that_permissions_close(nobody: Path, mode: int, command: list[str]) -> None:
    Path("shut").mkdir()
    Path("shut").chmod(mode)
    message = refused(nobody, command, ["shut"])
    assert re.search("Permission denied|cannot be (read|listed)", message)


def test_a_cache_that_is_read_only_costs_only_the_cache(
    built: Lookalike, nobody: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(loader, "EDITION", built.edition)
    zips = built.folder / "zips"
    if os.getuid() == 0:
        os.seteuid(0)
        zips = Path(shutil.copytree(zips, nobody / "zips"))
        os.seteuid(65534)
    (nobody / "cache").mkdir(mode=0o555)
    assert built.matches(loader.load_omniglot(zips, False, nobody / "cache"))
    assert "Permission denied" in caplog.text
    assert not list((nobody / "cache").iterdir())


# --- whole commands


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["modle=paper"], "Did you mean model=paper?"),
        (["model=papr"], "Did you mean model=paper?"),
        (["resume=nowhere"], "there is no run at"),
        (["resume=."], "is not the folder of a run"),
    ],
)
def test_a_wrong_command_line(
    work: Path, capsys: pytest.CaptureFixture[str], line: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_hydra(train_task, argv=line)
    assert stopped.value.code in (1, 2)
    assert says in capsys.readouterr().err
    assert not list(work.iterdir())


def test_a_refused_training_ends_in_one_line(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run_hydra(train_task, argv=[*SMALL["train"], "seed=-1"])
    assert stopped.value.code == 1
    assert re.fullmatch(r"Error: seed=-1: it must be an integer.*\n", capsys.readouterr().err)
