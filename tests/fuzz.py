"""Feeds spoilt files to every reader: ``python tests/fuzz.py --count 100000 --seed 0``.

Each input is a good file with some bytes changed, cut, doubled or replaced by extremes. A reader
may take it or refuse it with its documented error; anything else is a finding: another exception,
more than ``SECONDS``, or a file that was not there before.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import signal
import struct
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image
from safetensors.torch import save
from tiny_network import NETWORK, checkpoint, header, state_dict

from siamese_oneshot.classifier import OneShotClassifier, weights_digest
from siamese_oneshot.cli.overrides import unquoted, with_paths
from siamese_oneshot.data import cache as bit_cache
from siamese_oneshot.data.image_input import read_input
from siamese_oneshot.data.mnist import load_mnist
from siamese_oneshot.data.omniglot.archive import Archive, decode_image
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.checkpoint import load_trained
from siamese_oneshot.runs.job import FILE, Job
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.config import instantiate_plain
from siamese_oneshot.utils.errors import UserError

SECONDS = 10.0
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


MODEL = TrainedModel("x", instantiate_plain(NETWORK), NETWORK)


class Hang(BaseException):
    """A reader that took too long."""


def encoded(kind: str, mode: str = "L") -> bytes:
    """A small image in a format."""
    pixels = np.full((14, 12), 255, np.uint8)
    pixels[3:11, 5:7] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def zipped(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for drawer in (1, 2):
            archive.writestr(f"images/Dog/character01/0001_{drawer:02d}.png", encoded("PNG", "1"))
        archive.writestr(
            "run01/class_labels.txt", "run01/test/item01.png run01/training/class01.png"
        )
    return buffer.getvalue()


def idx(magic: int, *shape: int) -> bytes:
    head = b"".join(number.to_bytes(4, "big") for number in (magic, *shape))
    return head + bytes(k % 10 for k in range(int(np.prod(shape))))


def exported() -> bytes:
    return save(state_dict(), {"siamese_oneshot": json.dumps(header(threshold=0.5, card={}))})


def saved_checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save(checkpoint(), buffer)
    return buffer.getvalue()


def gallery() -> bytes:
    """Classes that a classifier has saved."""
    metadata = {"siamese_oneshot_classes": json.dumps({
        "version": 1, "classes": ["a", "b"], "reject_threshold": None, "model": "x",
        "weights": weights_digest(MODEL),
    })}  # fmt: skip
    return save({"owners": torch.tensor([0, 1, 1]), "supports": torch.rand(3, 64)}, metadata)


def cache() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        bit_cache.write(Path(folder, "x"), {"data": 1}, {"a": np.arange(40, dtype=np.uint8)})
        return Path(folder, "x").read_bytes()


JOB = json.dumps({"version": 1, "number": 0, "overrides": ["a=1"], "swept": ["a"], "attempts": 1,
                  "error": None, "trial": None}).encode()  # of Optuna  # fmt: skip
RESULT = json.dumps({"version": 2, "status": "finished", "experiment": "x", "seed": 0,
                     "data_source": "synthetic", "data_digest": "0", "data_split": "ratio_60_20_20",
                     "scores": [], "val_accuracy": 0.5, "checkpoint": None, "steps": 1, "epochs": 1,
                     "train_seconds": 1.0, "total_seconds": 1.0, "precision": "32-true",
                     }).encode()  # fmt: skip
WORDS = "a folder,x=1 [β] {c: d} 'it''s' \"q\" ${e} \\ (f) ; $(g) `h` | & \n\t\0é\ud800".encode(
    "utf-8", "surrogatepass"
)


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def read_zip(folder: Path, data: bytes) -> None:
    with Archive(put(folder, "x.zip", data)) as archive:
        for name in archive.names[:9]:
            if name.endswith(".png"):
                decode_image(archive, name)
            archive.read(name)


def read_mnist(folder: Path, data: bytes, suffix: str = "") -> None:
    put(folder, f"digits/t10k-images-idx3-ubyte{suffix}", data)
    labels = idx(2049, 40)
    put(
        folder,
        f"digits/t10k-labels-idx1-ubyte{suffix}",
        gzip.compress(labels) if suffix else labels,
    )
    try:
        load_mnist(folder / "digits")
    finally:
        for path in (folder / "digits").iterdir():
            path.unlink()


def read_words(folder: Path, data: bytes) -> None:
    """Whatever path is typed, Hydra reads it back as it was."""
    text = data.decode("utf-8", "surrogateescape").replace("\0", "")
    (line,) = with_paths([f"output_dir={text}"], ["output_dir"])
    if line.startswith("output_dir='"):
        found = OverridesParser.create().parse_overrides([line])[0].value()
        assert found == unquoted(text), (text, line, found)


# what is read: good files, and who reads them
READERS: dict[str, tuple[list[bytes], Callable[[Path, bytes], object]]] = {
    "png": ([encoded("PNG"), encoded("PNG", "1"), encoded("PNG", "P"), encoded("PNG", "RGBA")],
            lambda folder, data: read_input(put(folder, "x", data))),
    "image": ([encoded(kind) for kind in ("JPEG", "GIF", "BMP", "TIFF", "PPM", "ICO", "WEBP")],
                lambda folder, data: read_input(put(folder, "x", data))),
    "zip": ([zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_DEFLATED), zipped(zipfile.ZIP_LZMA)],
            read_zip),
    "idx": ([idx(2051, 40, 3, 3), idx(2049, 40)], read_mnist),
    "idx.gz": ([gzip.compress(idx(2051, 40, 3, 3))],
               lambda folder, data: read_mnist(folder, data, ".gz")),
    "safetensors": ([exported()],
                    lambda folder, data: load_trained(put(folder, "x.safetensors", data))),
    "classes": ([gallery()], lambda folder, data: OneShotClassifier.load(
        put(folder, "x.safetensors", data), MODEL)),
    "ckpt": ([saved_checkpoint()], lambda folder, data: load_trained(put(folder, "x.ckpt", data))),
    "cache": ([cache()], lambda folder, data: bit_cache.read(put(folder, "x", data), {"data": 1})),
    "job.json": ([JOB], lambda folder, data: Job.read(put(folder, FILE, data).parent)),
    "result.json": ([RESULT],
                    lambda folder, data: read_result(put(folder, "result.json", data).parent)),
    "path": ([WORDS], read_words),
}  # fmt: skip
ALLOWED = (UserError, bit_cache.CacheFault)
SHARES = {"ckpt": 0.3, "image": 1.5, "png": 3.0, "zip": 2.0}  # of the inputs; 1 where not here


def spoilt(seeds: list[bytes], rng: random.Random) -> bytes:
    """A good file with one to eight changes; PNG chunks may get their checksums mended."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        size = len(data)
        place, other = rng.randrange(size + 1), rng.randrange(size + 1)
        match rng.randrange(8):
            case 0 if size:
                data[place % size] ^= 1 << rng.randrange(8)
            case 1 if size:
                data[place % size] = rng.randrange(256)
            case 2:
                del data[place : place + rng.choice((1, 4, 40))]
            case 3:
                data[place:place] = rng.randbytes(rng.choice((1, 4, 40)))
            case 4:
                width, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
                number = rng.choice(EXTREMES) % 256**width
                data[place : place + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
            case 5:
                piece = data[other : other + rng.choice((4, 16, 64))]
                data[place:place] = piece
            case 6:
                del data[place:]
            case _:
                donor = rng.choice(seeds)
                data[place:] = donor[rng.randrange(len(donor)) :]
    if data[:4] == b"\x89PNG" and rng.random() < 0.7:
        return mended(bytes(data))
    return bytes(data)


def mended(png: bytes) -> bytes:
    """With right checksums, so that what lies behind them is reached."""
    out, place = png[:8], 8
    while place + 12 <= len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        body = png[place + 4 : place + 8 + min(length, len(png))]
        out += png[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return out + png[place:]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def ring(*ignored: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(count: int, seed: int) -> tuple[Counter[str], list[tuple[str, str, bytes]]]:
    """Try so many inputs.

    Returns:
        How many each reader took and refused; and the findings: reader, what happened, the input.
    """
    rng = random.Random(seed)
    ended: Counter[str] = Counter()
    findings = []
    names = list(READERS)
    weights = [SHARES.get(name, 1.0) for name in names]
    with tempfile.TemporaryDirectory() as top, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(top, "in", "side")
        folder.mkdir(parents=True)
        for name in rng.choices(names, weights, k=count):
            seeds, read = READERS[name]
            data = spoilt(seeds, rng)
            try:
                with time_limit(SECONDS):
                    read(folder, data)
                ended[f"{name} taken"] += 1
            except ALLOWED:
                ended[f"{name} refused"] += 1
            except (Exception, Hang) as problem:
                findings.append((name, f"{type(problem).__name__}: {problem}"[:200], data))
        escaped = [
            path for path in Path(top).rglob("*") if path.is_file() and path.parent != folder
        ]
        findings += [("escape", str(path), b"") for path in escaped]
    return ended, findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    ended, findings = fuzz(asked.count, asked.seed)
    for name, number in sorted(ended.items()):
        print(f"{name}: {number:,}")
    for (reader, what), number in Counter(one[:2] for one in findings).most_common(40):
        example = next(data for name, said, data in findings if (name, said) == (reader, what))
        print(f"FOUND {number} x {reader}: {what}\n  {example[:300]!r}")
    total = sum(ended.values()) + len(findings)
    print(f"{total:,} inputs, {len(findings)} findings, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main()
