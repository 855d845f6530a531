"""Encoders: an image in, an embedding out.

An encoder has ``image_size`` (pixels along a side of its input), ``embedding_dim`` and ``layers``,
an ``nn.ModuleDict`` from first to last. Learning rates, momenta and L2 weights are set by the names
in ``layers``, so every parameter must be in exactly one of them. Any ``nn.Module`` with these three
attributes can take the place of the classes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.convolution import Convolution
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


class IntensityScale(nn.Module):
    """Map intensities 0 … 1 to ``background_value`` … ``foreground_value``."""

    def __init__(self, background_value: float, foreground_value: float) -> None:
        super().__init__()
        self.background_value = check.number("background_value", background_value)
        self.foreground_value = check.number("foreground_value", foreground_value)

    def forward(self, images: Tensor) -> Tensor:
        """Scale images of any shape."""
        if (self.background_value, self.foreground_value) == (0.0, 1.0):
            return images
        return self.background_value + (self.foreground_value - self.background_value) * images


class Encoder(nn.Module):
    """Base of the convolutional encoders: the embedding layer and optional local descriptors.

    Attributes:
        layers: Layers by name, first to last.
        embedding_dim: Size of the embedding: ``global_dim + map_size² * local_dim``.
        map_size: Side of the map of local descriptors; 0 without descriptors.
        local_dim: Length of a local descriptor; 0 without descriptors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()

    def add_embedding_layers(
        self,
        channels: int,
        size: int,
        map_size: int,
        global_dim: int,
        local_dim: int,
        dropout: float,
        activation: str,
    ) -> None:
        """Add ``dense``, which reads ``(channels, size, size)``, and ``local``, or one of them.

        ``local`` reads ``(channels, map_size, map_size)``. The other arguments are the encoder's.
        """
        local_dim = check.integer("local_dim", local_dim, 0)
        global_dim = check.integer("embedding_dim", global_dim, 0 if local_dim else 1)
        self.dropout = nn.Dropout(check.fraction("dropout", dropout))
        if global_dim:
            self.layers["dense"] = nn.Linear(channels * size * size, global_dim)
        self.activation = ACTIVATIONS[check.choice("activation", activation, ACTIVATIONS)]()
        if local_dim:
            self.layers["local"] = nn.Conv2d(channels, local_dim, 1)
        self.map_size, self.local_dim = (map_size if local_dim else 0), local_dim
        self.embedding_dim = global_dim + self.map_size**2 * local_dim

    def embedding(self, features: Tensor, feature_map: Tensor) -> Tensor:
        """Compute the embedding from what ``dense`` and ``local`` read.

        Returns ``(n, embedding_dim)``: the global embedding, then the local descriptors in
        row-major order, each of unit length, as ``CrossAttention`` reads them.
        """
        parts = []
        if "dense" in self.layers:
            parts.append(self.activation(self.layers["dense"](self.dropout(features.flatten(1)))))
        if self.map_size:
            descriptors = self.layers["local"](feature_map).flatten(2).mT  # (n, s², local_dim)
            parts.append(F.normalize(descriptors, dim=-1).flatten(1))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


