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

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.episodes import Trials
from siamese_oneshot.data.omniglot.files import Place, cache_home
from siamese_oneshot.data.roster import below
from siamese_oneshot.errors import UserError

ROOT_VARIABLE = "MNIST_ROOT"
CLASSES = 10
_SETS = ("t10k", "digits", "train")  # test pictures before others
_SUBFOLDERS = ("", "MNIST/raw", "raw")
_MAX_BYTES = 256 * 2**20  # the largest, MNIST's 60,000 pictures, has 47 MB
_KINDS = {"images": (2051, 3), "labels": (2049, 1)}  # magic number and dimensions


class DigitsUnavailable(UserError):
    """MNIST is nowhere; names every place looked in."""


class DigitsFaulty(UserError):
    """A file of MNIST does not hold what it must."""


def load_digits(root: str | Path | None = None) -> Drawings:
    """Load a set of MNIST-style IDX files, plain or gzipped.

    Args:
        root: their folder; where None: ``$MNIST_ROOT``, ``./data/mnist``, ``../shared/mnist``,
            ``mnist`` in the user's cache.

    Returns:
        The pictures in their own size (28×28), ink 255, sorted by class; ``t10k`` where there is
        one, else ``digits``, else ``train``. Nobody knows who wrote what: the k-th picture of a
        class counts as the k-th drawer's.

    Raises:
        DigitsUnavailable: there is none.
        DigitsFaulty: what is wrong with which file.
    """
    places = _places(root)
    for place in places:
        for subfolder in _SUBFOLDERS:
            for name in _SETS:
                files = [_file(place.path / subfolder, name, kind) for kind in _KINDS]
                if files[0] is not None and files[1] is not None:
                    return _made(_idx(files[0], "images"), _idx(files[1], "labels"), files[1])
    looked = "\n".join(f"  {place.called} ({place.path})" for place in places)
    raise DigitsUnavailable(
        f"MNIST cannot be found. Looked in\n{looked}\nWhat to do: put t10k-images-idx3-ubyte.gz "
        f"and t10k-labels-idx1-ubyte.gz into ./data/mnist, or name their folder with mnist=… or "
        f"{ROOT_VARIABLE}; or go without: mnist=false."
    )


def enlarged(drawings: Drawings, size: int, chunk: int = 4096) -> Drawings:
    """The same drawings as ``size`` × ``size`` pictures, by bilinear interpolation.

    Where ``size`` is smaller, areas are averaged instead.
    """
    from dataclasses import replace

    if size <= drawings.pixels.shape[-1]:
        return drawings.resized(size)
    out = torch.empty((len(drawings), size, size), dtype=torch.uint8)
    for start in range(0, len(drawings), chunk):
        part = drawings.pixels[start : start + chunk, None].float()
        larger = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[start : start + chunk] = larger[:, 0].round().byte()
    return replace(drawings, pixels=out)


def digit_trials(drawings: Drawings, trials: int, generator: torch.Generator) -> Trials:
    """One-shot trials among all classes, one picture of each (paper, section 4.4).

    Args:
        drawings: sorted by class, at least two pictures of each.
        trials: how many.
        generator: the source of chance; all draws are independent and uniform.

    Returns:
        As many ways as there are classes, in random order; the query is never its own support.
    """
    counts = torch.bincount(drawings.classes)
    first = torch.cumsum(counts, 0) - counts
    way = len(counts)
    classes = torch.rand(trials, way, generator=generator).argsort(1)
    supports = below(counts[classes], generator)
    answers = torch.randint(way, (trials,), generator=generator)
    row = torch.arange(trials)
    asked, taken = classes[row, answers], supports[row, answers]
    query = below(counts[asked] - 1, generator)
    query += query >= taken  # any picture of the class but the support
    return Trials(first[asked] + query, (first[classes] + supports)[..., None], answers)


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
        DigitsFaulty: it is damaged, of another kind, too large, or cut short.
    """
    magic, dimensions = _KINDS[kind]
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise DigitsFaulty(f"{path} cannot be read: {fault}") from fault
    if len(data) > _MAX_BYTES:
        raise DigitsFaulty(f"{path} is larger than any of MNIST's files")
    header = 4 * (1 + dimensions)
    if len(data) < header or int.from_bytes(data[:4], "big") != magic:
        raise DigitsFaulty(f"{path} is no IDX file of {kind}")
    shape = [int.from_bytes(data[k : k + 4], "big") for k in range(4, header, 4)]
    if len(data) - header != np.prod(shape, dtype=np.int64) or 0 in shape:
        raise DigitsFaulty(f"{path} says {shape} but holds {len(data) - header} bytes")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _made(pictures: NDArray[np.uint8], labels: NDArray[np.uint8], file: Path) -> Drawings:
    if len(pictures) != len(labels):
        raise DigitsFaulty(f"{file} has {len(labels)} labels for {len(pictures)} pictures")
    counts = np.bincount(labels, minlength=CLASSES)
    if len(counts) > CLASSES or counts.min() < 2:
        raise DigitsFaulty(f"{file}: every digit 0 … 9, and nothing else, must be there twice")
    order = np.argsort(labels, kind="stable")
    within = np.concatenate([np.arange(count) for count in counts])
    return Drawings(
        pixels=torch.from_numpy(pictures[order]),
        classes=torch.from_numpy(labels[order].astype(np.int64)),
        drawers=torch.from_numpy(within),
        class_names=tuple(f"Digits/{digit}" for digit in range(CLASSES)),
        alphabet_names=("Digits",),
        class_alphabets=torch.zeros(CLASSES, dtype=torch.int64),
        source="digits",
    )
