"""What contestants are given is what they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from siamese_oneshot.bench.__main__ import CASES, main, write
from siamese_oneshot.bench.contest import Contest
from siamese_oneshot.bench.figures import Figures
from siamese_oneshot.bench.growth import repeated
from siamese_oneshot.bench.plain import PlainPairs, write_pngs
from siamese_oneshot.data.drawings import Drawings


def test_pngs_are_the_drawings(drawings: Drawings, tmp_path: Path) -> None:
    files = write_pngs(drawings, tmp_path, 3)
    assert [len(of) for of in files] == [6, 6, 6]
    for number, of in enumerate(files):
        for nth, path in enumerate(of):
            with Image.open(path) as image:
                ink = [value == 0 for value in image.convert("L").getdata()]
            assert ink == (drawings.pixels[6 * number + nth] > 0).flatten().tolist()


def test_plain_pairs_are_half_same(drawings: Drawings, tmp_path: Path) -> None:
    files = write_pngs(drawings, tmp_path, 3)
    pairs = PlainPairs(files, 8)
    opened: list[Path] = []
    pairs._picture = lambda path: opened.append(path) or torch.zeros(1)  # type: ignore[assignment, method-assign, func-returns-value]
    for index in range(8):
        same = float(pairs[index][2])
        one, other = opened[-2:]
        classes = [next(k for k, of in enumerate(files) if path in of) for path in (one, other)]
        assert same == index % 2 == (classes[0] == classes[1])
        assert one != other


def test_plain_pictures_are_ink_on_paper(drawings: Drawings, tmp_path: Path) -> None:
    picture = PlainPairs(write_pngs(drawings, tmp_path, 1), 1)._picture(tmp_path / "0.png")
    assert picture.shape == (1, 16, 16)
    assert picture.min() == 0
    assert picture.max() == 1
    assert float(picture.mean()) == pytest.approx(
        float(drawings.pixels[0].float().mean()) / 255, abs=0.2
    )


def test_repeated_alphabets_are_other_ones(drawings: Drawings) -> None:
    many = repeated(drawings, 3)
    assert len(many) == 3 * len(drawings)
    assert len(many.alphabet_names) == len(set(many.alphabet_names)) == 12
    assert torch.equal(many.classes.unique(), torch.arange(78))
    n = len(drawings)
    assert torch.equal(many.alphabets[n : 2 * n], drawings.alphabets + 4)
    assert many.class_names[26 + 3] == "1" + drawings.class_names[3]


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    contest = Contest("race", "things", {"slow": [1.0, 2.0], "fast": [4.0, 4.0]}, "slow", "a note")
    figures = Figures("size", "GiB", {"all": [1.0, 3.0, 2.0]}, digits=1)
    write(tmp_path, [contest, figures])
    page = (tmp_path / "bench.md").read_text()
    assert "| fast | 4.0 | 4.0-4.0 | 3.00 | 2.00-4.00 |" in page
    assert "| all | 2.0 | 1.0-3.0 | 3 |" in page
    assert "a note" in page
    assert '"rates"' in (tmp_path / "bench.json").read_text()


def test_an_unknown_case_is_answered_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "trainin"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert ", ".join(CASES) in capsys.readouterr().err
