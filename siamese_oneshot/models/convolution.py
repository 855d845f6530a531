"""A convolution computed in the fastest way for its sizes, device and precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from siamese_oneshot.models.fourier import Shape, fourier_conv2d
from siamese_oneshot.utils import check

CONV_IMPLS = ("auto", "direct", "fourier")
_MIN_GAIN = 1.4  # estimated gain from which the frequency domain is also faster in inference


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with a square kernel, padding and stride, and the same parameter names.

    All implementations agree up to rounding, so their weights are interchangeable.

    Args:
        in_channels, out_channels, kernel, stride, margin, bias: As for ``nn.Conv2d``.
        impl: ``direct`` uses PyTorch's own; ``fourier`` uses the frequency domain whenever the
            stride is 1, in the precision of the weights; ``auto`` uses it for batches in float32
            on a CPU for which it is faster.

    Raises:
        ArgumentError: If the implementation is unknown.

    Shape:
        - images: ``(n, in_channels, height, width)``.
        - output: ``(n, out_channels, out_height, out_width)``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        margin: int,
        bias: bool,
        impl: str = "auto",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, margin, bias=bias)
        self.impl = check.choice("conv_impl", impl, CONV_IMPLS)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve."""
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

    def by_fourier(self, n_images: int, height: int, width: int, plain: bool) -> bool:
        """Whether a batch uses the frequency domain; ``plain`` is float32 on a CPU, no autocast."""
        if self.impl == "direct" or self.stride[0] != 1:
            return False
        if self.impl == "fourier":
            return True
        shape = Shape(height, width, self.kernel_size[0], int(self.padding[0]))
        return plain and shape.gain(n_images, self.in_channels, self.out_channels) >= _MIN_GAIN