class ConvEncoder(Encoder):
    """Convolutions with ReLU and optional max-pooling, then one fully connected layer.

    The paper's encoder (Koch et al. 2015, section 3.1 and figure 4) has filters 64, 128, 128, 256,
    kernels 10, 7, 4, 4, pooling after the first three, valid padding and 4,096 sigmoid units.
    Layers are named ``conv1`` … ``convN``, ``dense`` and, with local descriptors, ``local``.

    Args:
        image_size: Side of the images in pixels.
        filters: Output channels of each convolution.
        kernels: Side of each kernel.
        pool_sizes: Side and stride of the max-pooling after each convolution; 1 for none.
        embedding_dim: Size of the global embedding; 0 for none, with local descriptors only.
        strides: Stride of each convolution; None for 1.
        padding: ``valid``, or ``same`` for half a kernel on every side.
        batch_norm: Whether to normalize after each convolution, which then has no bias.
        activation: Activation of the global embedding: sigmoid, tanh, relu or none.
        background_value: Input value of the background.
        foreground_value: Input value of the foreground.
        conv_impl: How convolutions are computed: auto, direct or fourier, see ``Convolution``.
        local_dim: Length of the descriptors of the last map before its pooling, which follow the
            global embedding; 0 for none. ``CrossAttention`` compares them.
        dropout: Dropout rate of the input of ``dense``.

    Shape:
        - images: ``(n, 1, image_size, image_size)``, 0 (background) … 1 (foreground).
        - output: ``(n, embedding_dim)``.
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
        super().__init__()
        image_size = check.integer("image_size", image_size, 1)
        filters = check.integers("filters", filters, 1)
        kernels = check.integers("kernels", kernels, 1)
        pool_sizes = check.integers("pool_sizes", pool_sizes, 1)
        strides = [1] * len(filters) if strides is None else strides
        strides = check.integers("strides", strides, 1)
        check.boolean("batch_norm", batch_norm)
        lengths = [len(filters), len(kernels), len(pool_sizes), len(strides)]
        if len(set(lengths)) != 1 or not filters:
            message = (
                "filters, kernels, pool_sizes and strides need one entry per convolution, "
                f"got {', '.join(map(str, lengths))}"
            )
            raise ArgumentError("filters", filters, message=message)
        check.choice("padding", padding, ("valid", "same"))
        self.scale = IntensityScale(background_value, foreground_value)
        self.pool_relu = nn.ModuleDict()
        size, channels = image_size, 1
        shapes = zip(filters, kernels, pool_sizes, strides, strict=True)
        for number, (width, kernel, pool, stride) in enumerate(shapes, start=1):
            margin = kernel // 2 if padding == "same" else 0
            padded = size + 2 * margin
            too_large = kernel > (image_size if number == 1 else padded)
            if too_large or ((padded - kernel) // stride + 1) // pool < 1:
                message = (
                    f"conv{number}: a {kernel}x{kernel} kernel and a {pool}x{pool} pool do not fit "
                    f"its {size}x{size} input (image {image_size}x{image_size}): use smaller "
                    "kernels or fewer layers"
                )
                raise ArgumentError("kernels", kernels, message=message)
            map_size = (padded - kernel) // stride + 1
            size = map_size // pool
            layer: list[nn.Module] = [
                Convolution(channels, width, kernel, stride, margin, not batch_norm, conv_impl)
            ]
            layer += [nn.BatchNorm2d(width)] if batch_norm else []
            self.layers[f"conv{number}"] = nn.Sequential(*layer)
            # max(ReLU(x)) = ReLU(max(x)), with the same gradient: pool first, on fewer values.
            pooling: list[nn.Module] = [nn.MaxPool2d(pool)] if pool > 1 else []
            self.pool_relu[f"conv{number}"] = nn.Sequential(*pooling, nn.ReLU(inplace=True))
            channels = width
        self.image_size = image_size
        self.add_embedding_layers(
            channels, size, map_size, embedding_dim, local_dim, dropout, activation
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed images."""
        x = self.scale(images)
        for name, pool_relu in self.pool_relu.items():
            feature_map = self.layers[name](x)
            x = pool_relu(feature_map)  # (n, filters, size, size)
        return self.embedding(x, F.relu(feature_map) if self.map_size else feature_map)


class Block(nn.Module):
    """Basic residual block: two 3x3 convolutions with batch norm, and a shortcut.

    Reference: He et al. 2016, "Deep Residual Learning for Image Recognition", figure 2.

    Args:
        in_channels: Input channels.
        out_channels: Output channels; if they differ, the shortcut is a 1x1 convolution.
        conv_impl: How the 3x3 convolutions are computed, see ``Convolution``.

    Shape:
        - x: ``(n, in_channels, size, size)``.
        - output: ``(n, out_channels, size, size)``.
    """

    def __init__(self, in_channels: int, out_channels: int, conv_impl: str) -> None:
        super().__init__()
        self.first = Convolution(in_channels, out_channels, 3, 1, 1, False, conv_impl)
        self.first_norm = nn.BatchNorm2d(out_channels)
        self.second = Convolution(out_channels, out_channels, 3, 1, 1, False, conv_impl)
        self.second_norm = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(
                Convolution(in_channels, out_channels, 1, 1, 0, False, "direct"),
                nn.BatchNorm2d(out_channels),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        residual = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(residual)) + self.shortcut(x))


