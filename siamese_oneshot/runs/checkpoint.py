"""Trained networks: found by name, folder or file, and loaded without running code from the file.

Checkpoints are read with ``torch.load(weights_only=True)``, exported weights with safetensors. Both
hold a description of the network, a nested ``_target_`` configuration. Only classes and functions
defined in ``siamese_oneshot.models``, or in modules that the caller trusts, are called to build it.
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.runs.result import read_result
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import TRUSTED, instantiate_plain, is_trusted, targets
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write, check_sums, open_regular, previous
from siamese_oneshot.utils.text import did_you_mean, first_line, printable

VERSION = 2
PRETRAINED = {  # by the experiment that trains it
    "pretrained": "medium_resnet_cross_attention.safetensors",
    "dense": "dense.safetensors",
}
ROUNDED = "16 bits, fully connected layers to 8"
_PACKAGED = Path(__file__).resolve().parents[1] / "pretrained"
_HEADER = "siamese_oneshot"
_LARGE = 100_000  # elements of a matrix that is stored in 8 bits
_MAX_BYTES = 2**33  # of a file
_MAX_DESCRIPTION = 20_000  # characters of a network's description
_STEP = ".step"  # name of the quantization step beside an int8 matrix
# What loading and building raise for damaged files and for those of other packages.
UNUSABLE = (
    OSError, RuntimeError, EOFError, MemoryError, OverflowError, TypeError, ValueError,
    LookupError, AttributeError, AssertionError, pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip

log = logging.getLogger(__name__)


def load_pretrained(
    name: str | Path = "pretrained", trainable: bool = False, trust: str | Collection[str] = ()
) -> SiameseNetwork:
    """Load a trained network for use in PyTorch code.

    Args:
        name: As ``where`` of `load_trained`, which says what is raised.
        trainable: Return the network in training mode with gradients, to fine-tune it. Otherwise it
            is in evaluation mode without gradients.
        trust: Names of modules outside the package whose classes the file may reference.
    """
    network = load_trained(name, trust).network
    return network.train(trainable).requires_grad_(trainable)


def load_trained(where: str | Path, trust: str | Collection[str] = ()) -> TrainedModel:
    """Load a network with its metadata.

    Args:
        where: A name in ``PRETRAINED``; a run's folder, whose kept checkpoint is loaded, or its
            predecessor if that is damaged; a ``.ckpt`` or a ``.safetensors`` file.
        trust: Names of modules outside the package whose classes the file may reference.

    Returns:
        The network in evaluation mode, with float32 weights on the CPU and without gradients.

    Raises:
        UserError: If there is no such file, it is damaged or of another version, or it references
            classes that are not trusted.
    """
    path = find_weights(where)
    try:
        with open_regular(path, _MAX_BYTES):
            pass
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem}") from problem
    if path.suffix == ".safetensors":
        header, weights = _read_safetensors(path)
    else:
        by_folder = path != Path(where).expanduser()
        header, weights = _read_checkpoint(path, try_previous=by_folder)
    try:
        if header["version"] != VERSION:
            raise UserError(
                f"{path} is of version {header['version']}; this package reads version {VERSION}"
            )
        for name in ("threshold", "reject_threshold", "temperature"):
            if header.get(name) is not None:
                check.number(name, header[name], above=0 if name == "temperature" else -math.inf)
        check.mapping("metadata", header.get("metadata"))
        check.mapping("card", header.get("card"))
        infinite = [name for name, value in weights.items() if not value.isfinite().all()]
        if infinite:
            raise UserError(f"{path} holds weights that are NaN or infinite, as in {infinite[0]}")
        network = _build(header["network"], weights, path, trust)
        network.load_state_dict(weights)
        network.eval().requires_grad_(False)
        card, metadata = header.get("card") or {}, header.get("metadata") or {}
        if "data_digest" in card:  # some files have it there alone
            metadata = {"data_digest": card["data_digest"], **metadata}
        network.description = header["network"]  # what is trained from it can be loaded, too,
        network.metadata = {"name": str(where), **metadata}  # and is not tested on what it learned
        return TrainedModel(
            str(where), network, header["network"], metadata, header.get("threshold"),
            header.get("reject_threshold"), card, header.get("temperature"),
        )  # fmt: skip
    except UNUSABLE as problem:
        reason = " ".join(str(problem).split())
        raise UserError(f"{path} does not hold a network of this package: {reason}") from problem


def save_trained(trained: TrainedModel, path: Path) -> None:
    """Write a network as safetensors with rounded weights, atomically.

    Args:
        trained: With the card to store in the file.
        path: Ends in ``.safetensors``.
    """
    from safetensors.torch import save

    header = {
        "version": VERSION,
        "network": trained.description,
        "metadata": trained.metadata,
        "threshold": trained.threshold,
        "reject_threshold": trained.reject_threshold,
        "temperature": trained.temperature,
        "card": trained.card,
    }
    tensors = quantize(trained.network.state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(save(tensors, {_HEADER: json.dumps(header)}))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU without executing anything that it holds.

    All checksums are compared. A compressed file, which could be of any size, is refused.

    Raises:
        Exception: One of `UNUSABLE`, if it is missing or damaged.
    """
    check_sums(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}")
    if "state_dict" not in content:
        raise ValueError("it is not a checkpoint of a training")
    return content


