"""Who is compared: trained networks and baselines, by name, folder or file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from siamese_oneshot.data.omniglot.edition import SIDE
from siamese_oneshot.data.tasks import WAY_CURVE_TEST, WAY_CURVE_TRAIN
from siamese_oneshot.evaluation.baselines import Chance, PixelNearestNeighbor
from siamese_oneshot.evaluation.embedding import PairScorer
from siamese_oneshot.evaluation.ensembling import Ensemble, TestTimeAugmentation
from siamese_oneshot.evaluation.hausdorff import Hausdorff
from siamese_oneshot.evaluation.training_setting import Setting
from siamese_oneshot.runs.checkpoint import (
    PRETRAINED,
    TrainedModel,
    find_weights,
    load_trained,
    runs_in,
)
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.text import did_you_mean

log = logging.getLogger(__name__)

# What networks of an ensemble have in common, lest one has trained on what another is tested on.
_SHARED = {
    "data_source": "data source",
    "split": "split",
    "val_alphabets": "choice of data.val_alphabets",
}


@dataclass(frozen=True)
class EvaluatedModel:
    """One of those who are compared.

    Attributes:
        name: as tables show it.
        recognizes: embeds and scores.
        size: pixels along a side of the images that it reads.
        trained: the trained network; None for a baseline.
        most_trials: at most so many episodes of a list, for those whose comparisons are slow.
        skips: the series of lists that it does not answer, because that would take too long.
        members: networks in it; of an ensemble ``trained`` is the first.
        finished: whether it was trained to its end, as far as is known.
    """

    name: str
    scorer: PairScorer
    size: int
    trained: TrainedModel | None = None
    most_episodes: int | None = None
    skips: tuple[str, ...] = ()
    members: int = 1
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of its training."""
        return {} if self.trained is None else self.trained.metadata

    @property
    def parameters(self) -> int:
        """Numbers that were learned, of all networks in it."""
        made = self.scorer if self.members > 1 else self.trained and self.trained.network
        if not isinstance(made, nn.Module):
            return 0
        return sum(weight.numel() for weight in made.parameters())

    @property
    def setting(self) -> Setting | None:
        """What it is a seed of; None for baselines and ensembles."""
        if self.trained is None or self.members > 1:
            return None
        return Setting.of(self.trained)


@dataclass(frozen=True)
class Baseline:
    """A classifier without training."""

    title: str
    make: Callable[[], PairScorer]
    most_episodes: int | None = None
    skips: tuple[str, ...] = ()


BASELINES = {
    "chance": Baseline("guessing", Chance),
    "pixel-l1": Baseline("pixel 1-NN, L1", lambda: PixelNearestNeighbor(1), 2000),
    "pixel-l2": Baseline("pixel 1-NN, L2", lambda: PixelNearestNeighbor(2), 2000),
    "hausdorff": Baseline(
        "modified Hausdorff distance", Hausdorff, 400, (WAY_CURVE_TEST, WAY_CURVE_TRAIN, "few_shot")
    ),
}


def find_models(wanted: Sequence[str], trust: str | Collection[str] = ()) -> list[EvaluatedModel]:
    """The models of a command line.

    Args:
        wanted: names of baselines and packaged networks, runs' folders, sweeps' folders (which
            stand for all of their runs), checkpoints or exported weights.
        trust: Names of modules outside the package whose classes their files may reference.

    Returns:
        In the order asked for, each once.

    Raises:
        UserError: one that does not exist, with the nearest name that does; or none at all.
    """
    if not wanted:
        raise UserError("run is empty: name what to evaluate, for example run=pretrained")
    found: dict[Path | str, tuple[Path, EvaluatedModel]] = {}
    for word in wanted:
        for weights, place, model in _of(word, trust):
            found.setdefault(weights, (place, model))
    return [_told_apart(place, model, found.values()) for place, model in found.values()]


def _told_apart(
    place: Path, model: EvaluatedModel, found: Collection[tuple[Path, EvaluatedModel]]
) -> EvaluatedModel:
    """The model, called by as much of its path as it takes where another has the same name."""
    alike = [other.parts for other, one in found if one.name == model.name]
    if len(alike) == 1:
        return model
    ends = (place.parts[start:] for start in reversed(range(len(place.parts))))
    own = next(end for end in ends if sum(one[-len(end) :] == end for one in alike) == 1)
    return replace(model, name="/".join(own))


