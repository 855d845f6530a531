"""The command from typed paths to files, with good and bad images, as a newcomer would use it."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from PIL import Image, ImageDraw
from tiny_network import checkpoint

from siamese_oneshot import OneShotClassifier, predict
from siamese_oneshot.evaluation.significance import wilson
from siamese_oneshot.prediction.output import percent

SUPPORT, QUERY = "my symbols (x)/β [1]", "queries, a=b"
KINDS = ("=cross", "ring", "bar ü")
Command = Callable[..., tuple[int, str, str]]  # exit code, standard output, standard error


def draw(path: Path, kind: str, side: int, ink: str, paper: str) -> None:
    """A symbol in a color on a color."""
    image = Image.new("RGB", (side * 3 // 2, side), paper)
    pen = ImageDraw.Draw(image)
    low, high, middle, width = side // 5, 4 * side // 5, side // 2, side // 15
    if kind == "ring":
        pen.ellipse((low, low, high, high), outline=ink, width=width)
    elif kind == "bar ü":
        pen.line((middle, low, middle, high), ink, width)
    else:
        pen.line((low, low, high, high), ink, width)
        pen.line((low, high, high, low), ink, width)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: a run, supports of three classes and two queries of each."""
    monkeypatch.chdir(tmp_path)
    run(tmp_path, -1e3)
    for kind in KINDS:
        draw(tmp_path / SUPPORT / kind / "1.png", kind, 90, "black", "white")
        draw(tmp_path / QUERY / kind / "blue.png", kind, 200, "navy", "beige")
        draw(tmp_path / QUERY / kind / "chalk.bmp", kind, 60, "white", "darkgreen")
    return tmp_path


def run(folder: Path, reject_threshold: float | None) -> None:
    """A run's folder, its network untrained: it knows equal images and no more."""
    path = folder / "a run" / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint(reject_threshold=reject_threshold), path)


