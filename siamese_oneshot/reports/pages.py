"""The pages of a report: ``index.html`` of a sweep, and a page for each run."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.aggregate import Group, Importance
from siamese_oneshot.reports.charts import ONE_SHOT, VERIFICATION, run_charts, sweep_charts
from siamese_oneshot.reports.html import GENERATOR, MAX_PLOTS, embed_png, render
from siamese_oneshot.reports.read import (
    CONFIG,
    Curve,
    DataInfo,
    LeftOut,
    RunRecord,
    Sweep,
    evaluation_of,
)
from siamese_oneshot.reports.tables import (
    MAX_ROWS,
    first_rows,
    importance_table,
    jobs_table,
    left_out_table,
    scores_table,
    settings_text,
    time_text,
)
from siamese_oneshot.reports.values import (
    Value,
    escape_resolvers,
    format_value,
    identity,
    leaves,
    path_text,
    shorten,
)
from siamese_oneshot.reports.verdict import published_tables, run_verdict, sweep_verdict
from siamese_oneshot.runs.evaluation_record import ModelRecord
from siamese_oneshot.sweeps.job import COMPLETE, command_of
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.tables import Table
from siamese_oneshot.utils.text import folder_name

log = logging.getLogger(__name__)

INDEX = "index.html"
_RUNS = "runs"
_MAX_GROUPS, _MAX_SEEDS = 5, 5  # of a sweep, beside published results
_MAX_LOG = 12_000  # characters of the end of train.log
_MAX_CONFIG = 60_000  # characters
_MAX_DIFFERENCES = 120  # rows
_NOT_SETTINGS = ("hydra", "resume", "logger")  # where a run is, not what it is
_WAY_CURVES = ("way_curve_test", "way_curve_train")  # forty scores, which have a plot


@dataclass(frozen=True)
class PlotKind:
    """A plot of ``plots/step_*`` or ``evaluation/plots``.

    Attributes:
        title: over it.
        text: what it shows.
        metrics: of the validation that it was drawn at, shown with it: labels by metric name.
        test_keys: of the evaluation; the first one that exists is shown with it.
        of_images: whether it shows images of a set, which the caption names.
    """

    title: str
    text: str
    metrics: Mapping[str, str]
    test_keys: tuple[str, ...]
    of_images: bool = True


_EPISODE = "The query and one image of each class with its score"
PLOTS = {  # in the order of the page
    "episode": PlotKind("One episode", f"{_EPISODE}; the right class is framed.", ONE_SHOT,
                        ("lake_runs", "koch_protocol")),
    "episode_correct": PlotKind("A correct episode", f"{_EPISODE}: the right class is predicted.",
                                ONE_SHOT, ("lake_runs", "koch_protocol")),
    "episode_wrong": PlotKind("A wrong episode", f"{_EPISODE}: a wrong class is predicted.",
                              ONE_SHOT, ("lake_runs", "koch_protocol")),
    "mistakes": PlotKind("Worst mistakes", "A row for each mistake: query, support of the right "
                         "class, support of the predicted class, and scores.", ONE_SHOT,
                         ("within_alphabet",)),
    "confusions": PlotKind("Most confused classes", "A row for each pair of classes: images of "
                           "both, and how often one was predicted for the other.", ONE_SHOT,
                           ("within_alphabet",)),
    "per_alphabet": PlotKind("Accuracy per alphabet", "Bars with 95% intervals, best first.",
                             ONE_SHOT, ("within_alphabet",)),
    "accuracy_vs_way": PlotKind("Accuracy against the number of ways",
                                "The more classes to choose from, the lower the accuracy.",
                                ONE_SHOT, ()),
    "verification_scores": PlotKind("Scores of pairs", "Histograms of the scores of same and "
                                    "different pairs, and the threshold.", VERIFICATION,
                                    ("verification",)),
    "filters": PlotKind("First-layer filters", "The weights of each filter; red is above 0.", {},
                        (), of_images=False),
    "augmentations": PlotKind("Augmented training images", "Each training image beside augmented "
                              "copies of it.", {}, ()),
    "embedding_map": PlotKind("Embeddings of one alphabet", "Images of one alphabet, placed so "
                              "that similar embeddings are close.", {}, ()),
}  # fmt: skip


def write_pages(
    output: Path,
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    settings: Table,
    command: str,
) -> Path:
    """Write ``index.html`` of the sweep and ``runs/<job>.html`` of each job.

    A run that was named by itself is ``index.html``, and there is no other page. Pages of an
    earlier report that this one does not write are removed.

    Args:
        output: folder of the report.
        sweep, groups, importance, left_out, settings: what is reported.
        command: that makes the report; it is shown on every page.

    Returns:
        The page to open.

    Raises:
        OSError: If the folder cannot be written to.
    """
    single = len(sweep.runs) == 1 and sweep.folders[0].resolve() == sweep.runs[0].folder
    names = {} if single else {run.number: _page_name(run) for run in sweep.runs}

    def link(n: int) -> tuple[str, str] | None:
        if not 0 <= n < len(sweep.runs):
            return None
        number = sweep.runs[n].number
        return quote(names[number]), f"job {number}"

    for n, run in enumerate(sweep.runs):
        page = run_page(run)
        path = output / INDEX if single else output / _RUNS / names[run.number]
        up = None if single else (f"../{INDEX}", shorten(sweep.name, 40))
        around = {"sweep": up, "before": link(n - 1), "after": link(n + 1)}
        _write(path, render("run.html", **page, **around, command=command))
    _remove_other_pages(output / _RUNS, set(names.values()))
    if not single:
        links = {str(number): f"{_RUNS}/{quote(name)}" for number, name in names.items()}
        page = sweep_page(sweep, groups, importance, left_out, settings)
        _write(output / INDEX, render("sweep.html", **page, links=links, command=command))
    return output / INDEX


def _page_name(run: RunRecord) -> str:
    """The name of the run's folder, after its number, which makes it unique."""
    name = run.folder.name
    number, _, _ = name.partition("_")
    return f"{folder_name([name if number == str(run.number) else f'{run.number}_{name}'])}.html"


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def _remove_other_pages(folder: Path, names: set[str]) -> None:
    for path in folder.glob("*.html"):
        if path.name in names:
            continue
        try:
            with open(path, "rb") as file:
                ours = f'content="{GENERATOR}"'.encode() in file.read(4000)
            if ours:
                path.unlink()
        except OSError as error:
            log.warning("%s cannot be removed: %s", path, error)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def run_page(run: RunRecord) -> dict[str, Any]:
    """What the template of a run's page takes."""
    scores = list(run.scores.values())
    by_data: list[tuple[DataInfo | None, list[Score]]] = [(run.data, scores)]
    tables = [scores_table("Scores at the end of training", scores)]
    evaluation = evaluation_of(run)
    model = None if evaluation is None else evaluation[1]
    if evaluation is not None:
        data, title = evaluation[0], "Scores of the evaluation after training"
        tested = [score for score in evaluation[1].scores if score.split == "test"]
        if data == run.data:  # the evaluation replaces the run's own scores of the same lists
            latest = {(score.split, score.key): score for score in [*scores, *tested]}
            by_data = [(data, list(latest.values()))]
        else:
            title += f", on {data.source} (split {data.split})"
            by_data.append((data, tested))
        listed = [score for score in evaluation[1].scores if score.series not in _WAY_CURVES]
        tables.append(scores_table(title, listed))
    verdicts = [run_verdict(own, data) for data, own in by_data]
    verdict = next((verdict for verdict in verdicts if verdict.tone != "none"), verdicts[0])
    return {
        "title": f"{_experiment([run])}: {path_text(Path(run.folder.name))}",
        "run": run,
        "verdict": verdict,
        "plots": _plot_groups(run, model),  # before the warnings, to which it adds
        "warnings": _warnings(run),
        "resume": "" if run.status in COMPLETE else _resume_command(run),
        "tables": [table for table in tables if table.rows],
        "published": published_tables([("this run", *own) for own in by_data]),
        "charts": run_charts(run.curves),
        "differences": _differences(run),
        "config": _config_text(run),
        "details": _details(run),
        "log": _log_end(run.folder / "train.log"),
    }


