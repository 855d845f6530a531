"""Trained networks: loaded without running what is in their files, and written for others."""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.runs.quantization import restored, rounded
from siamese_oneshot.runs.weights import find_weights
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import check_sums, previous, whole_file

VERSION = 2
_BUILDERS = "siamese_oneshot.models"  # a file may name what is defined in there, and nothing else
_HEADER = "siamese_oneshot"
# what loading and building raise on what is damaged, no checkpoint, or another package's
_UNUSABLE = (
    OSError, RuntimeError, EOFError, TypeError, ValueError, LookupError, AttributeError,
    AssertionError, pickle.UnpicklingError, zipfile.BadZipFile, HydraException,
    OmegaConfBaseException,
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A trained network and what is known of it.

    Attributes:
        name: how it was asked for.
        network: ready to evaluate.
        description: the configuration that builds it anew.
        facts: experiment, seed, split, held_out, generated, data_source, data_digest, overrides,
            command, commit: those that are known.
        threshold: the logit above which two images are called same; chosen on validation.
        reject_threshold: the highest logit below which a query's class is called unknown; likewise.
        card: of exported weights: scores and how they came about.
    """

    name: str
    network: SiameseNetwork
    description: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    reject_threshold: float | None = None
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Pixels along a side of the images that it reads."""
        return int(self.network.encoder.image_size)  # type: ignore[arg-type]

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(weight.numel() for weight in self.network.parameters())


def load_trained(where: str | Path) -> TrainedModel:
    """Load a network.

    Args:
        where: ``pretrained`` or another name of ``PRETRAINED``; a run's folder, of which the kept
            checkpoint is taken, or the one before it if that is damaged; a ``.ckpt`` or a
            ``.safetensors`` file.

    Returns:
        The network, in evaluation mode, with float32 weights on the CPU.

    Raises:
        UserError: there is none, it is damaged, of another version, or would call something other
            than this package's networks.
    """
    path = find_weights(where)
    if path.suffix == ".safetensors":
        content = _exported(path)
    else:
        content = _checkpoint(path, or_before=path != Path(where).expanduser())
    try:
        header, weights = content
        if header["version"] != VERSION:
            raise UserError(
                f"{path} is of version {header['version']}; this package reads {VERSION}"
            )
        network = _built(header["network"], path)
        network.load_state_dict(weights)
        network.eval().requires_grad_(False)
        return TrainedModel(
            str(where),
            network,
            header["network"],
            header.get("metadata") or {},
            header.get("threshold"),
            header.get("reject_threshold"),
            header.get("card") or {},
        )
    except _UNUSABLE as problem:
        cause = problem.__cause__ if isinstance(problem, InstantiationException) else None
        reason = " ".join(str(cause or problem).split())
        raise UserError(f"{path} does not hold a network of this package: {reason}") from problem


def save_trained(trained: TrainedModel, path: Path) -> None:
    """Write a network as safetensors with rounded weights, whole or not at all.

    Args:
        trained: with the card that is to travel in the file.
        path: ends in ``.safetensors``.
    """
    from safetensors.torch import save

    header = {
        "version": VERSION,
        "network": trained.description,
        "metadata": trained.metadata,
        "threshold": trained.threshold,
        "reject_threshold": trained.reject_threshold,
        "card": trained.card,
    }
    weights = rounded(trained.network.state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(save(weights, {_HEADER: json.dumps(header)}))


def _exported(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as problem:
        raise UserError(f"{path} cannot be read: {problem}") from problem
    return header, restored(weights)


def _checkpoint(path: Path, or_before: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if zipfile.is_zipfile(path):
            check_sums(path)
        header = dict(content[_HEADER])
        state: Mapping[str, Tensor] = content["state_dict"]
    except KeyError as problem:
        raise UserError(f"{path} is no checkpoint of this package: it has no {problem}") from None
    except _UNUSABLE as problem:
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        message = f"{path} is damaged or not a plain checkpoint: {first}"
        if not or_before or not previous(path).is_file():
            raise UserError(message) from problem
        log.warning("%s; the one before it is taken", message)
        return _checkpoint(previous(path), or_before=False)
    prefix = "network."
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    return header, weights


def _built(description: Any, path: Path) -> SiameseNetwork:
    """The network, made by this package's own builders only."""
    _refuse_strangers(description, path)
    network = instantiate(description)
    if not isinstance(network, SiameseNetwork):
        raise UserError(f"{path} describes a {type(network).__name__}, not a network")
    return network


def _refuse_strangers(part: Any, path: Path) -> None:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "_target_" and not _is_builder(str(value)):
                raise UserError(
                    f"{path} wants {value} to be called: only what {_BUILDERS} defines may be"
                )
            _refuse_strangers(value, path)
    elif isinstance(part, list | tuple):
        for value in part:
            _refuse_strangers(value, path)
    elif isinstance(part, str) and "${" in part:
        raise UserError(f"{path} holds {part}, which is not a plain value")


def _is_builder(target: str) -> bool:
    """Whether a name is defined in ``_BUILDERS``, not only reachable through it."""
    module, _, name = target.rpartition(".")
    if module.rpartition(".")[0] != _BUILDERS:
        return False
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return getattr(found, "__module__", None) == module
