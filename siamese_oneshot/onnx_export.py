"""A trained network as ONNX, and as one HTML page that runs it: see `siamese_oneshot.export`."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
import logging
import subprocess
import tarfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from siamese_oneshot import classifier
from siamese_oneshot.data.cache import cache_home
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.utils.errors import UserError
from siamese_oneshot.utils.io import atomic_write
from siamese_oneshot.utils.tables import Table

OPSET = 23  # of PyTorch's exporter; onnxruntime 1.26 reads it
TOLERANCE = 1e-4  # largest difference between PyTorch and onnxruntime in float32
_SUPPORTS = 20  # of the query whose similarities are timed
_RUNTIME = "onnxruntime-web-1.30.0.tgz"  # as npm packs it
_SHA512 = (
    "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
_FILES = {"library": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}


class _Embedding(nn.Module):
    """Embeddings ``(n, embedding_dim)``, or three of each with ``tta``, of images."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


class _Similarity(nn.Module):
    """Logits ``(q, s)`` of queries ``(q, embedding_dim)`` and supports ``(s, embedding_dim)``."""

    def __init__(self, network: SiameseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, queries: Tensor, supports: Tensor) -> Tensor:
        return self.network.score(queries[:, None], supports)


@torch.no_grad()
def export_onnx(trained: TrainedModel, file: Path) -> Table:
    """Write ``<name>.encoder.onnx`` and ``<name>.similarity.onnx`` for ``file``, ``<name>.onnx``.

    The encoder maps ``images``, float32 ``(n, 1, size, size)`` from 0 to 1, to ``embeddings``
    ``(n, embedding_dim)``; the similarity maps ``queries`` and ``supports`` to ``logits`` of each
    pair, ``(queries, supports)``. All numbers of images are dynamic. The similarity's metadata
    hold the image size, both thresholds and the temperature.

    Returns:
        The largest difference from PyTorch and the latency of both, on one thread.

    Raises:
        UserError: If packages are missing, or a difference is above ``TOLERANCE``.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - of PyTorch's exporter
    except ImportError as error:
        raise UserError(f'{error.name} is missing: pip install -e ".[onnx]"') from error
    network = copy.deepcopy(trained.network)
    for module in network.modules():
        if hasattr(module, "impl"):  # of convolutions, which depends on the number of images
            setattr(module, "impl", "direct")  # noqa: B010 - of any kind
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(_SUPPORTS + 1, 1, trained.size, trained.size, generator=drawn)
    query, supports = trained.network.embed(images).split([1, _SUPPORTS])
    facts = {
        "image_size": trained.size, "threshold": trained.threshold,
        "reject_threshold": trained.reject_threshold, "temperature": trained.temperature,
    }  # fmt: skip
    table = Table("", ["network", ">difference", ">PyTorch ms", ">onnxruntime ms", "file"])
    table.note = f"latency of one image, and of one query with {_SUPPORTS} supports"
    parts: list[tuple[str, str, nn.Module, nn.Module, dict[str, Tensor]]] = [
        ("encoder", "embeddings", _Embedding(network), _Embedding(trained.network),
         {"images": images[:1]}),
        ("similarity", "logits", _Similarity(network), _Similarity(trained.network),
         {"queries": query, "supports": supports}),
    ]  # fmt: skip
    for key, output, part, original, inputs in parts:
        path = file.with_suffix(f".{key}.onnx")
        model = _traced(part, inputs, output)
        onnx.helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
        onnx.checker.check_model(model, full_check=True)
        with atomic_write(path) as stream:
            stream.write(model.SerializeToString())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        values = {name: one.numpy() for name, one in inputs.items()}
        calls = partial(original, *inputs.values()), partial(session.run, None, values)
        difference = float(np.abs(calls[1]()[0] - calls[0]().numpy()).max())
        if not difference <= TOLERANCE:
            raise UserError(f"{path} differs from PyTorch by {difference:.1e}: do not use it")
        times = [f"{_milliseconds(call):.2f}" for call in calls]
        table.add(key, f"{difference:.0e}", *times, path.name)
    return table


def _traced(module: nn.Module, inputs: dict[str, Tensor], output: str) -> Any:
    """A module as an ONNX model, for any numbers of rows of its inputs."""
    examples = tuple(torch.cat([one, one]) for one in inputs.values())  # one row would be static
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), examples, input_names=[*inputs], output_names=[output], verbose=False,
            dynamic_shapes=tuple({0: torch.export.Dim(f"n_{name}")} for name in inputs),
            opset_version=OPSET, dynamo=True,
        )  # fmt: skip
    assert program is not None
    return program.model_proto


def export_page(trained: TrainedModel, file: Path, runtime: Path | None = None) -> None:
    """Write one HTML file to draw on, which runs the network in the browser without a server.

    Args:
        trained: The network.
        file: Ends in ``.html``.
        runtime: onnxruntime-web as npm packs it; None takes it from the user's cache, or from npm.

    Raises:
        UserError: As for `export_onnx`, or there is no runtime, or it is another one.
    """
    from siamese_oneshot.data import foreground  # imports SciPy and scikit-image

    parts = _runtime(runtime)
    with TemporaryDirectory() as folder:
        export_onnx(trained, Path(folder, "network.onnx"))
        for key in ("encoder", "similarity"):
            parts[key] = Path(folder, f"network.{key}.onnx").read_bytes()
    settings = {
        "name": trained.name, "size": trained.size, "side": foreground.SIDE,
        "pen": foreground.PEN, "extent": foreground.EXTENT, "center": foreground.CENTER,
        "temperature": trained.temperature or 1.0, "reject_threshold": trained.reject_threshold,
        "pooling": classifier.POOLING, "sharpening": classifier.SHARPENING,
        "shift": classifier.SHIFT, "usual": classifier.USUAL, "minClasses": classifier.MIN_CLASSES,
    }  # fmt: skip
    with atomic_write(file) as stream:
        stream.write(page(settings, parts).encode())


def page(settings: dict[str, object], parts: dict[str, bytes]) -> str:
    """The page to draw on, with what its script needs."""
    blocks = [
        f'<script type="text/plain" id="{key}">'
        f"{base64.b64encode(gzip.compress(value, mtime=0)).decode()}</script>"
        for key, value in parts.items()
    ]
    text = json.dumps(settings).replace("<", "\\u003c")
    blocks.append(f'<script type="application/json" id="settings">{text}</script>')
    template = Path(__file__).with_name("draw.html").read_text(encoding="utf-8")
    return template.replace("<!-- parts -->", "\n".join(blocks))


def _runtime(given: Path | None) -> dict[str, bytes]:
    """The two files of onnxruntime-web that a page holds."""
    path = given or cache_home() / _RUNTIME
    if given is None and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        name = _RUNTIME.removesuffix(".tgz").replace("web-", "web@")
        command = ["npm", "pack", name, "--pack-destination", str(path.parent)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            text = f"{' '.join(command[:3])} on another machine and name its file with --runtime"
            raise UserError(
                f"npm is missing, or cannot fetch onnxruntime-web: run {text}"
            ) from error
    content = path.read_bytes()
    if hashlib.sha512(content).hexdigest() != _SHA512:
        raise UserError(f"{path} is not {_RUNTIME} as npm packs it: remove it, or name another one")
    with tarfile.open(path) as archive:
        found = {key: archive.extractfile(f"package/dist/{name}") for key, name in _FILES.items()}
        return {key: stream.read() for key, stream in found.items() if stream is not None}


def _milliseconds(call: Callable[[], object], repetitions: int = 20) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken))
