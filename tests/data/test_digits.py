"""IDX files read, refused, enlarged; trials among ten digits."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from siamese_oneshot.data.digits import (
    DigitsFaulty,
    DigitsUnavailable,
    digit_trials,
    enlarged,
    load_digits,
)

LABELS = np.array([3, 1, 0, 2, 4, 5, 6, 7, 8, 9] * 3, np.uint8)


def pictures(n: int = len(LABELS), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4), np.uint8)


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    magic = magic or 2048 + array.ndim
    header = [magic, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def put(folder: Path, name: str = "t10k", gz: bool = True, dot: str = "-", seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images", pictures(seed=seed)), ("labels", LABELS)):
        path = folder / f"{name}-{kind}{dot}idx{array.ndim}-ubyte"
        if gz:
            path = path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(idx(array)) if gz else idx(array))
    return folder


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("gz", [True, False])
def test_sorted_by_class_in_file_order(tmp_path: Path, gz: bool, dot: str) -> None:
    digits = load_digits(put(tmp_path, gz=gz, dot=dot))
    assert digits.classes.tolist() == [digit for digit in range(10) for _ in range(3)]
    assert digits.drawers.tolist() == [0, 1, 2] * 10
    for place, (digit, nth) in enumerate((d, k) for d in range(10) for k in range(3)):
        source = [row for row, label in enumerate(LABELS) if label == digit][nth]
        assert digits.pixels[place].tolist() == pictures()[source].tolist()
    assert digits.class_names[7] == "Digits/7"
    assert digits.source == "digits"


def test_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MNIST_ROOT", raising=False)
    monkeypatch.setenv("SIAMESE_ONESHOT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DigitsUnavailable, match=r"\./data/mnist(.|\n)*mnist=false"):
        load_digits()
    first = []
    for seed, folder in enumerate(  # from the last place to the first
        [tmp_path / "cache" / "mnist", tmp_path / "shared" / "mnist" / "MNIST" / "raw",
         work / "data" / "mnist", tmp_path / "own"]
    ):  # fmt: skip
        put(folder, seed=seed)
        if folder.name == "own":
            monkeypatch.setenv("MNIST_ROOT", str(folder))
        first.append(load_digits().pixels[0].tolist())
    zeros = np.flatnonzero(LABELS == 0)[0]
    assert first == [pictures(seed=seed)[zeros].tolist() for seed in range(4)]
    with pytest.raises(DigitsUnavailable, match="mnist="):
        load_digits(tmp_path / "nowhere")


def test_test_pictures_before_others(tmp_path: Path) -> None:
    put(tmp_path, "train", seed=1)
    assert load_digits(tmp_path).pixels.sum() == pictures(seed=1).sum(dtype=int)
    put(tmp_path, "t10k", seed=2)
    assert load_digits(tmp_path).pixels.sum() == pictures(seed=2).sum(dtype=int)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("images", idx(pictures())[:-1], "but holds"),
        ("images", idx(pictures()) + b"x", "but holds"),
        ("images", idx(pictures(), magic=2049), "no IDX file of images"),
        ("images", b"<html>", "no IDX file"),
        ("images", idx(pictures(29)), "30 labels for 29 pictures"),
        ("labels", idx(np.full(30, 11, np.uint8)), "every digit"),
        ("labels", idx(np.minimum(LABELS, 8)), "every digit"),
        ("labels", idx(LABELS)[:3], "no IDX file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, data: bytes, message: str) -> None:
    put(tmp_path, gz=False)
    (path,) = tmp_path.glob(f"*{kind}*")
    path.write_bytes(data)
    with pytest.raises(DigitsFaulty, match=message):
        load_digits(tmp_path)


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    put(tmp_path)
    (path,) = tmp_path.glob("*images*")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DigitsFaulty, match="cannot be read"):
        load_digits(tmp_path)


def test_enlarged_pictures_are_interpolated(tmp_path: Path) -> None:
    digits = load_digits(put(tmp_path))
    large = enlarged(digits, 8, chunk=7)
    assert large.pixels.shape == (30, 8, 8)
    small = digits.pixels[11].double()
    # The second point of the large picture lies at 0.25 of the small one's first two.
    first = 0.75 * small[0] + 0.25 * small[1]
    expected = 0.75 * first[0] + 0.25 * first[1]
    assert float(large.pixels[11, 1, 1]) == pytest.approx(float(expected), abs=0.51)
    assert torch.equal(enlarged(digits, 2).pixels, digits.resized(2).pixels)
    assert torch.equal(large.classes, digits.classes)


def test_digit_trials(tmp_path: Path) -> None:
    digits = load_digits(put(tmp_path))
    trials = digit_trials(digits, 3000, torch.Generator().manual_seed(1))
    assert (len(trials), trials.way, trials.shot) == (3000, 10, 1)
    classes = digits.classes[trials.supports[..., 0]]
    assert classes.sort(1).values.tolist() == [list(range(10))] * 3000
    asked = digits.classes[trials.queries]
    assert torch.equal(classes[torch.arange(3000), trials.answers], asked)
    assert not (trials.supports[..., 0] == trials.queries[:, None]).any()
    for counts, share in (
        (torch.bincount(trials.queries, minlength=30), 100),
        (torch.bincount(trials.answers, minlength=10), 300),
        (torch.bincount(trials.supports.flatten(), minlength=30), 1000),
    ):
        assert ((counts - share).abs() < 5 * share**0.5).all()
    again = digit_trials(digits, 3000, torch.Generator().manual_seed(1))
    assert again.digest == trials.digest
