"""The encoder: an image in, an embedding out. Layers have names, so that each can be spoken of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.convolution import Convolution
from siamese_oneshot.models.encoder_base import Encoder, IntensityScale, make_activation
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError


class ConvEncoder(Encoder):
    """Convolutions, each with ReLU and an optional max-pool, then one fully connected layer.

    The paper's encoder (section 3.1) is filters 64, 128, 128, 256; kernels 10, 7, 4, 4; pools on the
    first three; valid padding; 4,096 sigmoid units. Layers are called ``conv1`` … and ``dense``.

    Args:
        size: pixels along a side of the image.
        filters: output channels of each convolution.
        kernels: side of each kernel.
        pools: side (and stride) of the max-pool after each convolution; 1 is none.
        strides: stride of each convolution; all 1 where None.
        padding: ``valid``, or ``same``: half a kernel on every side.
        batch_norm: normalise after each conv_impl, which then has no bias.
        units: size of the embedding, or of the whole image's part of it.
        activation: of that: sigmoid, tanh, relu or none.
        paper, ink: the values that paper and ink have for the network.
        convolution: how convolutions are computed: auto, direct or fourier (see ``Convolution``).
        local: length of the descriptors of the last map's places, before its pool, which follow
            the whole image's part in the embedding; 0 is none. ``CrossAttention`` compares them.
        dropout: share of the features that training hides from ``dense``.

    Raises:
        UserError: lists of different lengths, or sizes that do not fit the image, with the layer
            at which that shows.
    """

    def __init__(
        self,
        image_size: int,
        filters: Sequence[int],
        kernels: Sequence[int],
        pool_sizes: Sequence[int],
        embedding_dim: int,
        strides: Sequence[int] | None = None,
        padding: str = "valid",
        batch_norm: bool = False,
        activation: str = "sigmoid",
        background_value: float = 0.0,
        foreground_value: float = 1.0,
        conv_impl: str = "auto",
        local_dim: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(conv_impl)
        image_size = check.integer("image_size", image_size, 1)
        filters = check.integers("filters", filters, 1)
        kernels = check.integers("kernels", kernels, 1)
        pool_sizes = check.integers("pool_sizes", pool_sizes, 1)
        strides = [1] * len(filters) if strides is None else strides
        strides = check.integers("strides", strides, 1)
        check.boolean("batch_norm", batch_norm)
        lengths = [len(filters), len(kernels), len(pool_sizes), len(strides)]
        if len(set(lengths)) != 1 or not filters:
            raise UserError(
                "model.encoder: filters, kernels, pools and strides need one entry for each "
                "convolution, "
                f"got {lengths[0]}, {lengths[1]}, {lengths[2]}, {lengths[3]}"
            )
        check.choice("padding", padding, ("valid", "same"))
        self.scale = IntensityScale(background_value, foreground_value)
        self.after = nn.ModuleDict()
        side, channels = image_size, 1
        shapes = zip(filters, kernels, pool_sizes, strides, strict=True)
        for number, (width, kernel, pool, stride) in enumerate(shapes, start=1):
            margin = kernel // 2 if padding == "same" else 0
            room = side + 2 * margin
            larger = kernel > (image_size if number == 1 else room)  # than the image, or the layer
            if larger or ((room - kernel) // stride + 1) // pool < 1:
                raise UserError(
                    f"conv{number}: a {kernel}x{kernel} kernel and a {pool}x{pool} pool do not fit "
                    f"its {side}x{side} input (image {image_size}x{image_size}): use smaller kernels or "
                    "fewer layers"
                )
            self.sides[f"conv{number}"] = side
            places = (room - kernel) // stride + 1
            side = places // pool
            layer: list[nn.Module] = [
                Convolution(channels, width, kernel, stride, margin, not batch_norm, conv_impl)
            ]
            layer += [nn.BatchNorm2d(width)] if batch_norm else []
            self.layers[f"conv{number}"] = nn.Sequential(*layer)
            # The greatest of ReLUs is the ReLU of the greatest, with the same gradient: pool first.
            tail: list[nn.Module] = [nn.MaxPool2d(pool)] if pool > 1 else []
            self.after[f"conv{number}"] = nn.Sequential(*tail, nn.ReLU(inplace=True))
            channels = width
        self.image_size, self.side = image_size, side
        self.end(channels, side, places, embedding_dim, local_dim, dropout, activation)

    def forward(self, images: Tensor) -> Tensor:
        """Embed.

        Args:
            images: ``(n, 1, size, size)``: 0 paper … 1 ink.

        Returns:
            ``(n, units)``.
        """
        x = self.scale(images)
        for name, after in self.after.items():
            maps = self.layers[name](x)
            x = after(maps)  # (n, filters, side, side)
        return self.embedding(x, F.relu(maps) if self.places else maps)


class DenseEncoder(nn.Module):
    """The fully connected encoder of the paper's table: no convolution, the same embedding and loss.

    The paper gives no sizes for it. Layers are called ``dense1`` … and ``dense``.

    Args:
        size: pixels along a side of the image.
        hidden: units of each hidden ReLU layer.
        units: size of the embedding.
        activation, paper, ink: as for ``ConvEncoder``.
    """

    def __init__(
        self,
        image_size: int,
        hidden: Sequence[int],
        embedding_dim: int,
        activation: str = "sigmoid",
        background_value: float = 0.0,
        foreground_value: float = 1.0,
    ) -> None:
        super().__init__()
        image_size = check.integer("image_size", image_size, 1)
        embedding_dim = check.integer("embedding_dim", embedding_dim, 1)
        hidden = check.integers("hidden", hidden, 1)
        self.scale = IntensityScale(background_value, foreground_value)
        self.layers = nn.ModuleDict()
        width = image_size * image_size
        for number, wide in enumerate(hidden, start=1):
            self.layers[f"dense{number}"] = nn.Linear(width, wide)
            width = wide
        self.layers["dense"] = nn.Linear(width, embedding_dim)
        self.activation = make_activation(activation)
        self.image_size, self.embedding_dim = image_size, embedding_dim

    def forward(self, images: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → ``(n, units)``."""
        x = self.scale(images).flatten(1)
        for name, layer in self.layers.items():
            x = layer(x) if name == "dense" else torch.relu(layer(x))
        return self.activation(x)
