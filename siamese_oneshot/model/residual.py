"""A deeper tower of residual blocks, whose embedding may keep a map of local descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot import setting
from siamese_oneshot.errors import UserError
from siamese_oneshot.model.convolution import Convolution
from siamese_oneshot.model.tower import InkScale, Tower


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


class ResidualEncoder(Tower):
    """A strided convolution, stages of residual blocks with a max-pool after each, then ``dense``.

    Layers are called ``stem``, ``stage1`` … and ``dense``; ``local`` where there is one.

    Args:
        size: pixels along a side of the picture.
        filters: output channels of each stage; the stem has as many as the first.
        blocks: residual blocks of each stage.
        units: size of the whole picture's part of the embedding.
        kernel, stride: of the stem.
        local, dropout, activation, paper, ink, convolution: as for ``ConvEncoder``.

    Raises:
        UserError: lists of different lengths, or more stages than the picture can be halved.
    """

    def __init__(
        self,
        size: int,
        filters: Sequence[int],
        blocks: Sequence[int],
        units: int,
        kernel: int = 5,
        stride: int = 2,
        local: int = 0,
        dropout: float = 0.0,
        activation: str = "sigmoid",
        paper: float = 0.0,
        ink: float = 1.0,
        convolution: str = "auto",
    ) -> None:
        super().__init__(convolution)
        where = "model.encoder"
        self.size = setting.whole(f"{where}.size", size, 1)
        filters = setting.wholes(f"{where}.filters", filters, 1)
        blocks = setting.wholes(f"{where}.blocks", blocks, 1)
        kernel = setting.whole(f"{where}.kernel", kernel, 1)
        stride = setting.whole(f"{where}.stride", stride, 1)
        if not filters or len(filters) != len(blocks):
            raise UserError(
                f"{where}: filters and blocks need one entry for each stage, "
                f"got {len(filters)} and {len(blocks)}"
            )
        side = (size + 2 * (kernel // 2) - kernel) // stride + 1
        if side >> len(filters) < 1:
            raise UserError(
                f"{where}: {len(filters)} stages halve the {size}x{size} picture to nothing: use "
                "fewer stages or a smaller stride"
            )
        self.scale = InkScale(paper, ink)
        stem = Convolution(1, filters[0], kernel, stride, kernel // 2, False, convolution)
        self.layers["stem"] = nn.Sequential(stem, nn.BatchNorm2d(filters[0]))
        channels, self.stages = filters[0], len(filters)
        for number, (width, depth) in enumerate(zip(filters, blocks, strict=True), start=1):
            widths = [channels] + [width] * depth
            self.layers[f"stage{number}"] = nn.Sequential(
                *(Block(a, b, convolution) for a, b in pairwise(widths))
            )
            self.sides[f"stage{number}"] = side
            channels, places, side = width, side, side // 2
        self.end(channels, side, places, units, local, dropout, activation)

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed.

        Args:
            pictures: ``(n, 1, size, size)``: 0 paper … 1 ink.

        Returns:
            ``(n, units)``; local descriptors have length 1 each.
        """
        x = F.relu(self.layers["stem"](self.scale(pictures)))
        for number in range(1, self.stages + 1):
            before = self.layers[f"stage{number}"](x)  # (n, filters, side, side)
            x = F.max_pool2d(before, 2)
        return self.embedding(x, before)
