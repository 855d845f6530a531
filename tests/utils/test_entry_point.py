"""Printing never ends a command: closed pipes and terminals, full disks, no stream at all."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from siamese_oneshot.utils.entry_point import LastingStream, entry_point

COMMAND = """
import logging, sys, warnings
from rich.console import Console
from tqdm import tqdm
from siamese_oneshot.utils.entry_point import entry_point

@entry_point()
def main():
    for _ in tqdm(range(3)):
        print("x" * 100_000, flush=True)
        print("x" * 100_000, file=sys.stderr)
        Console().print("x y " * 2_000, soft_wrap=True)
        logging.warning("a line")
        warnings.warn("another")
    open(sys.argv[1], "w").write("done")

main()
"""


def closed_pipe() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def closed_terminal() -> int:
    master, slave = pty.openpty()
    os.close(master)
    return slave


@pytest.mark.parametrize(
    "reader", [closed_pipe, closed_terminal, lambda: os.open("/dev/full", os.O_WRONLY)]
)
def test_a_command_ends_well_whoever_reads_it(tmp_path: Path, reader: Callable[[], int]) -> None:
    if reader is not closed_pipe and not os.path.exists("/dev/full"):
        pytest.skip("no such device here")
    output = reader()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, tmp_path / "done"], stdout=output, stderr=output
    )
    os.close(output)
    assert done.returncode == 0
    assert (tmp_path / "done").read_text() == "done"


def test_a_command_without_streams_opens_no_file_in_their_place(tmp_path: Path) -> None:
    line = 'exec "$0" -c "$1" "$2" >&- 2>&-'
    command = COMMAND.replace('open(sys.argv[1], "w")', "file = open(sys.argv[1], 'w'); file")
    command = command.replace('write("done")', "write(str(file.fileno()))")
    done = subprocess.run(["sh", "-c", line, sys.executable, command, tmp_path / "done"])
    assert done.returncode == 0
    assert int((tmp_path / "done").read_text()) > 2


def test_help_into_a_closed_pipe(tmp_path: Path) -> None:
    output = closed_pipe()
    for module in ("train", "report"):
        line = [sys.executable, "-m", f"siamese_oneshot.{module}", "--help"]
        done = subprocess.run(line, stdout=output, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_deleted_working_directory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit, match=r"^Error: the working directory does not exist"):
        entry_point()(list)()


class Full(io.StringIO):
    """A stream whose disk is full for a while."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_disk_that_is_full_for_a_while_loses_only_these_lines() -> None:
    file = Full()
    stream = LastingStream(file)
    assert stream.write("lost") == 4
    file.full = False
    stream.writelines(["kept\n", "too"])
    assert file.getvalue() == "kept\ntoo"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", b"\\xe9\\u2713"), ("latin-1", b"\xe9\\u2713")]
)
def test_characters_that_the_encoding_lacks_are_escaped(encoding: str, shown: bytes) -> None:
    file = io.BytesIO()
    stream: Any = LastingStream(io.TextIOWrapper(file, encoding=encoding))
    stream.write("é✓")
    stream.flush()
    assert file.getvalue() == shown
    assert stream.encoding == encoding, "for the rest it is the stream"


def test_ctrl_c_is_one_word(capsys: pytest.CaptureFixture[str]) -> None:
    @entry_point()
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_streams_of_the_process_come_back() -> None:
    before = sys.stdout, sys.stderr
    assert entry_point()(lambda: sys.stdout)() is not before[0]
    with pytest.raises(ZeroDivisionError):
        entry_point()(lambda: 1 / 0)()
    assert (sys.stdout, sys.stderr) == before
