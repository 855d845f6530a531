"""The Siamese network: one encoder for both images and a similarity of their embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.init import initialize
from siamese_oneshot.models.similarity import RowScore
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import build_option
from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.text import did_you_mean

LayerSetting = float | Mapping[str, float]
"""A number for all layers, or a mapping from layer names; ``default`` stands for the others."""

TURN = 112.0
"""Degrees by which mirrored views are turned, chosen in docs/recipe.md."""


class SiameseNetwork(nn.Module):
    """``logit = similarity(encoder(first), encoder(second))`` (Koch et al. 2015, section 3.1).

    One encoder embeds both images, so both sides have tied (shared) weights.

    Args:
        encoder: Maps images ``(n, 1, size, size)`` to embeddings ``(n, embedding_dim)``. Has
            ``image_size``, ``embedding_dim`` and ``layers``, see the module ``encoders``.
        similarity: Maps two embeddings ``(..., embedding_dim)`` to logits ``(...)``. It may have
            ``score_class``, which takes the place of the mean over a class's support images.

    Attributes:
        tta: Test-time augmentation: in evaluation mode an embedding holds those of three views, of
            the image and of two mirrored copies that are turned by `TURN` to the left and to the
            right, and a score is the mean over the views, each compared with its like.
        description: The configuration that builds the network; None where that is not known.
        metadata: Of the training that its weights are from, where they were loaded from a file.
    """

    description: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None

    def __init__(self, encoder: nn.Module, similarity: nn.Module, tta: bool = False) -> None:
        super().__init__()
        self.encoder, self.similarity = encoder, similarity
        self.tta = check.boolean("tta", tta)

    @property
    def named_layers(self) -> dict[str, nn.Module]:
        """The encoder's layers, first to last, then ``output`` (the similarity)."""
        return {**dict(self.encoder.layers.items()), "output": self.similarity}  # type: ignore[operator, union-attr]

    def embed(self, images: Tensor) -> Tensor:
        """Embed images ``(..., 1, size, size)``; returns ``(..., embedding_dim)``.

        With `tta` in evaluation mode ``(..., 3 * embedding_dim)``.
        """
        flat = images.reshape(-1, *images.shape[-3:])
        three = self.tta and not self.training
        views = torch.stack([flat, *mirrored_and_turned(flat)]) if three else flat[None]
        embedded = self.encoder(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        by_image = embedded.transpose(0, 1).flatten(1)
        return by_image.reshape(*images.shape[:-3], by_image.shape[1])

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(...)`` of "same class" for embeddings ``(..., embedding_dim)``, broadcast."""
        return self._mean(self.similarity, first, second)

    def score_class(self, query: Tensor, supports: Tensor) -> Tensor:
        """Logits ``(...)`` of "same class" as several support images.

        Of queries ``(..., embedding_dim)`` and supports ``(..., shot, embedding_dim)``, broadcast.
        """
        own = getattr(self.similarity, "score_class", None)
        if own is None:
            return mean_of_shots(self.score, query, supports)
        return self._mean(own, query, supports)

    def row_scorer(self, table: Tensor) -> RowScore | None:
        """The similarity's ``row_scorer`` for a table of embeddings; None if it has none.

        Nor where it has ``score_class``, by which several supports of a class are compared.
        """
        own = getattr(self.similarity, "row_scorer", None)
        if own is None or hasattr(self.similarity, "score_class"):
            return None
        return mean_row_scorer([own(view) for view in self._views(table)])

    def attention(self, first: Tensor, second: Tensor) -> Tensor | None:
        """Where images look in others, of the first views; None without cross-attention.

        See `CrossAttention.attention`.
        """
        own = getattr(self.similarity, "attention", None)
        return None if own is None else own(self._views(first)[0], self._views(second)[0])

    def _views(self, embedded: Tensor) -> tuple[Tensor, ...]:
        return embedded.split(self.encoder.embedding_dim, -1)

    def _mean(self, score: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
        return mean([score(*pair) for pair in zip(self._views(a), self._views(b), strict=True)])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits ``(n,)`` of pairs of images ``(n, 1, size, size)``, in one pass of the encoder."""
        first, second = self.embed(torch.stack([first, second]))
        return self.score(first, second)


def mirrored_and_turned(images: Tensor) -> list[Tensor]:
    """Images ``(n, 1, size, size)`` mirrored and turned by `TURN` degrees, one way and the other.

    With bilinear interpolation; what lies outside an image is background.
    """
    cos, sin = math.cos(math.radians(TURN)), math.sin(math.radians(TURN))
    matrices = [[[-cos, -s, 0.0], [-s, cos, 0.0]] for s in (sin, -sin)]  # their own inverses
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would shift the points
        matrix = torch.tensor(matrices, dtype=images.dtype, device=images.device)
        grids = F.affine_grid(matrix, [2, *images.shape[1:]], align_corners=False)
        channels = images.transpose(0, 1)  # one grid for all images
        turned = [F.grid_sample(channels, grid[None], align_corners=False) for grid in grids]
    return [one.transpose(0, 1) for one in turned]


def mean(scores: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; of one tensor, itself."""
    return scores[0] if len(scores) == 1 else torch.stack(list(scores)).mean(0)


def mean_row_scorer(scorers: Sequence[RowScore | None]) -> RowScore | None:
    """The mean of several ``row_scorer``; None unless all exist."""
    made = [one for one in scorers if one is not None]
    if len(made) < len(scorers):
        return None
    return lambda first, second: mean([score(first, second) for score in made])


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
    tta: bool = False,
) -> SiameseNetwork:
    """Build and initialize a network.

    Args:
        encoder: Makes the encoder.
        similarity: Makes the similarity from the encoder's ``embedding_dim``.
        init: Initialization: ``paper``, ``replication`` or ``torch``.
        seed: Seed of the initial weights. The global random state is left as it is.
        tta: Whether it compares images by test-time augmentation; see `SiameseNetwork`.
    """
    check.seed("seed", seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs, too
        built = encoder()
        network = SiameseNetwork(built, similarity(built.embedding_dim), tta)  # type: ignore[arg-type]
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
