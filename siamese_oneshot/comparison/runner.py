"""The evaluate command, from configuration to the last table."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from siamese_oneshot.comparison.models import EvaluatedModel, combine, find_models, folder_named
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.mnist import MnistUnavailable, load_mnist
from siamese_oneshot.data.sources import load_source
from siamese_oneshot.evaluation.baselines import BASELINES
from siamese_oneshot.evaluation.embeddings import ComputeConfig
from siamese_oneshot.evaluation.evaluator import confusions, paired_tests
from siamese_oneshot.evaluation.model_evaluation import (
    ModelResults,
    TaskProvider,
    evaluate_model,
    primary,
)
from siamese_oneshot.evaluation.published import published
from siamese_oneshot.evaluation.tables import answer, published_tables, result_tables
from siamese_oneshot.loggers import build_loggers, check_loggers
from siamese_oneshot.loggers.run_summary import log_evaluation
from siamese_oneshot.runs.evaluation_record import (
    EvaluationRecord,
    ModelRecord,
    write_evaluation,
)
from siamese_oneshot.runs.job import sweep_of
from siamese_oneshot.utils import check
from siamese_oneshot.utils.hardware import (
    choose_accelerator,
    choose_precision,
    keep_freed_memory,
)
from siamese_oneshot.utils.imports import import_torchmetrics
from siamese_oneshot.utils.io import check_writable, new_folder
from siamese_oneshot.utils.run_info import environment
from siamese_oneshot.utils.tables import text_of, write_markdown
from siamese_oneshot.utils.text import duration, near

log = logging.getLogger(__name__)

TESTED = ("lake_runs", "koch_protocol", "within_alphabet", "cross_alphabet", "mnist")
KEPT = ("lake_runs", "koch_protocol")  # lists whose every prediction is kept in evaluation.json


def evaluate(cfg: DictConfig) -> list[ModelResults]:
    """Evaluate ``cfg.models`` on every list, and print, save, plot and log the results.

    Args:
        cfg: The composed configuration of ``conf/evaluate.yaml``.

    Returns:
        The results of each model in the order of ``cfg.models``.

    Raises:
        UserError: For everything that a user can correct.
    """
    began = time.monotonic()
    names = list(cfg.models) if isinstance(cfg.models, ListConfig) else [str(cfg.models)]
    tta = None if cfg.tta is None else check.boolean("tta", cfg.tta)
    ensemble = check.boolean("ensemble", cfg.ensemble)
    baselines = {**BASELINES, **instantiate(cfg.baselines, _convert_="all")}
    models = combine(find_models(names, cfg.trust, baselines), tta, ensemble)
    accelerator = choose_accelerator(cfg.accelerator)
    compute = ComputeConfig(
        "cuda" if accelerator == "gpu" else accelerator,
        choose_precision(cfg.precision, accelerator),
        check.integer("eval_batch_size", cfg.eval_batch_size, 1),
    )
    if accelerator == "cpu":
        keep_freed_memory()
    check.boolean("plots", cfg.plots)
    check.boolean("details", cfg.details)
    if cfg.get("logger"):  # loggers load Lightning, which loads torchmetrics
        import_torchmetrics()
    check_loggers(cfg.get("logger"))
    summary_metrics = instantiate(cfg.summary_metrics, _convert_="all")
    log.info("reading the images")
    task_provider = _task_provider(cfg)
    for model in models:  # before anything is evaluated: it may refuse one of them
        task_provider.tasks(model)
    folder = _output_dir(cfg.output_dir, names, models)
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    all_results: list[ModelResults] = []
    for model in models:
        one = evaluate_model(model, task_provider, compute, summary_metrics)
        count = f"{one.images:,} images embedded, {one.comparisons:,} pairs scored"
        log.info("%s: %s, %s", model.name, count, duration(one.seconds))
        all_results.append(one)
        closest = primary(all_results)  # embeddings are large, and plotted for one model only
        all_results = [o if o is closest else replace(o, embeddings=None) for o in all_results]
    tests = paired_tests([(one.model.name, one.results) for one in all_results], TESTED)
    tables = [*result_tables(all_results, tests), *published_tables(all_results)]
    title = ", ".join(model.name for model in models)
    loaded = task_provider.loaded
    record = EvaluationRecord(
        models=[model_record(model_results) for model_results in all_results],
        data_source=loaded.dataset.source,
        data_digest=loaded.dataset.digest,
        warnings=[*loaded.warnings, *(one.warning for one in all_results if one.warning)],
        precision=compute.precision,
        paired_tests=[{**dataclasses.asdict(one), "difference": one.difference} for one in tests],
        published=[dataclasses.asdict(row) for row in published()],
        **environment("evaluate"),
    )
    write_evaluation(folder, record)
    notes = [f"Note: {warning}" for warning in record.warnings]
    write_markdown(folder / "evaluation.md", f"Evaluation of {title}", [*notes, *tables])
    plots = {}
    if cfg.plots:
        log.info("drawing plots")
        from siamese_oneshot.plots.figures import evaluation_figures, save_figures  # slow to import

        plots = save_figures(evaluation_figures(all_results, loaded.dataset), folder / "plots")
    sweep = next((one for one in map(sweep_of, _folders(names)) if one is not None), None)
    # The tags of the trainings, so that a filter by one of them finds evaluations as well.
    tags = [
        tag
        for one in all_results
        for tag in (one.model.metadata.get("experiment") or "", one.dataset.source, one.split)
    ]
    with (
        build_loggers(
            cfg.get("logger"),
            folder,
            OmegaConf.to_container(cfg, resolve=True),  # type: ignore[arg-type]
            name=f"evaluate {title}"[:96],
            group=None if sweep is None else sweep.resolve().name,
            tags=[*dict.fromkeys(tags)],
            job_type="evaluate",
        ) as loggers
    ):
        log_evaluation(loggers, all_results, tables, plots)
    sentence, shown = answer(all_results, tests)
    details = tables if cfg.details else ["every list, alphabet and confusion: evaluation.md there"]
    print(
        text_of(
            sentence,
            *shown,
            *(f"{o.model.name}: {k} {v:.4g}" for o in all_results for k, v in o.summary.items()),
            *details,
            *(f"note: {warning}" for warning in record.warnings),
            f"in {near(folder)}: evaluation.json, evaluation.md and {len(plots)} plots; "
            f"{duration(time.monotonic() - began)} on {record.hardware}",
        )
    )
    return all_results


def model_record(model_results: ModelResults) -> ModelRecord:
    """The results of one model as they stand in ``evaluation.json``."""
    model, names = model_results.model, model_results.dataset.class_names
    kept = {key: model_results.results[key] for key in KEPT if key in model_results.results}
    return ModelRecord(
        name=model.name,
        kind="baseline" if model.trained is None else "network",
        trained_on=model.trained_on,
        split=model_results.split,
        scores=model_results.scores,
        alphabets=model_results.alphabets,
        threshold=model_results.test.verification.threshold,
        reject_threshold=model_results.reject_threshold,
        temperature=model_results.temperature,
        metadata=model.metadata,
        parameters=model.parameters,
        n_networks=model.n_networks,
        confusions={
            results.task.key: [
                {"classes": [names[one.first], names[one.second]], "times": one.times, "n": one.n}
                for one in confusions(results, model_results.dataset.classes)
            ]
            for results in model_results.confused_lists
        },
        predictions={
            key: {
                "digest": results.task.episodes.digest,
                "is_correct": "".join(str(int(one)) for one in results.is_correct),
            }
            for key, results in kept.items()
        },
        summary=model_results.summary,
        images_embedded=model_results.images,
        comparisons=model_results.comparisons,
        seconds=model_results.seconds,
    )


def _task_provider(cfg: DictConfig) -> TaskProvider:
    """Load the images."""
    data = cfg.data
    source = data.source if isinstance(data.source, str) else instantiate(data.source)
    synthetic = instantiate(data.synthetic, _convert_="all")
    settings = data.root, data.download, data.on_missing, data.on_error, synthetic
    return TaskProvider(
        load_source(source, *settings),
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
    except MnistUnavailable:
        if cfg.mnist is not None:
            raise
        log.warning(
            "MNIST was not found and is left out: name its folder with mnist=<folder>, or set "
            "mnist=false"
        )
        return None


def _folders(names: Sequence[str]) -> list[Path]:
    return [folder for one in names if (folder := folder_named(one)) is not None]


def _output_dir(
    output_dir: str | None, names: Sequence[str], models: Sequence[EvaluatedModel]
) -> Path:
    """Inside the folder of a single run or sweep, else a folder of its own.

    Where ``tta`` changes the network, results go elsewhere, since its thresholds differ.
    """
    if output_dir is not None:
        return Path(output_dir).expanduser().absolute()
    if len(names) == 1 and models[0].trained is not None and (folders := _folders(names)):
        changed = [one.trained.network.tta for one in models if one.trained and one.tta_changed]
        end = ("_tta" if changed[0] else "_without_tta") if changed else ""
        return folders[0].absolute() / f"evaluation{end}"
    return new_folder(Path("outputs", "evaluate", time.strftime("%Y-%m-%d_%H-%M-%S")).absolute())
