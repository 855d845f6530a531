"""The tower: a picture in, an embedding out. Layers have names, so that each can be spoken of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot import setting
from siamese_oneshot.errors import UserError
from siamese_oneshot.model.convolution import Convolution
from siamese_oneshot.model.tower import InkScale, Tower, make_activation


class ConvEncoder(Tower):
    """Convolutions, each with ReLU and an optional max-pool, then one fully connected layer.

    The paper's tower (section 3.1) is filters 64, 128, 128, 256; kernels 10, 7, 4, 4; pools on the
    first three; valid padding; 4,096 sigmoid units. Layers are called ``conv1`` … and ``dense``.

    Args:
        size: pixels along a side of the picture.
        filters: output channels of each convolution.
        kernels: side of each kernel.
        pools: side (and stride) of the max-pool after each convolution; 1 is none.
        strides: stride of each convolution; all 1 where None.
        padding: ``valid``, or ``same``: half a kernel on every side.
        batch_norm: normalise after each convolution, which then has no bias.
        units: size of the embedding, or of the whole picture's part of it.
        activation: of that: sigmoid, tanh, relu or none.
        paper, ink: the values that paper and ink have for the network.
        convolution: how convolutions are computed: auto, direct or fourier (see ``Convolution``).
        local: length of the descriptors of the last map's places, before its pool, which follow
            the whole picture's part in the embedding; 0 is none. ``CrossAttention`` compares them.
        dropout: share of the features that training hides from ``dense``.

    Raises:
        UserError: lists of different lengths, or sizes that do not fit the picture, with the layer
            at which that shows.
    """

    def __init__(
        self,
        size: int,
        filters: Sequence[int],
        kernels: Sequence[int],
        pools: Sequence[int],
        units: int,
        strides: Sequence[int] | None = None,
        padding: str = "valid",
        batch_norm: bool = False,
        activation: str = "sigmoid",
        paper: float = 0.0,
        ink: float = 1.0,
        convolution: str = "auto",
        local: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(convolution)
        size = setting.whole("model.encoder.size", size, 1)
        filters = setting.wholes("model.encoder.filters", filters, 1)
        kernels = setting.wholes("model.encoder.kernels", kernels, 1)
        pools = setting.wholes("model.encoder.pools", pools, 1)
        strides = [1] * len(filters) if strides is None else strides
        strides = setting.wholes("model.encoder.strides", strides, 1)
        setting.flag("model.encoder.batch_norm", batch_norm)
        lengths = [len(filters), len(kernels), len(pools), len(strides)]
        if len(set(lengths)) != 1 or not filters:
            raise UserError(
                "model.encoder: filters, kernels, pools and strides need one entry for each "
                "convolution, "
                f"got {lengths[0]}, {lengths[1]}, {lengths[2]}, {lengths[3]}"
            )
        setting.one_of("model.encoder.padding", padding, ("valid", "same"))
        self.scale = InkScale(paper, ink)
        self.after = nn.ModuleDict()
        side, channels = size, 1
        shapes = zip(filters, kernels, pools, strides, strict=True)
        for number, (width, kernel, pool, stride) in enumerate(shapes, start=1):
            margin = kernel // 2 if padding == "same" else 0
            room = side + 2 * margin
            larger = kernel > (size if number == 1 else room)  # than the picture, or the layer
            if larger or ((room - kernel) // stride + 1) // pool < 1:
                raise UserError(
                    f"conv{number}: a {kernel}x{kernel} kernel and a {pool}x{pool} pool do not fit "
                    f"its {side}x{side} input (picture {size}x{size}): use smaller kernels or "
                    "fewer layers"
                )
            self.sides[f"conv{number}"] = side
            places = (room - kernel) // stride + 1
            side = places // pool
            layer: list[nn.Module] = [
                Convolution(channels, width, kernel, stride, margin, not batch_norm, convolution)
            ]
            layer += [nn.BatchNorm2d(width)] if batch_norm else []
            self.layers[f"conv{number}"] = nn.Sequential(*layer)
            # The greatest of ReLUs is the ReLU of the greatest, with the same gradient: pool first.
            tail: list[nn.Module] = [nn.MaxPool2d(pool)] if pool > 1 else []
            self.after[f"conv{number}"] = nn.Sequential(*tail, nn.ReLU(inplace=True))
            channels = width
        self.size, self.side = size, side
        self.end(channels, side, places, units, local, dropout, activation)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed.

        Args:
            pictures: ``(n, 1, size, size)``: 0 paper … 1 ink.

        Returns:
            ``(n, units)``.
        """
        x = self.scale(pictures)
        for name, after in self.after.items():
            maps = self.layers[name](x)
            x = after(maps)  # (n, filters, side, side)
        return self.embedding(x, F.relu(maps) if self.places else maps)


class DenseEncoder(nn.Module):
    """The fully connected tower of the paper's table: no convolution, the same embedding and loss.

    The paper gives no sizes for it. Layers are called ``dense1`` … and ``dense``.

    Args:
        size: pixels along a side of the picture.
        hidden: units of each hidden ReLU layer.
        units: size of the embedding.
        activation, paper, ink: as for ``ConvEncoder``.
    """

    def __init__(
        self,
        size: int,
        hidden: Sequence[int],
        units: int,
        activation: str = "sigmoid",
        paper: float = 0.0,
        ink: float = 1.0,
    ) -> None:
        super().__init__()
        size = setting.whole("model.encoder.size", size, 1)
        units = setting.whole("model.encoder.units", units, 1)
        hidden = setting.wholes("model.encoder.hidden", hidden, 1)
        self.scale = InkScale(paper, ink)
        self.layers = nn.ModuleDict()
        width = size * size
        for number, wide in enumerate(hidden, start=1):
            self.layers[f"dense{number}"] = nn.Linear(width, wide)
            width = wide
        self.layers["dense"] = nn.Linear(width, units)
        self.activation = make_activation(activation)
        self.size, self.units = size, units

    def forward(self, pictures: Tensor) -> Tensor:
        """``(n, 1, size, size)`` → ``(n, units)``."""
        x = self.scale(pictures).flatten(1)
        for name, layer in self.layers.items():
            x = layer(x) if name == "dense" else torch.relu(layer(x))
        return self.activation(x)