@pytest.fixture
def command(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs the command in ``workdir``, into ``out`` where nothing else is said."""
    config = HydraConfig.instance().cfg

    def call(
        *line: str, support: str = SUPPORT, query: str = QUERY, out: str = "out", columns: int = 120
    ) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        named = {"support": support, "query": query, "output_dir": out}
        folders = [f"{key}={value}" for key, value in named.items() if value]
        words = ["predict", *folders, "weights=a run"]
        monkeypatch.setattr(sys, "argv", [*words, *line])
        monkeypatch.setenv("COLUMNS", str(columns))
        code: Any = 0
        try:
            predict.main()
        except SystemExit as stopped:
            code = stopped.code
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    yield call
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = config


def content(folder: str = "out") -> dict[str, Any]:
    return json.loads(Path(folder, "predictions.json").read_text(encoding="utf-8"))


def rows(folder: str = "out") -> list[dict[str, str]]:
    with open(Path(folder, "predictions.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labeled_queries_are_results_and_counted(command: Command, workdir: Path) -> None:
    code, shown, errors = command("top_k=2")
    assert (code, errors) == (0, "")
    assert "verdict   then" in shown
    assert "look at" not in shown
    found = content()
    assert [query["expected"] for query in found["queries"]] == sorted(KINDS * 2)
    assert all(query["right"] and query["known"] for query in found["queries"])
    low, high = wilson(6, 6)
    assert found["accuracy"] == {"correct": 6, "n": 6, "value": 1, "low": low, "high": high}
    assert f"Accuracy: 100.0% (6 of 6 correct, 95% interval {100 * low:.1f}-100.0%)" in shown
    assert "bar ü/blue.png" in shown
    assert (found["notes"], found["skipped"]) == ([], [])
    assert found["settings"]["support"] == SUPPORT
    assert found["network"]["size"] == 21
    assert sorted(one.name for one in workdir.iterdir()) == sorted(
        ["a run", "my symbols (x)", QUERY, "out"]
    )
    table = rows()  # a row a rank
    assert len(table) == 6 * 2
    for number, row in enumerate(table):
        query = found["queries"][number // 2]
        best = query["classes"][number % 2]
        values = query["expected"].replace("=cross", "'=cross"), best["name"]
        assert (row["expected"], row["class"]) == (
            values[0],
            values[1].replace("=cross", "'=cross"),
        )
        assert (row["query"], row["verdict"]) == (query["path"], "known")
        assert row["rank"] == str(number % 2 + 1)
        assert [float(row[key]) for key in ("probability", "score")] == [
            best["probability"], best["score"],
        ]  # fmt: skip
        assert len(query["classes"]) == 2  # of three: both files keep the best
        assert sum(one["probability"] for one in query["classes"]) < 1


def test_no_cell_begins_like_a_formula(command: Command, workdir: Path) -> None:
    names = ["=1+1", "+a", "-a", "@a", "\ta"]
    for name in names:
        shutil.copytree(workdir / SUPPORT / "ring", workdir / SUPPORT / name)
    command("top_k=8")
    assert {row["class"] for row in rows()} == {
        "'=cross", "bar ü", "ring", *(f"'{name}" for name in names[:-1]), "'\ufffda",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_answers_to_a_pipe_of_another_encoding(
    command: Command, workdir: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """The table has lines and names that most encodings lack."""
    shutil.copytree(workdir / SUPPORT / "ring", workdir / SUPPORT / "☉ ring")
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding=encoding))
    code, _, errors = command("top_k=8")
    sys.stdout.flush()
    shown = pipe.getvalue().decode(encoding)
    assert (code, errors) == (0, "")
    assert ("☉ ring" if encoding == "utf-8" else "\\u2609 ring") in shown
    assert {row["class"] for row in rows()} > {"☉ ring"}, "files are in UTF-8"


def test_a_pair_gives_one_sentence_and_no_file(command: Command, workdir: Path) -> None:
    torch.save(checkpoint(threshold=-0.5), workdir / "a run" / "checkpoints" / "best.ckpt")
    draw(workdir / "a.png", "ring", 90, "black", "white")
    draw(workdir / "b.png", "=cross", 90, "black", "white")
    before = sorted(workdir.rglob("*"))
    alone = {"support": "", "query": "", "out": ""}
    code, shown, errors = command("pair=[a.png,b.png]", **alone)
    expected = OneShotClassifier.from_pretrained("a run").similarity("a.png", "b.png")
    sentence = f"a.png and b.png show the same symbol with probability {percent(expected)}.\n"
    assert (code, shown, errors) == (0, sentence, "")
    assert sorted(workdir.rglob("*")) == before
    for line, folders, message in (
        ("pair=[a.png]", alone, "pair=['a.png']: it must be two images"),
        ("pair=a.png", alone, "pair=a.png: it must be"),
        ("pair=[a.png,b.png]", {}, "give two images as pair, or support and query"),
        ("pair=[a.png,none.png]", alone, "none.png: there is no such file"),
    ):
        code, shown, errors = command(line, **folders)
        assert (code, shown) == (1, ""), line
        assert message in errors


def test_bad_images_are_named_and_skipped(command: Command, workdir: Path) -> None:
    whole = (workdir / QUERY / "ring" / "chalk.bmp").read_bytes()
    (workdir / QUERY / "ring" / "cut.bmp").write_bytes(whole[: len(whole) // 2])
    (workdir / QUERY / "words.png").write_text("words")
    Image.new("L", (40, 40), 255).save(workdir / QUERY / "blank.png")
    (workdir / SUPPORT / "nobody").mkdir()
    code, shown, _ = command()
    skipped = {Path(one["path"]).name: one["why"] for one in content()["skipped"]}
    assert sorted(skipped) == ["blank.png", "cut.bmp", "nobody", "words.png"]
    assert code == 0
    assert "Skipped 4:" in shown
    for name, why in skipped.items():
        assert f"{name}: {why}" in shown
    assert content()["accuracy"]["n"] == 6
    code, shown, errors = command("on_error=stop", out="never")
    assert (code, shown) == (1, "")
    assert all(f"{name}: {why}" in errors for name, why in skipped.items())
    assert not Path("never").exists()


def test_what_is_also_a_support_or_in_no_class_is_not_counted(
    command: Command, workdir: Path
) -> None:
    # The same image, whatever the format.
    Image.open(workdir / SUPPORT / "ring" / "1.png").save(workdir / QUERY / "ring" / "copy.bmp")
    _, shown, _ = command()
    assert "1 query is also a support" in shown
    assert "ring/copy.bmp" in content()["notes"][0]
    assert content()["accuracy"]["n"] == 6
    (copy,) = [query for query in content()["queries"] if query["also_support"]]
    assert copy["classes"][0]["name"] == "ring"
    shutil.move(workdir / QUERY / "ring", workdir / QUERY / "round")
    _, shown, _ = command()
    assert "4 of 4 correct" in shown
    assert "that name no class are not counted: round." in shown


def test_further_classes_are_left_out_where_they_do_not_fit(command: Command) -> None:
    _, shown, _ = command("top_k=2", columns=80)
    assert shown.count("─ ") + shown.count("─\n") == 1, "two tables"
    assert "then" not in shown
    assert max(map(len, shown.splitlines())) < 80
    assert len(rows()) == 6 * 2


def test_one_image_a_class_and_one_query(command: Command, workdir: Path) -> None:
    for kind in KINDS:
        draw(workdir / "flat" / f"{kind}.png", kind, 90, "black", "white")
    code, shown, _ = command("reject_threshold=0", support="flat", query=f"{QUERY}/ring/blue.png")
    (query,) = content()["queries"]
    assert (code, query["classes"][0]["name"], query["known"]) == (0, "ring", False)
    assert "1 query, 3 classes, network a run" in shown
    assert "note: 1 of 1 unknown: look at normalized.png" in shown
    assert content()["accuracy"] is None
    assert "correct" not in shown


def test_the_table_has_score_and_threshold_and_no_certainty(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, shown, _ = command("reject_threshold=-1.25")
    best = content()["queries"][0]["classes"][0]
    assert f"{best['score']:.2f}" in shown
    assert "known above -1.25" in shown
    assert [percent(p) for p in (1.0, 0.99999, 0.9994, 0.0004, 0.0)] == [
        "100.0%", ">99.9%", "99.9%", "<0.1%", "0.0%"
    ]  # fmt: skip


def test_no_verdict_without_a_threshold(command: Command, workdir: Path) -> None:
    run(workdir, None)
    _, shown, _ = command()
    assert "No verdict" in shown
    assert {row["verdict"] for row in rows()} == {""}
    command("reject_threshold=-1e9")
    assert {row["verdict"] for row in rows()} == {"known"}
    assert content()["reject_threshold"] == -1e9


def test_one_class_is_pointed_at(command: Command, workdir: Path) -> None:
    for kind in ("=cross", "bar ü"):
        shutil.rmtree(workdir / SUPPORT / kind)
    _, shown, _ = command()
    assert "There is only one class" in shown
    assert {row["probability"] for row in rows()} == {"1.0"}


def test_pages_and_images_of_two_classes_are_noted(command: Command, workdir: Path) -> None:
    pages = [Image.open(workdir / SUPPORT / kind / "1.png") for kind in KINDS]
    pages[0].save(workdir / QUERY / "pages.tif", save_all=True, append_images=pages[1:])
    shutil.copy(workdir / SUPPORT / "ring" / "1.png", workdir / SUPPORT / "bar ü" / "2.png")
    _, shown, _ = command()
    told = "Only the first of its 3 pages is read: queries, a=b/pages.tif."
    same = "The same image is a support of several classes: bar ü = ring."
    for note in (told, same):
        assert note in shown
        assert note in content()["notes"]


def test_what_is_taken_out_of_an_image_is_said(command: Command, workdir: Path) -> None:
    path = workdir / QUERY / "ring" / "blue.png"
    image = Image.open(path)
    width, height = image.size
    ImageDraw.Draw(image).rectangle((8, 8, width - 9, height - 9), outline="black", width=2)
    image.save(path)
    _, shown, _ = command()
    note = (
        "Taken out (see normalized.png), as it is no stroke: a frame: queries, a=b/ring/blue.png."
    )
    assert note in " ".join(shown.split())
    assert note in content()["notes"]
    (query,) = [one for one in content()["queries"] if one["path"].endswith("ring/blue.png")]
    assert query["removed"] == ["a frame"]
    assert query["right"]


def test_names_that_are_no_text(command: Command, workdir: Path) -> None:
    odd = os.fsencode(workdir / QUERY) + b"/\xff.png"
    try:
        shutil.copy(os.fsencode(workdir / QUERY / "ring" / "blue.png"), odd)
    except OSError:
        pytest.skip("this file system knows text only")
    code, shown, _ = command()
    assert code == 0
    assert "\ufffd.png" in shown
    assert any("\ufffd.png" in row["query"] for row in rows())


def test_control_characters_of_names_do_not_reach_the_terminal(
    command: Command, workdir: Path
) -> None:
    name = "ring\x1b[31m\x9b\x07"
    for folder in (SUPPORT, QUERY):
        shutil.move(workdir / folder / "ring", workdir / folder / name)
    (workdir / QUERY / name / "words\x1b.png").write_text("words")
    shutil.copy(workdir / SUPPORT / name / "1.png", workdir / QUERY / name / "copy\x1b.png")
    for line, code in (([], 0), (["on_error=stop"], 1)):
        found, shown, errors = command(*line)
        assert found == code
        assert "\ufffd" in shown + errors
        assert not {"\x1b", "\x9b", "\x07"} & set(shown + errors)
    assert name in content()["classes"]


def test_the_folder_of_results_has_the_time_in_its_name(command: Command, workdir: Path) -> None:
    command("output_dir=null")
    command("output_dir=null")
    folders = list((workdir / "outputs" / "predict").iterdir())
    assert len(folders) == 2  # also of two runs in one second
    for folder in folders:
        names = {one.name for one in folder.iterdir()}
        assert names == {"predictions.csv", "predictions.json", "normalized.png"}


def test_the_folder_of_results_may_be_a_disk_of_its_own(
    command: Command, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = workdir / "disk"
    disk.mkdir()
    replace = Path.replace

    def within_a_disk(self: Path, target: Path) -> Path:
        if disk in target.parents and disk not in self.parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", within_a_disk)
    code, _, errors = command(out=str(disk))
    assert (code, errors) == (0, "")
    names = {one.name for one in disk.iterdir()}
    assert names == {"predictions.csv", "predictions.json", "normalized.png"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], ["support and query missing", "support=FOLDER", "query=IMAGE", "pair=[a.png,b.png]"]),
        (["support=."], ["query missing", "query=IMAGE"]),
    ],
)
def test_what_is_not_there_is_refused_before_pytorch_is_loaded(
    tmp_path: Path, line: list[str], words: list[str]
) -> None:
    code = (
        "import contextlib, sys; from siamese_oneshot.predict import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *line]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
    assert all(word in ran.stderr for word in words), ran.stderr


def test_queries_here_may_be_called_like_users(command: Command, workdir: Path) -> None:
    draw(workdir / "here" / "~nobody there.png", "ring", 90, "black", "white")
    os.chdir(workdir / "here")
    support, out, run = (f"../{one}" for one in (SUPPORT, "out", "a run"))
    code, _, errors = command(f"weights={run}", support=support, query=".", out=out)
    assert (code, errors) == (0, "")
    (query,) = content("../out")["queries"]
    assert (query["path"], query["classes"][0]["name"]) == ("~nobody there.png", "ring")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["support="], 1, "support=: it must be a path"),
        (["query=null"], 1, "query=null: it must be a path"),
        (["query=~nobody there/x"], 1, "a path begins with ~ and the name of no user"),
        (["query=nowhere"], 1, "nowhere: there is no such file or folder"),
        (["suport=x"], 2, "Did you mean support=x?"),
        (["output_dir=queries, a=b/ring/blue.png"], 1, "cannot be written to"),
    ],
)
def test_mistakes_are_results_in_a_block(
    command: Command, line: list[str], code: int, message: str
) -> None:
    found, shown, errors = command(*line)
    assert (found, shown) == (code, "")
    assert message in errors
    assert "Traceback" not in errors
    assert not Path("out").exists()