def _experiment(runs: Sequence[RunRecord]) -> str:
    """Experiments and models of some runs: ``default, cross_attention``."""
    names = [run.data.experiment for run in runs if run.data is not None]
    models = [format_value(model) for known, model in (run.value("model") for run in runs) if known]
    return shorten(", ".join(dict.fromkeys([*names, *models])), 80) or "unknown experiment"


def _warnings(run: RunRecord) -> list[str]:
    """What a reader of the scores must know, and what is wrong with the folder."""
    warnings = [str(text) for text in run.result.warnings] if run.result is not None else []
    if run.error:
        warnings.append(f"{run.status}: {run.error}")
    if run.status in ("unfinished", "interrupted"):
        warnings.append("This training has not ended: its scores are the latest so far.")
    elif run.status == "pruned":
        warnings.append("This training was pruned: stopped early because others scored better.")
    return list(dict.fromkeys([*warnings, *run.problems]))


def _resume_command(run: RunRecord) -> str:
    return shlex.join(["python", "-m", "siamese_oneshot.train", f"resume={path_text(run.folder)}"])


def _plot_groups(
    run: RunRecord, model: ModelRecord | None
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The plots of the last validation that was drawn and of the evaluation, under headings."""
    drawn = {
        int(digits): folder
        for folder in (run.folder / "plots").glob("step_*")
        if (digits := folder.name.partition("_")[2]).isdecimal() and any(folder.glob("*.png"))
    }
    folders: list[tuple[str, Path, int | None]] = []
    if drawn:
        last = max(drawn)
        folders.append((f"Validation set, at step {last:,}", drawn[last], last))
    folders.append(("Test set, from the evaluation", run.folder / "evaluation" / "plots", None))
    room, order, groups = MAX_PLOTS, list(PLOTS), []
    for heading, folder, step in folders:
        plots = []
        paths = {path.stem: path for path in sorted(folder.glob("*.png")) if path.is_file()}
        for name in [*filter(paths.__contains__, order), *(n for n in paths if n not in PLOTS)]:
            try:
                address, width, height = embed_png(paths[name], room)
            except (OSError, ValueError) as error:
                label = path_text(paths[name].relative_to(run.folder))
                run.problems.append(f"the plot {label} is not shown: {shorten(str(error), 160)}")
                continue
            room -= len(address)
            label = path_text(Path(name))
            title = PLOTS[name].title if name in PLOTS else label.replace("_", " ")
            alt = plot_text(name, step, run.curves, model)
            plots.append({"data": address, "width": width, "height": height, "title": title,
                          "alt": alt})  # fmt: skip
        if plots:
            groups.append((heading, plots))
    return groups


def plot_text(
    name: str, step: int | None, curves: Mapping[str, Curve], model: ModelRecord | None
) -> str:
    """The caption of a plot: what it shows, of which set, and the scores that belong to it.

    Args:
        name: of the plot.
        step: of the training at which it was drawn; None: by the evaluation.
        curves: of the training.
        model: results of the evaluation; None if there is none.
    """
    kind = PLOTS.get(name)
    if kind is None:
        return f"The plot {path_text(Path(name))}."
    if step is not None:
        values = {label: _at(curves.get(metric), step) for metric, label in kind.metrics.items()}
        known = [f"{label} {100 * v:.2f}%" for label, v in values.items() if v is not None]
        where = "Validation set" if kind.metrics else "Drawn"
        return f"{kind.text} {where} at step {step:,}{': ' if known else ''}{', '.join(known)}."
    test = [s for s in model.scores if s.split == "test"] if model else []
    numbers: list[str] = []
    if name == "accuracy_vs_way":
        curve = [score for score in test if score.series == "way_curve_test"]
        numbers = [f"{score.way}-way {100 * score.value:.1f}%" for score in curve]
    elif name == "per_alphabet" and model:
        of_each = [(score.alphabet or score.name, score.value) for score in model.alphabets]
        numbers = [f"{name.replace('_', ' ')} {100 * value:.1f}%" for name, value in of_each]
    else:
        scores = [score for key in kind.test_keys for score in test if score.key == key][:1]
        numbers = [f"{100 * s.value:.2f}% of {s.n:,} are correct ({s.name})" for s in scores]
    if not kind.of_images:
        return kind.text
    return f"{kind.text} Test set{': ' if numbers else ''}{', '.join(numbers)}."


def _at(curve: Curve | None, step: int) -> float | None:
    """The value at a step, which the trainer's metrics count from 0 and plots from 1."""
    if curve is None:
        return None
    near = [n for n, own in enumerate(curve.steps) if step - 1 <= own <= step]
    return curve.values[near[-1]] if near else None


def _differences(run: RunRecord) -> Table | None:
    """The settings that differ from the defaults of the run's experiment in this version.

    Returns:
        None if there is no configuration to compare.
    """
    if not isinstance(run.config, dict):
        return None
    experiment = run.overrides.get("experiment")
    defaults = _defaults(() if experiment is None else (f"+experiment={experiment}",))
    if defaults is None:
        table = Table("Settings of the command line", ["setting", "this run"])
        table.note = "This version does not have the experiment's defaults."
        for key, text in list(run.overrides.items())[:_MAX_DIFFERENCES]:
            table.add(key, shorten(text, 160))
        return table
    title = "Settings that differ from the defaults"
    if experiment is not None:
        title += f" of experiment={experiment}"
    table = Table(title, ["setting", "this run", "default"])
    own = leaves({key: value for key, value in run.config.items() if key not in _NOT_SETTINGS})
    keys = [k for k in own if k not in defaults or identity(own[k]) != identity(defaults[k])]
    keys += [key for key in defaults if key not in own]
    for key in keys[:_MAX_DIFFERENCES]:
        texts = [format_value(s[key]) if key in s else "not set" for s in (own, defaults)]
        table.add(key, *(shorten(text, 160) for text in texts))
    table.note = "Defaults are those of the version that made this report."
    if len(keys) > _MAX_DIFFERENCES:
        table.note += f" {len(keys) - _MAX_DIFFERENCES} more settings are in {CONFIG}."
    return table


@cache
def _defaults(overrides: tuple[str, ...]) -> dict[str, Value] | None:
    """The configuration of an experiment without other overrides; None if it cannot be made."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from siamese_oneshot.utils.config import conf_dir

    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("config", list(overrides))
    except HydraException:
        return None
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return leaves({key: value for key, value in plain.items() if key not in _NOT_SETTINGS})


def _config_text(run: RunRecord) -> str:
    """The resolved configuration as YAML; empty if there is none."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    config = run.config
    if config is None:
        return ""
    try:  # what cannot be resolved stays as written
        if isinstance(config, dict):
            config = OmegaConf.to_container(
                OmegaConf.create(escape_resolvers(config)), resolve=True
            )
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError):
        config = run.config
    try:
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    except (yaml.YAMLError, RecursionError):
        text = str(config)
    if len(text) > _MAX_CONFIG:
        text = f"{text[:_MAX_CONFIG]}\n… the rest is in {CONFIG}\n"
    return text


