"""IDX files read, refused, enlarged; episodes among ten digits."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from siamese_oneshot.data.mnist import (
    MnistFaulty,
    MnistUnavailable,
    load_mnist,
    sample_mnist_episodes,
)

LABELS = np.array([3, 1, 0, 2, 4, 5, 6, 7, 8, 9] * 3, np.uint8)


def images(n: int = len(LABELS), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4), np.uint8)


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    magic = magic or 2048 + array.ndim
    header = [magic, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def put(folder: Path, name: str = "t10k", gz: bool = True, dot: str = "-", seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images", images(seed=seed)), ("labels", LABELS)):
        path = folder / f"{name}-{kind}{dot}idx{array.ndim}-ubyte"
        if gz:
            path = path.with_name(path.name + ".gz")
        path.write_bytes(gzip.compress(idx(array)) if gz else idx(array))
    return folder


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("gz", [True, False])
def test_sorted_by_class_in_file_order(tmp_path: Path, gz: bool, dot: str) -> None:
    mnist = load_mnist(put(tmp_path, gz=gz, dot=dot))
    assert mnist.classes.tolist() == [digit for digit in range(10) for _ in range(3)]
    assert mnist.drawers.tolist() == [0, 1, 2] * 10
    for place, (digit, nth) in enumerate((d, k) for d in range(10) for k in range(3)):
        source = [row for row, label in enumerate(LABELS) if label == digit][nth]
        assert mnist.pixels[place].tolist() == images()[source].tolist()
    assert mnist.class_names[7] == "Digits/7"
    assert mnist.source == "digits"


def test_where_they_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MNIST_ROOT", raising=False)
    monkeypatch.setenv("SIAMESE_ONESHOT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MnistUnavailable, match=r"\./data/mnist(.|\n)*mnist=false"):
        load_mnist()
    first = []
    for seed, folder in enumerate(  # from the last place to the first
        [tmp_path / "cache" / "mnist", tmp_path / "shared" / "mnist" / "MNIST" / "raw",
         work / "data" / "mnist", tmp_path / "own"]
    ):  # fmt: skip
        put(folder, seed=seed)
        if folder.name == "own":
            monkeypatch.setenv("MNIST_ROOT", str(folder))
        first.append(load_mnist().pixels[0].tolist())
    zeros = np.flatnonzero(LABELS == 0)[0]
    assert first == [images(seed=seed)[zeros].tolist() for seed in range(4)]
    with pytest.raises(MnistUnavailable, match="mnist="):
        load_mnist(tmp_path / "nowhere")


def test_test_images_before_others(tmp_path: Path) -> None:
    put(tmp_path, "train", seed=1)
    assert load_mnist(tmp_path).pixels.sum() == images(seed=1).sum(dtype=int)
    put(tmp_path, "t10k", seed=2)
    assert load_mnist(tmp_path).pixels.sum() == images(seed=2).sum(dtype=int)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("images", idx(images())[:-1], "but holds"),
        ("images", idx(images()) + b"x", "but holds"),
        ("images", idx(images(), magic=2049), "no IDX file of images"),
        ("images", b"<html>", "no IDX file"),
        ("images", idx(images(29)), "30 labels for 29 images"),
        ("labels", idx(np.full(30, 11, np.uint8)), "at least two of each digit"),
        ("labels", idx(np.minimum(LABELS, 8)), "at least two of each digit"),
        ("labels", idx(LABELS)[:3], "no IDX file"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, kind: str, data: bytes, message: str) -> None:
    put(tmp_path, gz=False)
    (path,) = tmp_path.glob(f"*{kind}*")
    path.write_bytes(data)
    with pytest.raises(MnistFaulty, match=message):
        load_mnist(tmp_path)


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    put(tmp_path)
    (path,) = tmp_path.glob("*images*")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MnistFaulty, match="cannot be read"):
        load_mnist(tmp_path)


def test_enlarged_images_are_interpolated(tmp_path: Path) -> None:
    mnist = load_mnist(put(tmp_path))
    large = mnist.resized(8, bilinear=True, batch_size=7)
    assert large.pixels.shape == (30, 8, 8)
    small = mnist.pixels[11].double()
    # The second point of the large image lies at 0.25 of the small one's first two.
    first = 0.75 * small[0] + 0.25 * small[1]
    expected = 0.75 * first[0] + 0.25 * first[1]
    assert float(large.pixels[11, 1, 1]) == pytest.approx(float(expected), abs=0.51)
    assert torch.equal(mnist.resized(2, bilinear=True).pixels, mnist.resized(2).pixels)
    assert torch.equal(large.classes, mnist.classes)


def test_digit_episodes(tmp_path: Path) -> None:
    mnist = load_mnist(put(tmp_path))
    episodes = sample_mnist_episodes(mnist, 3000, torch.Generator().manual_seed(1))
    assert (len(episodes), episodes.way, episodes.shot) == (3000, 10, 1)
    classes = mnist.classes[episodes.supports[..., 0]]
    assert classes.sort(1).values.tolist() == [list(range(10))] * 3000
    asked = mnist.classes[episodes.queries]
    assert torch.equal(classes[torch.arange(3000), episodes.answers], asked)
    assert not (episodes.supports[..., 0] == episodes.queries[:, None]).any()
    for counts, share in (
        (torch.bincount(episodes.queries, minlength=30), 100),
        (torch.bincount(episodes.answers, minlength=10), 300),
        (torch.bincount(episodes.supports.flatten(), minlength=30), 1000),
    ):
        assert ((counts - share).abs() < 5 * share**0.5).all()
    again = sample_mnist_episodes(mnist, 3000, torch.Generator().manual_seed(1))
    assert again.digest == episodes.digest
