"""MNIST for the paper's last table (section 4.4). No network here is trained on it."""

from __future__ import annotations

import gzip
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from siamese_oneshot.data.cache import cache_home
from siamese_oneshot.data.class_index import random_below
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.episodes import Episodes
from siamese_oneshot.data.omniglot.loader import search_places
from siamese_oneshot.utils.errors import UserError

ROOT_VARIABLE = "MNIST_ROOT"
CLASSES = 10
_FILES = ("t10k", "digits", "train")  # test images before others
_SUBFOLDERS = ("", "MNIST/raw", "raw")
_MAX_BYTES = 256 * 2**20  # the largest, MNIST's 60,000 images, has 47 MB
_KINDS = {"images": (2051, 3), "labels": (2049, 1)}  # magic number and dimensions


class MnistUnavailable(UserError):
    """MNIST is nowhere; the message lists every place searched."""


class MnistFaulty(UserError):
    """A file of MNIST is damaged or of another kind."""


def load_mnist(root: str | Path | None = None) -> CharacterDataset:
    """Load a set of MNIST-style IDX files, plain or gzipped.

    Args:
        root: Their folder. None searches ``$MNIST_ROOT``, ``./data/mnist``, ``../shared/mnist`` and
            ``mnist`` in the user's cache.

    Returns:
        The images of ``t10k``, else ``digits``, else ``train``, in their own size (28×28) and
        sorted by class. The k-th image of a class counts as the k-th drawer's.

    Raises:
        MnistUnavailable: If there is no such file.
        MnistFaulty: If a file is damaged.
    """
    places = search_places(root, ROOT_VARIABLE, "mnist", cache_home())
    for place, subfolder, name in product(places.values(), _SUBFOLDERS, _FILES):
        images, labels = (_file(place / subfolder, name, kind) for kind in _KINDS)
        if images is not None and labels is not None:
            return _dataset_of(_idx(images, "images"), _idx(labels, "labels"), labels)
    searched = "\n".join(f"  {name} ({place})" for name, place in places.items())
    raise MnistUnavailable(
        f"MNIST is not available. Searched in\n{searched}\nWhat to do: put "
        "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into ./data/mnist, or name their "
        f"folder in {ROOT_VARIABLE}, or evaluate without MNIST (mnist=false)."
    )


def sample_mnist_episodes(
    dataset: CharacterDataset, episodes: int, generator: torch.Generator
) -> Episodes:
    """One-shot episodes among all classes, with one support image of each (section 4.4).

    All draws are independent and uniform; the query is never its own support. The images of
    ``dataset`` are sorted by class, at least two of each.
    """
    counts = torch.bincount(dataset.classes)
    first = torch.cumsum(counts, 0) - counts
    way = len(counts)
    classes = torch.rand(episodes, way, generator=generator).argsort(1)
    supports = random_below(counts[classes], generator)
    answers = torch.randint(way, (episodes,), generator=generator)
    row = torch.arange(episodes)
    query_class, support = classes[row, answers], supports[row, answers]
    query = random_below(counts[query_class] - 1, generator)
    query += query >= support  # any image of the class except the support
    return Episodes(first[query_class] + query, (first[classes] + supports)[..., None], answers)


def _file(folder: Path, name: str, kind: str) -> Path | None:
    stem = f"{name}-{kind}*idx{_KINDS[kind][1]}-ubyte"  # - or . before idx
    found = [*sorted(folder.glob(stem)), *sorted(folder.glob(f"{stem}.gz"))]
    return next((path for path in found if path.is_file()), None)


def _idx(path: Path, kind: str) -> NDArray[np.uint8]:
    """The array in an IDX file."""
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
        raise MnistFaulty(f"{path} states shape {shape} but holds {len(data) - header} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _dataset_of(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], file: Path
) -> CharacterDataset:
    if len(images) != len(labels):
        raise MnistFaulty(f"{file} has {len(labels)} labels for {len(images)} images")
    counts = np.bincount(labels, minlength=CLASSES)
    if len(counts) > CLASSES or counts.min() < 2:
        raise MnistFaulty(f"{file} must hold at least two of each digit 0 … 9, and no other label")
    order = np.argsort(labels, kind="stable")
    alphabets = ["Digits"] * len(order)
    return CharacterDataset.from_arrays(images[order], labels[order], alphabets, source="digits")
