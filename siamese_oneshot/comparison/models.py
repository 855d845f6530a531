"""Find the models to compare: trained networks and baselines, by name, folder or file."""

from __future__ import annotations

import glob
import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from siamese_oneshot.data.omniglot import SIDE
from siamese_oneshot.evaluation.baselines import BASELINES, Baseline
from siamese_oneshot.evaluation.ensembling import Ensemble
from siamese_oneshot.evaluation.model_evaluation import EvaluatedModel
from siamese_oneshot.runs.checkpoint import PRETRAINED, find_weights, load_trained, runs_in
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.errors import UserError

log = logging.getLogger(__name__)

# What networks of an ensemble must share, so that none is tested on training data of another.
_SHARED = {
    "data_source": "data source", "split": "split", "val_alphabets": "val_alphabets",
    "stroke_alphabets": "stroke_alphabets",
}  # fmt: skip


def find_models(
    names: Sequence[str],
    trust: str | Collection[str] = (),
    baselines: Mapping[str, Baseline] = BASELINES,
) -> list[EvaluatedModel]:
    """Find the models to evaluate.

    Args:
        names: Names of baselines and packaged networks, run folders, sweep folders (which stand
            for their finished runs), checkpoints or exported weights.
        trust: Modules outside the package whose networks may be loaded.
        baselines: Baselines by name.

    Returns:
        The models in the order of ``names``, each once.

    Raises:
        UserError: If a name is unknown (with the most similar one), or there is no name.
    """
    if not names:
        raise UserError("models is empty: name what to evaluate, for example models=pretrained")
    by_weights: dict[Path | str, tuple[Path, EvaluatedModel]] = {}
    for name in itertools.chain.from_iterable(map(_expanded, names)):
        if name in baselines:
            one = baselines[name]
            limits = one.max_episodes, tuple(one.skip_series)
            model = EvaluatedModel(one.title, one.scorer(), SIDE, None, *limits)
            by_weights.setdefault(name, (Path(name), model))
            continue
        for where, title, finished in _networks(name, baselines):
            weights = find_weights(where).resolve()
            if weights not in by_weights:
                trained = load_trained(where, trust)
                model = EvaluatedModel(
                    title, trained.network, trained.size, trained, finished=finished
                )
                by_weights[weights] = Path(where).expanduser().absolute(), model
    models = by_weights.values()
    return [_unique_name(path, model, models) for path, model in models]


def combine(
    models: Sequence[EvaluatedModel], tta: bool | None = None, ensemble: bool = False
) -> list[EvaluatedModel]:
    """Set the networks' test-time augmentation, and add an ensemble of all networks.

    Args:
        models: As found by `find_models`.
        tta: Whether networks compare images by test-time augmentation; None: each as it is.
        ensemble: Whether to append the mean of all networks' scores as one more model.

    Raises:
        UserError: If an ensemble has fewer than two networks, or networks with different image
            sizes, splits, data sources or validation alphabets.
    """
    augmented = []
    for model in models:
        if model.trained is not None and tta not in (None, model.trained.network.tta):
            model.trained.network.tta = tta
            name = f"{model.name} {'with' if tta else 'without'} TTA"
            model = replace(_unmeasured(model), name=name, tta_changed=True)
        augmented.append(model)
    if not ensemble:
        return augmented
    networks = [model for model in augmented if model.trained is not None]
    if len(networks) < 2:
        raise UserError("ensemble=true needs two or more networks: name their run folders")
    shared = {"image size": {str(model.size) for model in networks}}
    for key, label in _SHARED.items():
        shared[label] = {str(model.metadata.get(key)) for model in networks}
    for label, values in shared.items():
        if len(values) > 1:
            listed = " and ".join(sorted(values))
            raise UserError(f"ensemble=true needs networks of one {label}, got {listed}")
    whole = Ensemble([model.scorer for model in networks])  # type: ignore[misc]
    name = f"ensemble of {len(networks)}"
    first = _unmeasured(networks[0])
    return [*augmented, replace(first, name=name, scorer=whole, n_networks=len(networks))]


def _unmeasured(model: EvaluatedModel) -> EvaluatedModel:
    """The model without thresholds and temperature, which are those of another scorer."""
    assert model.trained is not None, "baselines have none"
    trained = replace(model.trained, threshold=None, reject_threshold=None, temperature=None)
    return replace(model, trained=trained)


def folder_named(name: str, baselines: Collection[str] = BASELINES) -> Path | None:
    """The folder of that name; None for a file, a packaged network or a baseline.

    Packaged networks and baselines take precedence over folders of their name.
    """
    path = Path(name).expanduser()
    return path if name not in (*PRETRAINED, *baselines) and path.is_dir() else None


def _expanded(name: str) -> list[str]:
    """The paths that a pattern such as ``outputs/*/*seed0`` stands for; other names as they are."""
    path = Path(name).expanduser()
    found = [] if path.exists() else sorted(glob.glob(str(path)))
    return found or [name]


def _unique_name(
    path: Path, model: EvaluatedModel, models: Collection[tuple[Path, EvaluatedModel]]
) -> EvaluatedModel:
    """The model, with as much of its path as name as distinguishes it from namesakes."""
    namesakes = [other.parts for other, one in models if one.name == model.name]
    if len(namesakes) == 1:
        return model
    suffixes = (path.parts[start:] for start in reversed(range(len(path.parts))))
    unique = next(
        suffix
        for suffix in suffixes
        if sum(parts[-len(suffix) :] == suffix for parts in namesakes) == 1
    )
    return replace(model, name="/".join(unique))


def _networks(name: str, baselines: Collection[str]) -> list[tuple[str | Path, str, bool]]:
    """Where the networks are that a name stands for, their names, and whether they finished."""
    if name in PRETRAINED:
        return [(name, name, True)]
    folder = folder_named(name, baselines)
    if folder is None:
        return [(name, find_weights(name, baselines).stem, True)]
    runs = runs_in(folder)
    if not runs:
        raise UserError(f"{folder} holds no run with a checkpoint")
    if runs == [folder]:
        return [(folder, folder.absolute().name, _status(folder) == "finished")]
    finished = []
    for run in runs:
        if (status := _status(run)) == "finished":
            finished.append(run)
        else:
            log.warning("%s is left out: %s", run, status)
    if not finished:
        raise UserError(f"{folder} holds no finished run; name a run to evaluate it as it is")
    return [(run, str(run.relative_to(folder)), True) for run in finished]


def _status(run: Path) -> str:
    try:
        return read_result(run).status
    except UserError:
        recorded = (run / ".hydra").is_dir() or (run / "config.yaml").is_file()
        return "unfinished" if recorded else "finished"  # a folder of weights
