"""A deeper encoder of residual blocks, whose embedding may keep a map of local descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.convolution import Convolution
from siamese_oneshot.models.encoder_base import Encoder, IntensityScale
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (He et al. 2016, basic block).

    Args:
        channels, filters: in and out; where they differ the shortcut is a 1x1 convolution.
        convolution: how convolutions are computed (see ``Convolution``).
    """

    def __init__(self, channels: int, filters: int, convolution: str) -> None:
        super().__init__()
        self.first = Convolution(channels, filters, 3, 1, 1, False, convolution)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = Convolution(filters, filters, 3, 1, 1, False, convolution)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = (
            nn.Identity()
            if channels == filters
            else nn.Sequential(
                Convolution(channels, filters, 1, 1, 0, False, "direct"), nn.BatchNorm2d(filters)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, side, side)`` → ``(n, filters, side, side)``."""
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class ResidualEncoder(Encoder):
    """A strided conv_impl, stages of residual blocks with a max-pool after each, then ``dense``.

    Layers are called ``stem``, ``stage1`` … and ``dense``; ``local`` where there is one.

    Args:
        size: pixels along a side of the image.
        filters: output channels of each stage; the stem has as many as the first.
        blocks: residual blocks of each stage.
        units: size of the whole image's part of the embedding.
        kernel, stride: of the stem.
        local, dropout, activation, paper, ink, convolution: as for ``ConvEncoder``.

    Raises:
        UserError: lists of different lengths, or more stages than the image can be halved.
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
        super().__init__(conv_impl)
        where = "model.encoder"
        self.image_size = check.integer("image_size", image_size, 1)
        filters = check.integers("filters", filters, 1)
        blocks = check.integers("blocks", blocks, 1)
        kernel = check.integer("kernel", kernel, 1)
        stride = check.integer("stride", stride, 1)
        if not filters or len(filters) != len(blocks):
            raise UserError(
                f"{where}: filters and blocks need one entry for each stage, "
                f"got {len(filters)} and {len(blocks)}"
            )
        side = (image_size + 2 * (kernel // 2) - kernel) // stride + 1
        if side >> len(filters) < 1:
            raise UserError(
                f"{where}: {len(filters)} stages halve the {image_size}x{image_size} image to nothing: use "
                "fewer stages or a smaller stride"
            )
        self.scale = IntensityScale(background_value, foreground_value)
        stem = Convolution(1, filters[0], kernel, stride, kernel // 2, False, conv_impl)
        self.layers["stem"] = nn.Sequential(stem, nn.BatchNorm2d(filters[0]))
        channels, self.stages = filters[0], len(filters)
        for number, (width, depth) in enumerate(zip(filters, blocks, strict=True), start=1):
            widths = [channels] + [width] * depth
            self.layers[f"stage{number}"] = nn.Sequential(
                *(Block(a, b, conv_impl) for a, b in pairwise(widths))
            )
            self.sides[f"stage{number}"] = side
            channels, places, side = width, side, side // 2
        self.end(channels, side, places, embedding_dim, local_dim, dropout, activation)

    def forward(self, images: Tensor) -> Tensor:
        """Embed.

        Args:
            images: ``(n, 1, size, size)``: 0 paper … 1 ink.

        Returns:
            ``(n, units)``; local descriptors have length 1 each.
        """
        x = F.relu(self.layers["stem"](self.scale(images)))
        for number in range(1, self.stages + 1):
            before = self.layers[f"stage{number}"](x)  # (n, filters, side, side)
            x = F.max_pool2d(before, 2)
        return self.embedding(x, before)