def _details(run: RunRecord) -> list[tuple[str, str]]:
    """Where and how it ran."""
    details: list[tuple[str, Any]] = [("folder", path_text(run.folder)), ("status", run.status)]
    details.append(("seed", run.seed))
    details.append(("attempts", None if run.job is None else run.job.attempts))
    if run.data is not None:
        data = run.data
        details += [("experiment", data.experiment), ("data", data.source), ("split", data.split)]
        details += [("trained on", data.trained_on), ("digest of the data", data.digest)]
    result = run.result
    if result is not None:
        packages = result.packages if isinstance(result.packages, dict) else {}
        details += [("steps", f"{result.steps:,}"), ("training", time_text(result.train_seconds))]
        details += [("precision", result.precision), ("hardware", result.hardware)]
        details += [("commit", result.commit), ("Python", result.python)]
        details.append(("packages", ", ".join(f"{name} {v}" for name, v in packages.items())))
        details += [("checkpoint", result.checkpoint), ("command", result.command)]
    return [(name, str(value)) for name, value in details if value not in (None, "")]


def _log_end(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - _MAX_LOG))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return ("…" if length > _MAX_LOG else "") + text


def sweep_page(
    sweep: Sweep,
    groups: Sequence[Group],
    importance: Importance,
    left_out: Sequence[LeftOut],
    settings: Table,
) -> dict[str, Any]:
    """What the template of a sweep's page takes."""
    charts = sweep_charts(sweep, importance)
    rest = left_out_table(left_out)
    compared = [
        (f"job {run.number} ({settings_text(run.settings, sweep.keys)})", run.data,
         list(run.scores.values()))
        for group in groups[:_MAX_GROUPS]
        for run in group.runs[:_MAX_SEEDS]
    ]  # fmt: skip
    done = all(run.status in COMPLETE for run in sweep.runs)
    return {
        "title": f"Sweep {sweep.name} ({_experiment(sweep.runs)})",
        "summary": sweep.summary(),
        "verdict": sweep_verdict(sweep, groups),
        "charts": charts,
        "chart": {chart.key: chart for chart in charts},
        "settings": first_rows(settings, MAX_ROWS) if groups else None,
        "jobs": jobs_table(sweep),
        "importance": importance_table(importance),
        "importance_note": importance.why,
        "published": published_tables(compared),
        "left_out": None if rest is None else first_rows(rest, MAX_ROWS),
        "resume": "" if done else command_of(sweep.folders[0]),
    }
