"""Sweep folders as a sweep would leave them, made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.read import RunRecord, Sweep, setting_text
from siamese_oneshot.runs.result import RunResult, write_result

COMPARABLE = {"lake_runs": "within_alphabet_20way", "verification": "verification"}


def scores_of(correct: dict[str, int], n: int = 1000, digest: str = "d") -> list[Score]:
    """Scores of Omniglot by ``split/key``, each with so many right answers of ``n``."""
    scores = []
    for name, right in correct.items():
        split, key = name.split("/")
        comparable = COMPARABLE.get(key) if split == "test" else None
        kind = "verification" if key == "verification" else "one_shot"
        scores.append(
            Score.from_counts(
                key, split, f"{key} list", "how", right, n, f"{digest}-{key}", kind=kind,
                comparable_with=comparable,
            )
        )  # fmt: skip
    return scores


def result_of(validation: float | None, seed: int = 0, **changes: Any) -> RunResult:
    """A finished run of the default experiment."""
    values: dict[str, Any] = {
        "status": "finished",
        "experiment": "default",
        "seed": seed,
        "data_source": "omniglot",
        "data_digest": "drawn",
        "data_split": "lake",
        "trained_on": "27 background alphabets",
        "scores": [],
        "val_accuracy": validation,
        "checkpoint": "checkpoints/best.ckpt",
        "steps": 100,
        "epochs": 2,
        "train_seconds": 75.0,
        "total_seconds": 80.0,
        "precision": "32-true",
    }
    return RunResult(**(values | changes))


def make_job(
    sweep: Path,
    number: int,
    settings: dict[str, Any],
    result: RunResult | None,
    *,
    job_json: bool = True,
    config: dict[str, Any] | None = None,
    logged: list[float] | None = None,
    **changes: Any,
) -> Path:
    """A job's folder.

    Args:
        sweep: where.
        number: of the job.
        settings: its overrides, all swept.
        result: of ``result.json``; None: there is none.
        job_json: whether there is a ``job.json``; without one the overrides are in ``.hydra``.
        config: of ``.hydra/config.yaml``, where there is one.
        logged: validation scores of ``metrics.csv``, where there is one.
        changes: to ``job.json``.
    """
    folder = sweep / f"{number}_job"
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    overrides = [f"{key}={value}" for key, value in settings.items()]
    if job_json:
        content: dict[str, Any] = {
            "version": 1,
            "number": number,
            "overrides": overrides,
            "swept": list(settings),
            "attempts": 1,
            "error": None,
            "trial": None,
        }
        (folder / "job.json").write_text(json.dumps(content | changes))
    else:
        (hydra / "overrides.yaml").write_text(json.dumps(overrides))
    if config is not None:
        (hydra / "config.yaml").write_text(json.dumps(config))
    if logged is not None:
        (folder / "csv" / "version_0").mkdir(parents=True)
        lines = ["epoch,step,val/one_shot_accuracy,train/loss"]
        for epoch, value in enumerate(logged):
            lines += [f"{epoch},{epoch},,0.5", f"{epoch},{epoch},{value},"]
        (folder / "csv" / "version_0" / "metrics.csv").write_text("\n".join(lines) + "\n")
    if result is not None:
        write_result(folder, result)
    return folder


def swept(rows: list[tuple[Any, ...]], **changes: Any) -> Sweep:
    """A sweep of (settings, validation score, status if not finished); changes to its first run."""
    keys = list(dict.fromkeys(key for settings, *_ in rows for key in settings))
    runs = [
        RunRecord(Path(str(n)), str(n), n, *(status or ["finished"]), seed=n, val_accuracy=score,
                  settings={key: setting_text(value) for key, value in settings.items()})
        for n, (settings, score, *status) in enumerate(rows)
    ]  # fmt: skip
    for name, value in changes.items():
        setattr(runs[0], name, value)
    return Sweep([Path()], runs, keys, [])