class ResidualEncoder(Encoder):
    """A strided convolution and stages of residual blocks, with max-pooling after each stage.

    Layers are named ``stem``, ``stage1`` … ``stageN``, ``dense`` and, with local descriptors,
    ``local``.

    Args:
        image_size: Side of the images in pixels.
        filters: Output channels of each stage; the stem has as many as the first stage.
        blocks: Residual blocks of each stage.
        embedding_dim: Size of the global embedding.
        kernel: Side of the stem's kernel.
        stride: Stride of the stem.
        local_dim: As for ``ConvEncoder``, as are the arguments that follow.

    Shape:
        - images: ``(n, 1, image_size, image_size)``, 0 (background) … 1 (foreground).
        - output: ``(n, embedding_dim)``.
    """

    def __init__(
        self,
        image_size: int,
        filters: Sequence[int],
        blocks: Sequence[int],
        embedding_dim: int,
        kernel: int = 5,
        stride: int = 2,
        local_dim: int = 0,
        dropout: float = 0.0,
        activation: str = "sigmoid",
        background_value: float = 0.0,
        foreground_value: float = 1.0,
        conv_impl: str = "auto",
    ) -> None:
        super().__init__()
        self.image_size = check.integer("image_size", image_size, 1)
        filters = check.integers("filters", filters, 1)
        blocks = check.integers("blocks", blocks, 1)
        kernel = check.integer("kernel", kernel, 1)
        stride = check.integer("stride", stride, 1)
        if not filters or len(filters) != len(blocks):
            message = (
                f"filters and blocks need one entry per stage, got {len(filters)} and {len(blocks)}"
            )
            raise ArgumentError("filters", filters, message=message)
        size = (image_size + 2 * (kernel // 2) - kernel) // stride + 1
        if size >> len(filters) < 1:
            message = (
                f"{len(filters)} stages halve the {image_size}x{image_size} image to nothing: "
                "use fewer stages or a smaller stride"
            )
            raise ArgumentError("filters", filters, message=message)
        self.scale = IntensityScale(background_value, foreground_value)
        stem = Convolution(1, filters[0], kernel, stride, kernel // 2, False, conv_impl)
        self.layers["stem"] = nn.Sequential(stem, nn.BatchNorm2d(filters[0]))
        channels, self.stages = filters[0], len(filters)
        for number, (width, depth) in enumerate(zip(filters, blocks, strict=True), start=1):
            widths = [channels] + [width] * depth
            self.layers[f"stage{number}"] = nn.Sequential(
                *(Block(a, b, conv_impl) for a, b in pairwise(widths))
            )
            channels, map_size, size = width, size, size // 2
        self.add_embedding_layers(
            channels, size, map_size, embedding_dim, local_dim, dropout, activation
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed images."""
        x = F.relu(self.layers["stem"](self.scale(images)))
        for number in range(1, self.stages + 1):
            feature_map = self.layers[f"stage{number}"](x)  # (n, filters, size, size)
            x = F.max_pool2d(feature_map, 2)
        return self.embedding(x, feature_map)


class DenseEncoder(nn.Module):
    """The paper's fully connected baseline (section 4.3): one hidden layer and the embedding.

    The paper gives no sizes, and any number of hidden layers may be given.

    Layers are named ``dense1`` … ``denseN`` and ``dense``.

    Args:
        image_size: Side of the images in pixels.
        hidden: Units of each hidden ReLU layer.
        embedding_dim: Size of the embedding.
        activation: As for ``ConvEncoder``, as are the arguments that follow.

    Shape:
        - images: ``(n, 1, image_size, image_size)``, 0 (background) … 1 (foreground).
        - output: ``(n, embedding_dim)``.
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
        self.image_size = check.integer("image_size", image_size, 1)
        self.embedding_dim = check.integer("embedding_dim", embedding_dim, 1)
        sizes = [image_size * image_size, *check.integers("hidden", hidden, 1)]
        self.scale = IntensityScale(background_value, foreground_value)
        self.layers = nn.ModuleDict()
        for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            self.layers[f"dense{number}"] = nn.Linear(inputs, outputs)
        self.layers["dense"] = nn.Linear(sizes[-1], embedding_dim)
        self.activation = ACTIVATIONS[check.choice("activation", activation, ACTIVATIONS)]()

    def forward(self, images: Tensor) -> Tensor:
        """Embed images."""
        x = self.scale(images).flatten(1)
        for name, layer in self.layers.items():
            x = layer(x) if name == "dense" else torch.relu(layer(x))
        return self.activation(x)