def combined(
    models: Sequence[EvaluatedModel], views: int = 1, ensemble: bool = False
) -> list[EvaluatedModel]:
    """The models with test-time augmentation, and all their networks as one more.

    Args:
        models: as ``find_models`` found them.
        views: of each image; 1 leaves networks as they are. Baselines have one.
        ensemble: add the mean of the networks' scores.

    Raises:
        UserError: an ensemble of fewer than two networks, or of networks that read images of
            different sizes or were trained with different splits, data or alphabets held out.
    """
    found = [_with_views(one, views) for one in models]
    if not ensemble:
        return found
    members = [one for one in found if one.trained is not None]
    if len(members) < 2:
        raise UserError("ensemble=true needs two networks or more: name their runs' folders")
    learned = {
        name: {str(one.metadata.get(key)) for one in members} for key, name in _SHARED.items()
    }
    for name, several in {"size": {str(one.size) for one in members}, **learned}.items():
        if len(several) > 1:
            listed = " and ".join(sorted(several))
            raise UserError(f"ensemble=true needs networks of one {name}, not of {listed}")
    made = Ensemble([one.scorer for one in members])  # type: ignore[misc]
    name = f"ensemble of {len(members)}"
    return [*found, replace(members[0], name=name, scorer=made, members=len(members))]


def _with_views(model: EvaluatedModel, views: int) -> EvaluatedModel:
    if views == 1 or model.trained is None:
        return model
    name = f"{model.name}, {views} views"
    return replace(model, name=name, scorer=TestTimeAugmentation(model.scorer, views))


def folder_named(word: str) -> Path | None:
    """The folder that a word names; None for a file, a packaged network or a baseline.

    Those come first, so that a folder of their name is none that was asked for.
    """
    path = Path(word).expanduser()
    return path if word not in (*PRETRAINED, *BASELINES) and path.is_dir() else None


def _of(word: str, trust: str | Collection[str] = ()) -> list[tuple[Path | str, Path, EvaluatedModel]]:
    """What a word stands for: models, each after what it is known and called by.

    That is the file of its weights, and its folder or file; of a baseline the word for both.
    """
    if word in BASELINES:
        baseline = BASELINES[word]
        limits = baseline.most_episodes, baseline.skips
        made = EvaluatedModel(baseline.title, baseline.make(), SIDE, None, *limits)
        return [(word, Path(word), made)]
    if word in PRETRAINED:
        return [_network(word, word, trust=trust)]
    folder = folder_named(word)
    if folder is not None:
        runs = runs_in(folder)
        if not runs:
            raise UserError(f"{folder} holds no run with a checkpoint")
        if runs == [folder]:
            return [_network(folder, folder.absolute().name, _status(folder) == "finished", trust)]
        whole = [run for run in runs if _is_whole(run)]
        if not whole:
            raise UserError(
                f"{folder} holds no run that has finished; name one to evaluate it as is"
            )
        return [_network(run, str(run.relative_to(folder)), trust=trust) for run in whole]
    path = Path(word).expanduser()
    if not path.exists():
        names = [*PRETRAINED, *BASELINES]
        raise UserError(
            f"there is no {word}.{did_you_mean(word, names)} Name a run's or sweep's folder, a "
            f".ckpt or .safetensors file, or one of {', '.join(names)}"
        )
    return [_network(word, path.stem, trust=trust)]


def _is_whole(run: Path) -> bool:
    """Whether a run of a sweep was trained to its end; says so where it was not."""
    status = _status(run)
    if status != "finished":
        log.warning("%s is left out: %s", run, status)
    return status == "finished"


def _status(run: Path) -> str:
    """How a run ended, as its result says."""
    try:
        return read_result(run).status
    except UserError:
        return "unfinished" if (run / ".hydra").is_dir() else "finished"  # no run, but weights


def _network(
    where: str | Path, name: str, finished: bool = True, trust: str | Collection[str] = ()
) -> tuple[Path, Path, EvaluatedModel]:
    trained = load_trained(where, trust)
    model = EvaluatedModel(name, trained.network, trained.size, trained, finished=finished)
    return find_weights(where).resolve(), Path(where).expanduser().absolute(), model
