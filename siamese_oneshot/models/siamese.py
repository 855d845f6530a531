"""The Siamese network: one encoder for both images and a similarity of their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from siamese_oneshot.models.init import initialize
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import build_option
from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.text import did_you_mean

LayerSetting = float | Mapping[str, float]
"""A number for all layers, or a mapping from layer names; ``default`` stands for the others."""


class SiameseNetwork(nn.Module):
    """``logit = similarity(encoder(first), encoder(second))`` (Koch et al. 2015, section 3.1).

    One encoder embeds both images, so both sides have tied (shared) weights.

    Args:
        encoder: Maps images ``(n, 1, size, size)`` to embeddings ``(n, embedding_dim)``. Has
            ``image_size``, ``embedding_dim`` and ``layers``, see the module ``encoders``.
        similarity: Maps two embeddings ``(..., embedding_dim)`` to logits ``(...)``. It may have
            ``score_class``, which takes the place of the mean over a class's support images.
    """

    def __init__(self, encoder: nn.Module, similarity: nn.Module) -> None:
        super().__init__()
        self.encoder, self.similarity = encoder, similarity

    @property
    def named_layers(self) -> dict[str, nn.Module]:
        """The encoder's layers, first to last, then ``output`` (the similarity)."""
        return {**dict(self.encoder.layers.items()), "output": self.similarity}  # type: ignore[operator, union-attr]

    def embed(self, images: Tensor) -> Tensor:
        """Embed images ``(..., 1, size, size)``; returns ``(..., embedding_dim)``."""
        flat = images.reshape(-1, *images.shape[-3:])
        return self.encoder(flat).reshape(*images.shape[:-3], -1)

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(...)`` of "same class" for embeddings ``(..., embedding_dim)``, broadcast."""
        return self.similarity(first, second)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Logits ``(...)`` of "same class" as several support images.

        Of queries ``(..., embedding_dim)`` and supports ``(..., shot, embedding_dim)``, broadcast.
        """
        own = getattr(self.similarity, "score_class", None)
        return mean_of_shots(self.score, query, supports) if own is None else own(query, supports)

    def row_scorer(self, table: Tensor) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The similarity's ``row_scorer`` for a table of embeddings; None if it has none.

        Nor where it has ``score_class``, by which several supports of a class are compared.
        """
        own = getattr(self.similarity, "row_scorer", None)
        return None if own is None or hasattr(self.similarity, "score_class") else own(table)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(n,)`` of pairs of images ``(n, 1, size, size)``, in one pass of the encoder."""
        first, second = self.embed(torch.stack([first, second]))
        return self.score(first, second)


def mean_of_shots(
    score: Callable[[Tensor, Tensor], Tensor], query: Tensor, supports: Tensor
) -> Tensor:
    """The mean score of a query and several supports; arguments as of ``score_class``."""
    return score(query.unsqueeze(-2), supports).mean(-1)


def build_network(
    encoder: Callable[[], nn.Module],
    similarity: Callable[[int], nn.Module],
    init: str,
    seed: int,
) -> SiameseNetwork:
    """Build and initialize a network.

    Args:
        encoder: Makes the encoder.
        similarity: Makes the similarity from the encoder's ``embedding_dim``.
        init: Initialization: ``paper``, ``replication`` or ``torch``.
        seed: Seed of the initial weights. The global random state is left as it is.
    """
    check.seed("seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
        built = encoder()
        network = SiameseNetwork(built, similarity(built.embedding_dim))  # type: ignore[arg-type]
    initialize(network.named_layers, init, seed)
    return network


def build_model(
    spec: str | Mapping[str, Any] = "resnet_cross_attention", **changes: Any
) -> SiameseNetwork:
    """Build a network such as ``paper``, with the defaults of conf/model; arguments: `describe`."""
    return build_option("model", spec, **changes)


def per_layer(argument: str, setting: LayerSetting, layers: Iterable[str]) -> dict[str, float]:
    """Resolve a setting, which errors call ``argument``, to one number for each layer."""
    check_per_layer(argument, setting)
    names = list(layers)
    if not isinstance(setting, Mapping):
        return dict.fromkeys(names, float(setting))
    for name, value in setting.items():
        if name != "default" and name not in names:
            hint = did_you_mean(name, names, 0.0)
            message = f"there is no such layer.{hint} Layers: {', '.join(names)}"
            raise ArgumentError(f"{argument}.{name}", value, message=message)
    missing = [name for name in names if name not in setting]
    if missing and "default" not in setting:
        message = f"it has no number for {', '.join(missing)} and no default"
        raise ArgumentError(argument, dict(setting), message=message)
    return {name: float(setting[name if name in setting else "default"]) for name in names}


def check_per_layer(argument: str, setting: LayerSetting) -> None:
    """Refuse numbers below 0, before the layers are known."""
    if isinstance(setting, Mapping):
        for name, value in setting.items():
            check.number(f"{argument}.{name}", value, 0)
    else:
        check.number(argument, setting, 0)
