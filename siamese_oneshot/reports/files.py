"""The files of a job's folder, each of which may be missing or damaged."""

from __future__ import annotations

import csv
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siamese_oneshot.reports.folders import CONFIG, JOB, RESULT
from siamese_oneshot.reports.value import Value, of_plain, of_text, uncalled
from siamese_oneshot.runs.result import RunResult, read_result
from siamese_oneshot.sweeps.job import VERSION
from siamese_oneshot.utils.errors import UserError

ACCURACY = "val/one_shot_accuracy"  # as the training logs it
_ABSENT = object()


@dataclass
class Files:
    """What the files of one folder say.

    Attributes:
        folder: the job's.
        job: of ``job.json``; empty where there is none of use.
        result: None where there is none of use.
        overrides: the command line's, by key without the signs before it; text.
        config: of ``.hydra/config.yaml`` as written; None where there is none of use.
        complaints: what is wrong with files, in words.
        damaged: what is wrong with ``result.json``; empty where nothing is.
    """

    folder: Path
    job: dict[str, Any] = field(default_factory=dict)
    result: RunResult | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    config: Any = None
    complaints: list[str] = field(default_factory=list)
    damaged: str = ""
    _composed: Any = None
    _choices: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path) -> Files:
        """Read all but the figures in ``csv``."""
        files = cls(folder)
        files._read_job()
        files._read_result()
        lines = files.job.get("overrides") or (files.result and files.result.overrides)
        if not lines:
            lines = files._yaml(folder / ".hydra" / "overrides.yaml")
        for line in lines if isinstance(lines, list) else []:
            key, equals, text = str(line).partition("=")
            if key.startswith("~"):
                files.overrides[key.lstrip("~")] = "removed"
            elif equals:
                files.overrides[key.lstrip("+")] = text
        files.config = files._yaml(folder / CONFIG)
        return files

    def value(self, key: str) -> tuple[bool, Value]:
        """Whether the job has a setting, and which value.

        The configuration's value, else the option that was chosen from a group of that name, else
        what the command line said; last a reference that is not looked up, as written.
        """
        from omegaconf import DictConfig, OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        if self._composed is None:
            plain = self.config if isinstance(self.config, dict) else {}
            self._composed = OmegaConf.create(uncalled(plain))
        try:
            found: Any = OmegaConf.select(self._composed, key, default=_ABSENT)
            if OmegaConf.is_list(found):
                found = OmegaConf.to_container(found, resolve=True)
        except (OmegaConfBaseException, ValueError):  # such as Hydra's own interpolations
            found = _ABSENT
        has = found is not _ABSENT and not isinstance(found, DictConfig)
        value = of_plain(found) if has else None
        if has and not (isinstance(value, str) and "${" in value):
            return True, value
        if key in self._chosen():
            return True, of_plain(self._chosen()[key])
        if key in self.overrides:
            return True, of_text(self.overrides[key])
        return has, value

    def best_so_far(self) -> float | None:
        """The highest validation score that was logged; None where there is none."""
        best = None
        for path in sorted((self.folder / "csv").rglob("metrics.csv")):
            try:
                with open(path, encoding="utf-8", errors="replace", newline="") as file:
                    texts = [row.get(ACCURACY) for row in csv.DictReader(file)]
            except (OSError, csv.Error) as problem:
                self.complaints.append(f"{path.name} cannot be read: {problem}")
                continue
            for text in texts:
                try:
                    value = float(text or "nan")
                except ValueError:  # a line that was being written
                    continue
                if 0 <= value <= 1 and (best is None or value > best):
                    best = value
        return best

    def _read_job(self) -> None:
        path = self.folder / JOB
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as problem:
            self.complaints.append(f"{JOB} is damaged ({problem}) and not used")
            return
        version = content.get("version") if isinstance(content, dict) else None
        if version != VERSION:
            self.complaints.append(
                f"{JOB} is of version {version}, this package reads {VERSION}: not used"
            )
            return
        self.job = {name: one for name, one in content.items() if _fits(name, one)}
        wrong = sorted(set(content) - set(self.job))
        if wrong:
            self.complaints.append(f"{JOB}: {', '.join(wrong)} cannot be understood: not used")

    def _read_result(self) -> None:
        if not os.path.exists(self.folder / RESULT):
            return
        try:
            result = read_result(self.folder)
            _check(result)
        except (UserError, RecursionError) as problem:
            text = str(problem).replace(f"{self.folder}/", "")
            self.damaged = text
            self.complaints.append(f"{text}; counted as unfinished")
            return
        self.result = result

    def _yaml(self, path: Path) -> Any:
        import yaml

        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            text = path.read_text(encoding="utf-8")
            return yaml.load(text, loader)  # noqa: S506  # both loaders are safe ones
        except FileNotFoundError:
            return None
        except (OSError, ValueError, yaml.YAMLError) as problem:
            first = str(problem).splitlines()[0]
            self.complaints.append(f".hydra/{path.name} is damaged ({first}) and not used")
            return None

    def _chosen(self) -> dict[str, Any]:
        """The options of groups; the file is long, and read only where it is asked for."""
        if self._choices is None:
            content = self._yaml(self.folder / ".hydra" / "hydra.yaml")
            try:
                self._choices = dict(content["hydra"]["runtime"]["choices"])
            except (TypeError, KeyError, ValueError):
                self._choices = {}
        return self._choices


_KINDS: dict[str, type | tuple[type, ...]] = {
    "number": int,
    "overrides": list,
    "swept": list,
    "attempts": int,
    "error": (str, type(None)),
}


def _fits(name: str, value: Any) -> bool:
    return name not in _KINDS or isinstance(value, _KINDS[name])


def _check(result: RunResult) -> None:
    """Refuse what ``read_result`` takes but no figure can be made of."""
    numbers = {
        "validation": result.val_accuracy,
        "seconds": result.train_seconds,
        **{f"score {score.name}": score.value for score in result.scores},
    }
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UserError(f"{RESULT} is damaged ({name} is {value!r}, not a number)")
    if not isinstance(result.status, str) or not isinstance(result.overrides, list):
        raise UserError(f"{RESULT} is damaged (status or overrides are of the wrong kind)")


def usable(share: float | None) -> bool:
    """Whether a score is a share."""
    return share is not None and math.isfinite(share) and 0 <= share <= 1
