"""An evaluation from the first image to the last table."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.mnist import MnistUnavailable, load_mnist
from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.sources import load_source
from siamese_oneshot.evaluation import tables
from siamese_oneshot.evaluation.embedding import ComputeConfig
from siamese_oneshot.evaluation.evaluator import (
    Outcome,
    evaluate_model,
    primary,
    without_embeddings,
)
from siamese_oneshot.evaluation.models import EvaluatedModel, combined, find_models, folder_named
from siamese_oneshot.evaluation.record import write_json, write_markdown
from siamese_oneshot.evaluation.significance import paired_tests
from siamese_oneshot.evaluation.task_provider import TaskProvider
from siamese_oneshot.loggers import build_loggers, check_loggers
from siamese_oneshot.loggers.run_name import tags_of
from siamese_oneshot.loggers.run_summary import log_evaluation
from siamese_oneshot.sweeps.job import sweep_of
from siamese_oneshot.utils import check
from siamese_oneshot.utils.hardware import (
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)
from siamese_oneshot.utils.run_info import environment
from siamese_oneshot.utils.tables import Table, wide_console

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig) -> list[Outcome]:
    """Put every protocol to the models of ``cfg.models``; print, write and draw what comes out.

    Args:
        cfg: the composed configuration of ``conf/evaluate.yaml``.

    Returns:
        The outcomes, in the order asked for.

    Raises:
        UserError: whatever a user can mend.
    """
    began = time.monotonic()
    wanted = list(cfg.models) if isinstance(cfg.models, ListConfig) else [str(cfg.models)]
    views, ensemble = (
        check.integer("tta_views", cfg.tta_views, 1),
        check.boolean("ensemble", cfg.ensemble),
    )
    models = combined(find_models(wanted, cfg.trust), views, ensemble)
    accelerator = choose_accelerator(cfg.accelerator, "accelerator")
    machine = ComputeConfig(
        "cuda" if accelerator == "gpu" else accelerator,
        choose_precision(cfg.precision, accelerator, "precision"),
        check.integer("eval_batch_size", cfg.eval_batch_size, 1),
    )
    if accelerator == "cpu":
        keep_freed_memory()
    check.boolean("plots", cfg.plots)
    check_loggers(cfg.get("logger"))
    task_provider = _task_provider(cfg)
    folder = _folder(cfg.output_dir, wanted, models, views)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for model in models:
        outcome = evaluate_model(model, task_provider, machine)
        log.info(
            "%s: %s images embedded once for %s comparisons, %.1f s",
            model.name,
            f"{outcome.images:,}",
            f"{outcome.comparisons:,}",
            outcome.seconds,
        )
        outcomes = without_embeddings([*outcomes, outcome])
    tests = paired_tests(
        outcomes, ("lake_runs", "koch_protocol", "within_alphabet", "cross_alphabet", "mnist")
    )
    made = tables_of(outcomes)
    if tests:
        made.append(tables.paired_table(tests))
    omniglot = task_provider.loaded.dataset.source == "omniglot"
    literature = list(tables.literature_tables(outcomes)) if omniglot else []
    console = wide_console()
    for table in [*made, *literature]:
        console.print(table.rich())
    names = ", ".join(model.name for model in models)
    surroundings = {
        **environment("evaluate"),
        "data_source": task_provider.loaded.dataset.source,
        "data_digest": task_provider.loaded.digest,
        "warnings": list(task_provider.loaded.warnings),
        "precision": machine.precision,
    }
    write_json(folder, outcomes, tests, surroundings)
    write_markdown(folder, f"Evaluation of {names}", [*made, *literature])
    images = {}
    if cfg.plots:
        from siamese_oneshot.evaluation.plots import draw_all  # here: matplotlib takes a second

        images = draw_all(outcomes, task_provider, folder / "pictures")
    sweep = next((one for one in map(sweep_of, _folders(wanted)) if one is not None), None)
    with build_loggers(
        cfg.get("logger"),
        folder,
        OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
        name=f"evaluate {names}"[:96],
        group=None if sweep is None else sweep.resolve().name,
        tags=_tags(outcomes),
        job_type="evaluate",
    ) as loggers:
        log_evaluation(loggers, outcomes, [*made, *literature], images)
    for warning in task_provider.loaded.warnings:
        console.print(warning, style="bold red", markup=False)
    console.print(
        f"evaluation.json, evaluation.md and {len(images)} images are in {folder}; "
        f"{time.monotonic() - began:.0f} s on {surroundings['hardware']}",
        soft_wrap=True,
        markup=False,
    )
    return outcomes


def tables_of(outcomes: Sequence[Outcome]) -> list[Table]:
    """What was found, before it is compared with anything."""
    settings, closest = tables.settings_table(outcomes), primary(outcomes)
    return [
        tables.figures_table(outcomes),
        *([settings] if settings is not None else []),
        tables.ways_table(outcomes),
        tables.alphabets_table(outcomes),
        *(tables.confusions_table(closest, one) for one in closest.confused_lists),
    ]


def _tags(outcomes: Sequence[Outcome]) -> list[str]:
    """The tags of the trainings, so that a filter by one finds their evaluations, too."""
    tags = [
        tags_of(one.model.metadata.get("experiment") or "", one.dataset.source, one.split)
        for one in outcomes
    ]
    return [*dict.fromkeys(tag for own in tags for tag in own)]


def _task_provider(cfg: DictConfig) -> TaskProvider:
    """Load what is asked about."""
    data = cfg.data
    loaded = load_source(
        data.source,
        SIDE,
        instantiate(data.synthetic, _convert_="all"),
        data.root,
        data.download,
        data.on_missing,
        data.on_error,
    )
    return TaskProvider(
        loaded,
        _mnist(cfg),
        data.split,
        cfg.split,
        instantiate(data.eval),
        instantiate(cfg.protocols),
        None if data.val_alphabets is None else tuple(data.val_alphabets),
    )


def _mnist(cfg: DictConfig) -> CharacterDataset | None:
    if cfg.mnist is False:
        return None
    try:
        return load_mnist(cfg.mnist)
    except MnistUnavailable as problem:
        if cfg.mnist is not None:
            raise
        log.warning("no MNIST row: %s", problem)
        return None


def _folders(wanted: Sequence[str]) -> list[Path]:
    """The folders among what was asked for."""
    return [place for one in wanted if (place := folder_named(one)) is not None]


def _folder(
    out: str | None, wanted: Sequence[str], models: Sequence[EvaluatedModel], views: int
) -> Path:
    """Beside the checkpoint of a single run or sweep, else a folder of its own.

    What several views have seen stands apart: a run's ``evaluation`` is of one look at an image,
    and its thresholds are what ``export`` hands on.
    """
    if out is not None:
        return Path(out).expanduser().absolute()
    if len(wanted) == 1 and models[0].trained is not None and (places := _folders(wanted)):
        return places[0].absolute() / ("evaluation" if views == 1 else f"evaluation_{views}_views")
    return Path("outputs", "evaluate", time.strftime("%Y-%m-%d_%H-%M-%S")).absolute()
