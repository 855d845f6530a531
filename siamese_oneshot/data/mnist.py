"""MNIST's digits, for the paper's last table: found as Omniglot is, never trained on here."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from siamese_oneshot.data.class_index import below
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.omniglot.files import Place, cache_home
from siamese_oneshot.utils.errors import UserError

ROOT_VARIABLE = "MNIST_ROOT"
CLASSES = 10
_SETS = ("t10k", "digits", "train")  # test images before others
_SUBFOLDERS = ("", "MNIST/raw", "raw")
_MAX_BYTES = 256 * 2**20  # the largest, MNIST's 60,000 images, has 47 MB
_KINDS = {"images": (2051, 3), "labels": (2049, 1)}  # magic number and dimensions


class MnistUnavailable(UserError):
    """MNIST is nowhere; names every place looked in."""


class MnistFaulty(UserError):
    """A file of MNIST does not hold what it must."""


def load_mnist(root: str | Path | None = None) -> CharacterDataset:
    """Load a set of MNIST-style IDX files, plain or gzipped.

    Args:
        root: their folder; where None: ``$MNIST_ROOT``, ``./data/mnist``, ``../shared/mnist``,
            ``mnist`` in the user's cache.

    Returns:
        The images in their own size (28×28), ink 255, sorted by class; ``t10k`` where there is
        one, else ``mnist``, else ``train``. Nobody knows who wrote what: the k-th image of a
        class counts as the k-th drawer's.

    Raises:
        MnistUnavailable: there is none.
        MnistFaulty: what is wrong with which file.
    """
    places = _places(root)
    for place in places:
        for subfolder in _SUBFOLDERS:
            for name in _SETS:
                files = [_file(place.path / subfolder, name, kind) for kind in _KINDS]
                if files[0] is not None and files[1] is not None:
                    return _made(_idx(files[0], "images"), _idx(files[1], "labels"), files[1])
    looked = "\n".join(f"  {place.called} ({place.path})" for place in places)
    raise MnistUnavailable(
        f"MNIST cannot be found. Looked in\n{looked}\nWhat to do: put t10k-images-idx3-ubyte.gz "
        f"and t10k-labels-idx1-ubyte.gz into ./data/mnist, or name their folder with mnist=… or "
        f"{ROOT_VARIABLE}; or go without: mnist=false."
    )


def enlarged(dataset: CharacterDataset, size: int, chunk: int = 4096) -> CharacterDataset:
    """The same images as ``size`` × ``size`` images, by bilinear interpolation.

    Where ``size`` is smaller, areas are averaged instead.
    """
    from dataclasses import replace

    if size <= dataset.pixels.shape[-1]:
        return dataset.resized(size)
    out = torch.empty((len(dataset), size, size), dtype=torch.uint8)
    for start in range(0, len(dataset), chunk):
        part = dataset.pixels[start : start + chunk, None].float()
        larger = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[start : start + chunk] = larger[:, 0].round().byte()
    return replace(dataset, pixels=out)


def sample_mnist_episodes(
    dataset: CharacterDataset, episodes: int, generator: torch.Generator
) -> Episodes:
    """One-shot episodes among all classes, one image of each (paper, section 4.4).

    Args:
        images: sorted by class, at least two images of each.
        episodes: how many.
        generator: the source of chance; all draws are independent and uniform.

    Returns:
        As many ways as there are classes, in random order; the query is never its own support.
    """
    counts = torch.bincount(dataset.classes)
    first = torch.cumsum(counts, 0) - counts
    way = len(counts)
    classes = torch.rand(episodes, way, generator=generator).argsort(1)
    supports = below(counts[classes], generator)
    answers = torch.randint(way, (episodes,), generator=generator)
    row = torch.arange(episodes)
    asked, taken = classes[row, answers], supports[row, answers]
    query = below(counts[asked] - 1, generator)
    query += query >= taken  # any image of the class but the support
    return Episodes(first[asked] + query, (first[classes] + supports)[..., None], answers)


def _places(root: str | Path | None) -> list[Place]:
    if root is not None:
        return [Place(Path(root).expanduser().absolute(), f"mnist={root}")]
    named = os.environ.get(ROOT_VARIABLE)
    found = [Place(Path(named).expanduser().absolute(), f"${ROOT_VARIABLE}")] if named else []
    for relative in ("./data/mnist", "../shared/mnist"):
        found.append(Place(Path(os.path.abspath(relative)), relative))
    return [*found, Place(cache_home() / "mnist", "the user cache")]


def _file(folder: Path, name: str, kind: str) -> Path | None:
    dimensions = _KINDS[kind][1]
    for dot in ("-", "."):
        for suffix in ("", ".gz"):
            path = folder / f"{name}-{kind}{dot}idx{dimensions}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _idx(path: Path, kind: str) -> NDArray[np.uint8]:
    """The array in a file.

    Raises:
        MnistFaulty: it is damaged, of another kind, too large, or cut short.
    """
    magic, dimensions = _KINDS[kind]
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise MnistFaulty(f"{path} cannot be read: {fault}") from fault
    if len(data) > _MAX_BYTES:
        raise MnistFaulty(f"{path} is larger than any of MNIST's files")
    header = 4 * (1 + dimensions)
    if len(data) < header or int.from_bytes(data[:4], "big") != magic:
        raise MnistFaulty(f"{path} is no IDX file of {kind}")
    shape = [int.from_bytes(data[k : k + 4], "big") for k in range(4, header, 4)]
    if len(data) - header != np.prod(shape, dtype=np.int64) or 0 in shape:
        raise MnistFaulty(f"{path} says {shape} but holds {len(data) - header} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _made(images: NDArray[np.uint8], labels: NDArray[np.uint8], file: Path) -> CharacterDataset:
    if len(images) != len(labels):
        raise MnistFaulty(f"{file} has {len(labels)} labels for {len(images)} images")
    counts = np.bincount(labels, minlength=CLASSES)
    if len(counts) > CLASSES or counts.min() < 2:
        raise MnistFaulty(f"{file}: every digit 0 … 9, and nothing else, must be there twice")
    order = np.argsort(labels, kind="stable")
    within = np.concatenate([np.arange(count) for count in counts])
    return CharacterDataset(
        pixels=torch.from_numpy(images[order]),
        classes=torch.from_numpy(labels[order].astype(np.int64)),
        drawers=torch.from_numpy(within),
        class_names=tuple(f"Digits/{digit}" for digit in range(CLASSES)),
        alphabet_names=("Digits",),
        class_alphabets=torch.zeros(CLASSES, dtype=torch.int64),
        source="digits",
    )
