"""A prediction from the first image to the last file."""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
import time
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.data.image_folder.support_query import judge, load_queries, load_supports, told
from siamese_oneshot.prediction.contact_sheet import write_sheet
from siamese_oneshot.prediction.record import shown, table_of, write_csv, write_json
from siamese_oneshot.prediction.results import Outcome
from siamese_oneshot.utils.errors import UserError


def predict(cfg: DictConfig) -> Outcome:
    """Rank the classes of ``cfg.support`` for each image of ``cfg.query``; print and write that.

    Args:
        cfg: the composed configuration of ``conf/predict.yaml``.

    Returns:
        What was found.

    Raises:
        UserError: whatever a user can mend.
    """
    began = time.monotonic()
    settings = {
        name: cfg[name]
        for name in ("model", "support", "query", "top_k", "reject_threshold", "on_error")
    }
    _check(cfg)
    judge((), cfg.on_error)
    classifier = OneShotClassifier.load(str(cfg.model), cfg.reject_threshold, cfg.trust)
    supports, queries = load_supports(cfg.support), load_queries(cfg.query)
    judge(supports.faults + queries.faults, cfg.on_error)
    for name, given in supports.images:
        classifier.add_class(name or "", given)
    predictions = classifier.rank([given for _, given in queries.images])
    outcome = Outcome(classifier, supports, queries, predictions, settings)
    folder = _written(outcome, cfg)
    _print(outcome, cfg.top_k, folder, time.monotonic() - began)
    return outcome


def _check(cfg: DictConfig) -> None:
    """Refuse settings that cannot be meant."""
    for name in ("model", "support", "query"):
        if cfg[name] in (None, ""):
            raise UserError(f"{name} has no value yet; give one on the command line: {name}=…")
    if type(cfg.top_k) is not int or cfg.top_k < 1:
        raise UserError(f"top_k={cfg.top_k}: it must be a whole number, 1 or more")
    below = cfg.reject_threshold
    if below is not None and (type(below) not in (int, float) or not math.isfinite(below)):
        raise UserError(f"reject_threshold={below}: it must be a number, or null for the network's")


def _written(outcome: Outcome, cfg: DictConfig) -> Path:
    """The files, and the folder that they are in."""
    if cfg.output_dir in (None, ""):
        folder = Path("outputs", "predict", time.strftime("%Y-%m-%d_%H-%M-%S"))
    else:
        folder = Path(cfg.output_dir).expanduser()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # On the folder's disk first, so that a full one leaves none of the files or all.
        near = folder if folder.is_dir() else folder.parent
        with tempfile.TemporaryDirectory(prefix=".predict", dir=near) as passing:
            write_csv(outcome, cfg.top_k, Path(passing, "predictions.csv"))
            write_json(outcome, Path(passing, "predictions.json"))
            write_sheet(outcome, Path(passing, "normalized.png"))
            if cfg.output_dir in (None, ""):
                folder = _new_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for file in Path(passing).iterdir():
                file.replace(folder / file.name)
    except OSError as problem:
        raise UserError(f"output_dir={folder} cannot be written to: {problem}") from problem
    return folder


def _new_folder(wanted: Path) -> Path:
    """That folder, or one with a number behind it where another run took it in the same second."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


def _print(outcome: Outcome, top: int, folder: Path, seconds: float) -> None:
    console = Console()

    def say(text: str, style: str | None = None) -> None:
        console.print(shown(text), style=style, markup=False, highlight=False, soft_wrap=True)

    console.print(table_of(outcome, top).rich())
    found = outcome.accuracy
    if found is not None:
        say(
            f"{found['correct']} of {found['n']} right: {100 * found['value']:.1f}% "
            f"(95% interval {100 * found['low']:.1f}-{100 * found['high']:.1f}%)"
        )
    for note in outcome.notes:
        say(note, "yellow")
    if outcome.skipped:
        say(f"Skipped, {len(outcome.skipped)}:\n{told(outcome.skipped)}".rstrip(), "yellow")
    say(
        f"predictions.csv, predictions.json and normalized.png (what the network sees: look at it) "
        f"are in {folder}; {seconds:.1f} s"
    )
