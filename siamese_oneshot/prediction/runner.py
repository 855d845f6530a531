"""Classify the images of a folder and summarize the answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.data.image_folder import check_errors, load_queries, load_supports
from siamese_oneshot.prediction.output import (
    Answer,
    PredictionResults,
    percent,
    print_results,
    write_results,
)
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.io import check_writable, new_folder
from siamese_oneshot.utils.text import printable


def predict(
    support: str | Path,
    query: str | Path,
    weights: str | Path = "pretrained",
    top_k: int = 5,
    reject_threshold: float | None = None,
    on_error: str = "skip",
    output_dir: str | Path | None = None,
    trust: Collection[str] = (),
) -> PredictionResults:
    """Classify the queries, print a table, and write CSV, JSON and a contact sheet.

    Args:
        support: A folder of supports, see `load_supports`.
        query: An image or a folder of images, see `load_queries`.
        weights: Name, run folder or file of the network, see `OneShotClassifier.from_pretrained`.
        top_k: Classes per query in the table and in the files.
        reject_threshold: See `OneShotClassifier`.
        on_error: ``skip`` images that cannot be used, or ``stop`` and write nothing.
        output_dir: A folder; None for ``outputs/predict/<time>``.
        trust: See `OneShotClassifier.from_pretrained`.
    """
    start = time.monotonic()
    settings: dict[str, Any] = {"weights": weights, "support": support, "query": query}
    for name, value in settings.items():
        if value is None or value == "":
            raise ArgumentError(name, value, "a path")
        settings[name] = str(value)
    settings |= {"top_k": top_k, "reject_threshold": reject_threshold, "on_error": on_error}
    check.integer("top_k", top_k, 1)
    check_errors((), on_error)
    folder = Path(output_dir).expanduser() if output_dir else None
    default = Path("outputs", "predict", time.strftime("%Y-%m-%d_%H-%M-%S"))
    with _writing(folder or default):
        check_writable(folder or default)
    classifier = OneShotClassifier.from_pretrained(settings["weights"], reject_threshold, trust)
    supports = load_supports(settings["support"], progress=True)
    queries = load_queries(settings["query"], progress=True)
    check_errors(supports.errors + queries.errors, on_error)
    names, images = zip(*supports.images, strict=True)
    classifier.add_images(names, images)
    predictions = classifier.predict([image for _, image in queries.images])
    classes, digests = set(classifier.classes), {image.digest for image in images}
    answers = [
        Answer(prediction, label, label in classes, prediction.image.digest in digests)
        for (label, _), prediction in zip(queries.images, predictions, strict=True)
    ]
    skipped = supports.errors + queries.errors
    labeled = list(zip(names, images, strict=True))
    results = PredictionResults(classifier, labeled, answers, skipped, settings)
    parent = (folder or default).parent
    with _writing(folder or default):
        parent.mkdir(parents=True, exist_ok=True)
        # First into a temporary folder on the same disk: a full disk leaves all files or none.
        nearby = folder if folder is not None and folder.is_dir() else parent
        with tempfile.TemporaryDirectory(prefix=".predict", dir=nearby) as temporary:
            write_results(results, top_k, Path(temporary))
            folder = folder or new_folder(default)
            folder.mkdir(parents=True, exist_ok=True)
            for file in Path(temporary).iterdir():
                file.replace(folder / file.name)
    print_results(results, top_k, folder, time.monotonic() - start)
    return results


def compare(
    pair: Sequence[str | Path], weights: str | Path = "pretrained", trust: Collection[str] = ()
) -> float:
    """Print and return the probability that two images show the same symbol; write nothing."""
    paths = check.names("pair", pair)
    if len(paths) != 2:
        raise ArgumentError("pair", list(paths), "two images: pair=[a.png,b.png]")
    same = OneShotClassifier.from_pretrained(weights, trust=trust).similarity(*paths)
    first, second = map(printable, paths)
    print(f"{first} and {second} show the same symbol with probability {percent(same)}.")
    return same


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Name the folder that the block cannot write to."""
    try:
        yield
    except OSError as error:
        reason = f"it cannot be written to: {error}"
        raise ArgumentError("output_dir", folder, message=reason) from error
