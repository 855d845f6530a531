"""A convolution that is computed in the way that is fastest for its sizes, device and precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot.errors import UserError
from siamese_oneshot.model.fourier import Shape, fourier_conv2d

WAYS = ("auto", "direct", "fourier")
_GAIN = 1.4  # from which on the frequency domain is faster forward, too, not only in training


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with a square kernel, margin and stride; the same parameters and names.

    Ways of computing it differ by rounding alone, so weights go from one to the other.

    Args:
        channels, filters, kernel, stride, margin, bias: as for ``nn.Conv2d``.
        way: ``direct`` is PyTorch's own; ``fourier`` goes through the frequency domain wherever
            the stride is 1, in the precision of the weights; ``auto`` does so, batch by batch, in
            float32 on a CPU where it is faster.

    Raises:
        UserError: an unknown way.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        stride: int,
        margin: int,
        bias: bool,
        way: str = "auto",
    ) -> None:
        super().__init__(channels, filters, kernel, stride, margin, bias=bias)
        if way not in WAYS:
            raise UserError(
                f"model.encoder.convolution={way} is unknown; there are {', '.join(WAYS)}"
            )
        self.way = way

    def forward(self, pictures: Tensor) -> Tensor:
        """``(n, channels, height, width)`` → ``(n, filters, …, …)``."""
        plain = (
            pictures.device.type == "cpu"
            and pictures.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
        )
        n, _, height, width = pictures.shape
        if self.by_fourier(n, height, width, plain):
            with torch.autocast(pictures.device.type, enabled=False):
                pictures = pictures.to(self.weight.dtype)
                return fourier_conv2d(pictures, self.weight, self.bias, int(self.padding[0]))
        return super().forward(pictures)

    def by_fourier(self, pictures: int, height: int, width: int, plain: bool) -> bool:
        """Whether a batch goes through the frequency domain.

        Args:
            pictures: in the batch.
            height, width: of its pictures.
            plain: it is float32 on a CPU, without autocast.
        """
        if self.way == "direct" or self.stride[0] != 1:
            return False
        if self.way == "fourier":
            return True
        shape = Shape(height, width, self.kernel_size[0], int(self.padding[0]))
        return plain and shape.gain(pictures, self.in_channels, self.out_channels) >= _GAIN
