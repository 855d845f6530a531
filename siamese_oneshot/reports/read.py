"""Runs and sweeps, read from their folders; every file may be missing or damaged."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.runs.evaluation_record import ModelRecord, find_evaluation, read_evaluation
from siamese_oneshot.runs.job import COMPLETE, Job, command_of
from siamese_oneshot.runs.job import FILE as JOB
from siamese_oneshot.runs.record import flat
from siamese_oneshot.runs.result import FILE as RESULT
from siamese_oneshot.runs.result import RunResult, read_result
from siamese_oneshot.utils.errors import UserError, shown
from siamese_oneshot.utils.io import open_regular, read_yaml
from siamese_oneshot.utils.run_info import is_of_training
from siamese_oneshot.utils.text import bare_key, path_text

ACCURACY = "val/one_shot_accuracy"
STATUSES = ("finished", "pruned", "failed", "interrupted", "unfinished")
CONFIG = ".hydra/config.yaml"
METRICS = "csv/version_0/metrics.csv"
_MARKERS = (JOB, RESULT, CONFIG, ".hydra/overrides.yaml", "csv")  # any of them marks a run's folder
_LOCATIONS = ("root", "num_workers", "dirpath", "folder")  # settings that say where, not what
_MAX_METRICS = 2**28
_MAX_COLUMNS = 300  # of metrics.csv
_MISSING = object()


@dataclass(frozen=True)
class DataInfo:
    """The training data of a run; runs that differ in it are never averaged."""

    experiment: str
    source: str
    digest: str  # of the images
    split: str
    trained_on: str = field(default="", compare=False)  # in words; empty if unknown


@dataclass
class Curve:
    """One metric over the steps of a training: steps ascend, values are finite."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def thinned(self, limit: int) -> Curve:
        """At most about ``limit`` points: the lowest and the highest of each stretch.

        The first, the last, the lowest and the highest point of the curve always stay.
        """
        count = len(self.steps)
        if count <= limit:
            return self
        stretch = -(-2 * count // max(2, limit - 2))
        kept = {0, count - 1}
        for start in range(0, count, stretch):
            indices = range(start, min(start + stretch, count))
            kept.add(min(indices, key=self.values.__getitem__))
            kept.add(max(indices, key=self.values.__getitem__))
        chosen = sorted(kept)
        return Curve([self.steps[n] for n in chosen], [self.values[n] for n in chosen])


@dataclass
class RunRecord:
    """One training run: a job of a sweep, or a run of its own; what is unknown is None or empty."""

    folder: Path
    label: str = ""  # the folder as the report shows it
    number: int = -1  # of the job in its sweep, from 0; else the position in the report
    status: str = "unfinished"  # one of `STATUSES`
    seed: int | None = None
    data: DataInfo | None = None
    val_accuracy: float | None = None  # one-shot, 0 … 1, the best; the best so far if unfinished
    scores: dict[str, Score] = field(default_factory=dict)  # by split/key
    settings: dict[str, str] = field(default_factory=dict)  # that differ in the report, by key
    error: str = ""  # why it failed
    result: RunResult | None = None
    job: Job | None = None
    overrides: dict[str, str] = field(default_factory=dict)  # of the command line, by key
    config: Any = None  # of .hydra/config.yaml, interpolations unresolved
    curves: dict[str, Curve] = field(default_factory=dict)  # every logged metric
    problems: list[str] = field(default_factory=list)  # with the folder's files

    @property
    def seconds(self) -> float | None:
        """Training time, if known."""
        return None if self.result is None else self.result.train_seconds

    def of_split(self, split: str) -> dict[str, Score]:
        """The scores of one split."""
        return {name: score for name, score in self.scores.items() if score.split == split}

    def value(self, key: str) -> str | None:
        """A setting, as configured, else as on the command line; None if it is not known.

        An interpolation is returned as written: a folder may come from someone else, and
        ``${oc.env:API_KEY}`` must not be resolved in this environment.
        """
        found = self.config
        for name in key.split("."):
            found = found.get(name, _MISSING) if isinstance(found, dict) else _MISSING
        if found is not _MISSING and not isinstance(found, dict):
            return setting_text(found)
        return parsed(self.overrides[key]) if key in self.overrides else None

    def yaml(self, name: str) -> Any:
        """The content of a YAML file; None if it is missing or damaged."""
        import yaml

        try:
            return read_yaml(self.folder / name, self.folder)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            self.problems.append(f"{name} is damaged ({str(error).splitlines()[0]}) and not used")
            return None

    def evaluation(self) -> tuple[DataInfo, ModelRecord] | None:
        """The data and the scores of an evaluation after training; None if there is none to use."""
        path = find_evaluation(self.folder)
        if path is None:
            return None
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise UserError(f"{path} is a link that leads out of the folder")
            record = read_evaluation(path)
        except UserError as error:
            self.problems.append(f"{_relative(error, self.folder)}; not used")
            return None
        model = record.network
        if model is None:
            where = path_text(path.relative_to(self.folder))
            self.problems.append(f"{where} holds no network; not used")
            return None
        experiment = "" if self.data is None else self.data.experiment
        source = (record.data_source, record.data_digest, model.split)
        return DataInfo(experiment, *source, model.trained_on), model


@dataclass
class Sweep:
    """All runs of a report."""

    folders: list[Path]  # as they were named
    runs: list[RunRecord]  # by number
    keys: list[str]  # settings that differ between runs, without the seed
    left_out: list[tuple[str, str]]  # what the report could not use, and why

    @property
    def name(self) -> str:
        """The first folder's name."""
        return path_text(Path(self.folders[0].resolve().name)) or "/"

    def commands(self, runs: Sequence[RunRecord]) -> list[tuple[str, str]]:
        """Folder and command of each sweep that some runs are jobs of."""
        folders = dict.fromkeys(run.folder.parent for run in runs)
        return [(path_text(one), text) for one in folders if (text := command_of(one))]

    def scored(self) -> list[RunRecord]:
        """The runs that have a validation score, so far."""
        return [run for run in self.runs if run.val_accuracy is not None]

    def finished(self) -> list[RunRecord]:
        """The runs whose validation scores compare: they were trained to the end."""
        return [run for run in self.scored() if run.status == "finished"]

    def summary(self) -> str:
        """``12 jobs: 9 finished, 3 pruned``."""
        counts = Counter(run.status for run in self.runs)
        known = [status for status in (*STATUSES, *counts) if counts[status]]
        texts = [f"{counts[status]} {status}" for status in dict.fromkeys(known)]
        return f"{len(self.runs)} job{'' if len(self.runs) == 1 else 's'}: {', '.join(texts)}"


def read_sweep(folders: Sequence[Path]) -> Sweep:
    """Read every run below folders of sweeps, of runs, or of these; nothing in them is changed.

    Raises:
        UserError: If a folder does not exist or there is no run at all.
    """
    roots, left_out = find_runs(folders)
    if not roots:
        names = ", ".join(map(str, folders))
        raise UserError(
            f"there is no run in {names}: name a sweep's folder, as in outputs/default/<time>_sweep"
        )
    runs = [_read_run(folder) for folder in roots]
    base = Path(os.path.commonpath({r.parent if r == f else r for f, r in roots.items()}))
    keys = differing_keys(runs)
    for run in runs:
        run.label = path_text(run.folder.relative_to(base))
        run.settings = {key: text for key in keys if (text := run.value(key)) is not None}
        left_out += [(run.label, problem) for problem in run.problems]
    numbers = [run.number for run in runs]
    if len(set(numbers)) < len(numbers) or min(numbers) < 0:  # of several sweeps, or of no sweep
        for number, run in enumerate(runs):
            run.number = number
    return Sweep(list(folders), sorted(runs, key=lambda run: run.number), keys, left_out)


def find_runs(folders: Sequence[Path]) -> tuple[dict[Path, Path], list[tuple[str, str]]]:
    """Find the folders of runs, each once, in natural order; links are not followed.

    Returns:
        The named folder of each run's folder, and the folders that cannot be read, with the reason.
    """
    roots: dict[Path, Path] = {}
    failures: list[OSError] = []
    for root in folders:
        if not os.path.isdir(root):
            raise UserError(f"{root} is not a folder: name a sweep's folder or those of its jobs")
        for name, children, _ in os.walk(root.resolve(), onerror=failures.append):
            if any(os.path.lexists(Path(name, marker)) for marker in _MARKERS):
                roots.setdefault(Path(name), root.resolve())
                children.clear()
            visible = [child for child in children if child[0] != "." and child != "wandb"]
            children[:] = sorted(visible, key=natural_order)
    unread = [(str(one.filename), f"it cannot be read: {one.strerror}") for one in failures]
    return roots, list(dict.fromkeys(unread))


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key by which ``10_x`` follows ``9_x``."""
    words = re.split(r"(\d+)", name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def _read_run(folder: Path) -> RunRecord:
    run = RunRecord(folder)
    try:
        run.job = Job.read(folder)
    except UserError as error:
        run.problems.append(f"{_relative(error, folder)}; not used")
    if os.path.exists(folder / RESULT):
        try:
            run.result = read_result(folder)
        except UserError as error:
            run.error = _relative(error, folder)
            run.problems.append(f"{run.error}; counted as unfinished")
    source = run.job or run.result
    lines = (source.overrides if source else None) or run.yaml(".hydra/overrides.yaml")
    for line in map(str, lines if isinstance(lines, list) else []):
        text = "removed" if line[:1] == "~" else line.partition("=")[2]
        run.overrides[bare_key(line)] = text
    run.config = run.yaml(CONFIG)
    run.curves = read_curves(folder, run.problems)
    seed = run.value("seed") or ""
    run.seed = int(seed) if seed.isdecimal() else None
    if run.job is not None:
        run.number = run.job.number
    if run.result is not None:
        _take_result(run, run.result)
    done = run.status in COMPLETE and run.val_accuracy is not None
    if run.job is not None and run.job.error and not done:
        run.error = run.job.error.strip()
        run.status = "failed" if run.result is None else run.status
    if run.val_accuracy is None:
        run.val_accuracy = max(run.curves.get(ACCURACY, Curve()).values, default=None)
    if run.result is None and run.job is None and run.val_accuracy is None:
        run.problems.append("it has neither a result nor a validation score yet")
    return run


def _take_result(run: RunRecord, result: RunResult) -> None:
    run.status, run.seed, run.val_accuracy = result.status, result.seed, result.val_accuracy
    run.data = DataInfo(
        result.experiment, result.data_source, result.data_digest, result.data_split,
        result.trained_on,
    )  # fmt: skip
    run.scores = {f"{score.split}/{score.key}": score for score in result.scores}
    if run.status == "finished" and run.val_accuracy is None:
        run.status, run.error = "failed", "it ended without a validation score that is a number"
        run.problems.append("it has no validation score that is a number")


def _relative(error: Exception, folder: Path) -> str:
    return str(error).replace(f"{folder}/", "")


def differing_keys(runs: Sequence[RunRecord]) -> list[str]:
    """The settings that were swept or that differ between runs, without the seed.

    Two runs may agree in all overrides and still differ in their configurations, as when a default
    has changed between them; those settings are included.

    Returns:
        Dotted keys in the order of their first mention.
    """
    jobs = [run.job for run in runs if run.job is not None]
    swept = dict.fromkeys(bare_key(str(key)) for job in jobs for key in job.swept)
    keys = [key for key in swept if key != "seed"]
    for key in dict.fromkeys(key for run in runs for key in run.overrides):
        if key not in swept and is_of_training(key) and len({run.value(key) for run in runs}) > 1:
            keys.append(key)
    first_of: dict[tuple[Any, ...], dict[str, str]] = {}
    differing: set[str] = set()
    for run in runs:
        config = run.config if isinstance(run.config, dict) else {}
        own = {key: setting_text(one) for key, one in flat(config).items() if _says_what(key)}
        first = first_of.setdefault(tuple(map(run.value, keys)), own)
        differing |= {key for key in first.keys() & own.keys() if first[key] != own[key]}
    return [*keys, *sorted(differing - set(keys))]


def _says_what(key: str) -> bool:
    return key != "" and is_of_training(key) and not set(key.split(".")) & set(_LOCATIONS)


def read_curves(folder: Path, problems: list[str]) -> dict[str, Curve]:
    """Every column of ``metrics.csv`` by name, without what was being written or is not finite.

    Steps are counted as in ``result.json``: n after n steps. Lightning numbers its rows, which have
    an epoch, by the steps before.
    A file that cannot be read is added to ``problems``.
    """
    columns: dict[str, dict[int, float]] = defaultdict(dict)
    try:
        with open_regular(folder / METRICS, _MAX_METRICS, folder) as file:
            for row in csv.DictReader(TextIOWrapper(file, "utf-8", "replace", newline="")):
                step = number_of(row.pop("step", None))
                if step is None or not 0 <= step < 2**31:
                    continue
                step += bool(row.get("epoch"))
                for name, text in list(row.items())[:_MAX_COLUMNS]:
                    value = number_of(text)
                    if name is not None and value is not None:
                        columns[name][int(step)] = value
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error) as error:
        problems.append(f"{METRICS} cannot be read: {error}")
    return {
        name: Curve(sorted(column), [column[step] for step in sorted(column)])
        for name, column in columns.items()
    }


def number_of(text: Any) -> float | None:
    """The finite number that a text is; None if it is none."""
    try:
        value = float(text)
    except (ValueError, TypeError):  # empty, or a line that was being written
        return None
    return value if math.isfinite(value) else None


def numbers_of(texts: Iterable[str]) -> list[float] | None:
    """The numbers that some texts are; None if one of them is no number."""
    numbers = [number_of(text) for text in texts]
    return None if None in numbers else [number for number in numbers if number is not None]


def spans_decades(values: Sequence[float], ratio: float = 100) -> bool:
    """Whether a logarithmic axis suits these numbers: positive, and so far apart."""
    return min(values) > 0 and max(values) / min(values) >= ratio


def setting_text(value: Any) -> str:
    """A setting in Hydra's spelling, such as ``1e-05``, ``true`` or ``[1,2]``; 1.0 is as 1."""
    if value is None or isinstance(value, bool):
        return shown(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{setting_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(setting_text, value)) + "]"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def parsed(text: str) -> str:
    """The value of an override's text in the same spelling."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return setting_text(OverridesParser.create().parse_override(f"value={text}").value())
    except (HydraException, RecursionError):
        return text