def find_weights(where: str | Path, others: Collection[str] = ()) -> Path:
    """The file that `load_trained` reads; a UserError with the nearest name if there is none.

    ``others`` are names that could have been meant beside those of packaged networks.
    """
    if str(where) in PRETRAINED:
        return _PACKAGED / PRETRAINED[str(where)]
    path = Path(where).expanduser()
    if path.is_dir():
        for kept in (_kept(path), "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
            if kept is not None and (path / kept).is_file():
                return path / kept
        raise UserError(f"{path} has no checkpoints/best.ckpt: name a run's folder or a checkpoint")
    if not path.exists():
        names = [*PRETRAINED, *others]
        raise UserError(
            f"There is no network {path}.{did_you_mean(where, names)} Name a run's folder, a "
            f".ckpt or .safetensors file, or one of {', '.join(names)}"
        )
    if path.suffix not in (".ckpt", ".safetensors"):
        raise UserError(f"{path} is neither a .ckpt nor a .safetensors file")
    return path


def runs_in(folder: Path) -> list[Path]:
    """The folders in and below one that hold checkpoints, sorted: a run or a sweep."""
    return sorted(kept.parent for kept in folder.rglob("checkpoints") if any(kept.glob("*.ckpt")))


def untrusted_targets(description: Any, trust: str | Collection[str] = ()) -> list[str]:
    """The ``_target_`` names of a network's description that are not trusted.

    A network with such names trains, but its checkpoints load only with ``trust``, the names of
    modules outside the package; their submodules are trusted, too.
    """
    return [name for name in targets(description) if not is_trusted(name, _trusted(trust))]


def quantize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantize weights to store them in a small file; integer tensors are kept as they are.

    Returns:
        Matrices of at least 100,000 elements as int8, with the step of each row as ``name.step``;
        other floating-point tensors as float16. The error is at most half a step, 1/254 of the
        largest magnitude in the row.
    """
    quantized = {}
    for name, value in weights.items():
        if value.ndim == 2 and value.numel() >= _LARGE:
            step = value.float().abs().amax(1).clamp(min=1e-12) / 127
            quantized[name] = (value.float() / step[:, None]).round().to(torch.int8)
            quantized[name + _STEP] = step
        else:
            quantized[name] = value.half() if value.is_floating_point() else value
    return {name: value.contiguous() for name, value in quantized.items()}


def dequantize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `quantize`: float32 weights under their own names."""
    restored = {}
    for name, value in weights.items():
        step = weights.get(name + _STEP)
        if step is not None:
            restored[name] = value.float() * step[:, None]
        elif not name.endswith(_STEP):
            restored[name] = value.float() if value.is_floating_point() else value
    return restored


def _kept(run: Path) -> str | None:
    """The checkpoint that a run's scores belong to; after some resumptions it is not the best."""
    try:
        kept = read_result(run).checkpoint
    except UserError:
        return None
    if kept is not None and not (run / kept).resolve().is_relative_to(run.resolve()):
        raise UserError(
            f"{run} has its scores from {printable(kept)}, outside of that folder: if it is yours, "
            f"name {printable(run / kept)}"
        )
    return kept


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if "version" not in header:
            raise ValueError("it does not hold a network of this package")
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as problem:
        raise UserError(f"{path} cannot be read: {problem}") from problem
    return header, dequantize(weights)


def _read_checkpoint(path: Path, try_previous: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = load_checkpoint(path)
        header, state = dict(content[_HEADER]), dict(content["state_dict"])
        header["version"], header["network"]
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("its state_dict holds more than tensors")
        weights = {
            str(name).removeprefix("network."): value
            for name, value in state.items()
            if str(name).startswith("network.")
        }
    except KeyError as problem:
        raise UserError(f"{path} is no checkpoint of this package: it has no {problem}") from None
    except UNUSABLE as problem:
        message = f"{path} is damaged or not a plain checkpoint: {first_line(problem)}"
        if not try_previous or not previous(path).is_file():
            raise UserError(message) from problem
        log.warning("%s; loading the previous checkpoint", message)
        return _read_checkpoint(previous(path), try_previous=False)
    return header, weights


def _build(
    description: Any, weights: Mapping[str, Tensor], path: Path, trust: str | Collection[str]
) -> SiameseNetwork:
    """Build a network after checking the names in its description and its size.

    The size is that of the weights, which the file holds: a short description can ask for any.
    """
    trusted = _trusted(trust)
    for name in targets(description):
        if not any(name.startswith(f"{module}.") for module in trusted):
            raise UserError(
                f"Refusing to load {path}: it references {name or 'a target without a name'}, and "
                f"only classes of {' and '.join(trusted)} are trusted. Pass trust=MODULE (export "
                "and demo: --trust MODULE) to allow it; train trusts the modules of its own model."
            )
    if len(repr(description)) > _MAX_DESCRIPTION:
        raise UserError(f"{path} describes a network of far too many parts")
    if not trust:  # modules of others need not work without memory
        with torch.device("meta"):
            outline = instantiate_plain(description, trusted)
        if isinstance(outline, SiameseNetwork):
            outline.load_state_dict({name: value.to("meta") for name, value in weights.items()})
    network = instantiate_plain(description, trusted)
    if not isinstance(network, SiameseNetwork):
        raise UserError(f"{path} describes a {type(network).__name__}, not a SiameseNetwork")
    return network


def _trusted(trust: str | Collection[str]) -> tuple[str, ...]:
    return (*TRUSTED, *([trust] if isinstance(trust, str) else trust))
