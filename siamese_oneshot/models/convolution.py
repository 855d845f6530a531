"""A convolution that is computed in the way that is fastest for its sizes, device and precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot.models.fourier import Shape, fourier_conv2d
from siamese_oneshot.utils.errors import UserError

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
                f"model.encoder.conv_impl={way} is unknown; there are {', '.join(WAYS)}"
            )
        self.way = way

    def forward(self, images: Tensor) -> Tensor:
        """``(n, channels, height, width)`` → ``(n, filters, …, …)``."""
        plain = (
            images.device.type == "cpu"
            and images.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
        )
        n, _, height, width = images.shape
        if self.by_fourier(n, height, width, plain):
            with torch.autocast(images.device.type, enabled=False):
                images = images.to(self.weight.dtype)
                return fourier_conv2d(images, self.weight, self.bias, int(self.padding[0]))
        return super().forward(images)

    def by_fourier(self, images: int, height: int, width: int, plain: bool) -> bool:
        """Whether a batch goes through the frequency domain.

        Args:
            images: in the batch.
            height, width: of its images.
            plain: it is float32 on a CPU, without autocast.
        """
        if self.way == "direct" or self.stride[0] != 1:
            return False
        if self.way == "fourier":
            return True
        shape = Shape(height, width, self.kernel_size[0], int(self.padding[0]))
        return plain and shape.gain(images, self.in_channels, self.out_channels) >= _GAIN
