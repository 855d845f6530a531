"""An evaluation from the first picture to the last table."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig

from siamese_oneshot.comparison import tables
from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.comparison.log import log_evaluation
from siamese_oneshot.comparison.paired import paired_tests
from siamese_oneshot.comparison.record import write_json, write_markdown
from siamese_oneshot.comparison.sitting import Outcome, looked_at, sit, slimmed
from siamese_oneshot.comparison.subjects import Subject, combined, find_subjects, folder_named
from siamese_oneshot.data.digits import DigitsUnavailable, load_digits
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.source import load_source
from siamese_oneshot.evaluation.embedding import Machine
from siamese_oneshot.setting import flag, whole
from siamese_oneshot.sweeping.folder import sweep_of
from siamese_oneshot.tracking.result import environment
from siamese_oneshot.tracking.table import Table, wide_console
from siamese_oneshot.training.hardware import (
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)
from siamese_oneshot.training.settings import check_logger

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> list[Outcome]:
    """Put every protocol to the subjects of ``cfg.run``; print, write and draw what comes out.

    Args:
        cfg: the composed configuration of ``conf/evaluate.yaml``.

    Returns:
        The outcomes, in the order asked for.

    Raises:
        UserError: whatever a user can mend.
    """
    began = time.monotonic()
    wanted = list(cfg.run) if isinstance(cfg.run, ListConfig) else [str(cfg.run)]
    views, ensemble = whole("views", cfg.views, 1), flag("ensemble", cfg.ensemble)
    subjects = combined(find_subjects(wanted), views, ensemble)
    accelerator = choose_accelerator(cfg.accelerator, "accelerator")
    machine = Machine(
        "cuda" if accelerator == "gpu" else accelerator,
        choose_precision(cfg.precision, accelerator, "precision"),
        whole("chunk", cfg.chunk, 1),
    )
    if accelerator == "cpu":
        keep_freed_memory()
    flag("pictures", cfg.pictures)
    check_logger(cfg.logger)
    desk = _desk(cfg)
    folder = _folder(cfg.out, wanted, subjects, views)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for subject in subjects:
        outcome = sit(subject, desk, machine)
        log.info(
            "%s: %s pictures embedded once for %s comparisons, %.1f s",
            subject.name,
            f"{outcome.pictures:,}",
            f"{outcome.comparisons:,}",
            outcome.seconds,
        )
        outcomes = slimmed([*outcomes, outcome])
    tests = paired_tests(outcomes, ("official", "paper", "yardstick", "across", "mnist"))
    made = tables_of(outcomes)
    if tests:
        made.append(tables.paired_table(tests))
    omniglot = desk.loaded.drawings.source == "omniglot"
    literature = list(tables.literature_tables(outcomes)) if omniglot else []
    console = wide_console()
    for table in [*made, *literature]:
        console.print(table.rich())
    names = ", ".join(subject.name for subject in subjects)
    surroundings = {
        **environment("evaluate"),
        "data_source": desk.loaded.drawings.source,
        "data_digest": desk.loaded.digest,
        "warnings": list(desk.loaded.warnings),
        "precision": machine.precision,
    }
    write_json(folder, outcomes, tests, surroundings)
    write_markdown(folder, f"Evaluation of {names}", [*made, *literature])
    pictures = {}
    if cfg.pictures:
        from siamese_oneshot.comparison.gallery import draw_all  # here: matplotlib takes a second

        pictures = draw_all(outcomes, desk, folder / "pictures")
    sweep = next((one for one in map(sweep_of, _folders(wanted)) if one is not None), None)
    log_evaluation(
        cfg, folder, f"evaluate {names}", sweep, outcomes, [*made, *literature], pictures
    )
    for warning in desk.loaded.warnings:
        console.print(warning, style="bold red", markup=False)
    console.print(
        f"evaluation.json, evaluation.md and {len(pictures)} pictures are in {folder}; "
        f"{time.monotonic() - began:.0f} s on {surroundings['hardware']}",
        soft_wrap=True,
        markup=False,
    )
    return outcomes


def tables_of(outcomes: Sequence[Outcome]) -> list[Table]:
    """What was found, before it is compared with anything."""
    settings, closest = tables.settings_table(outcomes), looked_at(outcomes)
    return [
        tables.figures_table(outcomes),
        *([settings] if settings is not None else []),
        tables.ways_table(outcomes),
        tables.alphabets_table(outcomes),
        *(tables.confusions_table(closest, one) for one in closest.mixed_up),
    ]


def _desk(cfg: DictConfig) -> Desk:
    """Load what is asked about."""
    data = cfg.data
    loaded = load_source(
        data.source,
        SIDE,
        instantiate(data.glyphs, _convert_="all"),
        data.root,
        data.download,
        data.fallback,
        data.on_bad,
    )
    return Desk(
        loaded,
        _digits(cfg),
        data.split,
        cfg.split,
        instantiate(data.exam),
        instantiate(cfg.protocols),
        None if data.held_out is None else tuple(data.held_out),
    )


def _digits(cfg: DictConfig) -> Drawings | None:
    if cfg.mnist is False:
        return None
    try:
        return load_digits(cfg.mnist)
    except DigitsUnavailable as problem:
        if cfg.mnist is not None:
            raise
        log.warning("no MNIST row: %s", problem)
        return None


def _folders(wanted: Sequence[str]) -> list[Path]:
    """The folders among what was asked for."""
    return [place for one in wanted if (place := folder_named(one)) is not None]


def _folder(
    out: str | None, wanted: Sequence[str], subjects: Sequence[Subject], views: int
) -> Path:
    """Beside the checkpoint of a single run or sweep, else a folder of its own.

    What several views have seen stands apart: a run's ``evaluation`` is of one look at a picture,
    and its thresholds are what ``export`` hands on.
    """
    if out is not None:
        return Path(out).expanduser().absolute()
    if len(wanted) == 1 and subjects[0].trained is not None and (places := _folders(wanted)):
        return places[0].absolute() / ("evaluation" if views == 1 else f"evaluation_{views}_views")
    return Path("outputs", "evaluate", time.strftime("%Y-%m-%d_%H-%M-%S")).absolute()
