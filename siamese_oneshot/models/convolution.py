"""Convolutions, computed directly or in the frequency domain, where large kernels are faster.

A circular correlation is a product in the frequency domain, and the valid part of a correlation
fits into a circular one of the image's own size, so images need no padding. Transforms are products
with small constant matrices, first of the rows, which are real and so need half of the frequencies
only, then of the columns. Real and imaginary parts follow each other as channels, so that a
convolution is one batched product of real matrices over all frequencies. In bfloat16 all products
add up in float32; spectra are rounded relative to their own size, as images are.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.utils import check

CONV_IMPLS = ("auto", "direct", "fourier")
_MIN_GAIN = 1.2  # estimated gain from which training is faster in the frequency domain
_MIN_GAIN_FORWARD = 1.6  # the same of inference; the backward pass gains more
_MOVE = 144  # cost of writing and reading one number of a spectrum, in multiply-adds


@lru_cache(maxsize=1)
def _multiplies_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 by AVX-512; AMX is faster still at direct convolution."""
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` with a square kernel, padding and stride, and the same parameter names.

    All implementations agree up to rounding, so their weights are interchangeable.

    Args:
        in_channels, out_channels, kernel, stride, margin, bias: As for ``nn.Conv2d``.
        impl: ``direct`` uses PyTorch's own; ``fourier`` uses the frequency domain whenever the
            stride is 1, on a CPU in the precision of ``direct`` (but float32 for float16), else
            in that of the weights; ``auto`` uses it on a CPU for batches in float32, or bfloat16
            with AVX-512, for which it is faster.

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
        on_cpu, dtype = images.device.type == "cpu", self.weight.dtype
        if on_cpu and torch.is_autocast_enabled("cpu") and dtype != torch.float64:
            dtype = torch.get_autocast_dtype("cpu")
        n, _, height, width = images.shape
        margin = int(self.padding[0])
        if self.by_fourier(n, height, width, dtype if on_cpu else None):
            with torch.autocast(images.device.type, enabled=False):
                # Spectra of float16 would overflow.
                x = images.to(torch.float32 if dtype == torch.float16 else dtype)
                weight = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
                return fourier_conv2d(x, weight, self.bias, margin).to(dtype)
        if on_cpu and self.in_channels == 1 and self.impl == "auto":
            x = images.to(dtype)
            return unrolled_conv2d(x, self.weight, self.bias, self.stride[0], margin)
        return super().forward(images)

    def by_fourier(self, n: int, height: int, width: int, dtype: torch.dtype | None) -> bool:
        """Whether a batch uses the frequency domain.

        Args:
            n, height, width: Number and size of the images.
            dtype: In which a CPU computes; None for another device.
        """
        if self.impl == "direct" or self.stride[0] != 1:
            return False
        if self.impl == "fourier":
            return True
        least = _MIN_GAIN if torch.is_grad_enabled() else _MIN_GAIN_FORWARD
        fast = dtype == torch.float32 or (dtype == torch.bfloat16 and _multiplies_bfloat16())
        maps = n, self.in_channels, self.out_channels
        size = height, width, self.kernel_size[0], int(self.padding[0])
        return fast and fourier_gain(*maps, *size) >= least


def fourier_gain(
    n_images: int, channels: int, filters: int, height: int, width: int, kernel: int, margin: int
) -> float:
    """Work of the direct convolution as a multiple of that of ``fourier_conv2d``, forward.

    In multiply-adds, those of moving spectra included. Measured with AVX-512 in float32 and
    bfloat16, it is 0.7 to 1.5 times the speed-up of forward and backward together, for kernels from
    3x3 to 10x10, 16 to 256 channels and 8 to 192 images; the speed-up of forward alone is 1.1 to
    1.7 times smaller.
    """
    across, half = width + margin, (height + margin) // 2 + 1
    output = height + 2 * margin - kernel + 1, width + 2 * margin - kernel + 1

    def transform(rows: int, columns: int) -> int:
        return 2 * half * columns * (rows + 2 * across)

    maps = n_images * channels, channels * filters, n_images * filters
    products = n_images * channels * filters
    work = (
        4 * half * across * products
        + maps[0] * transform(height, width)
        + maps[1] * 2 * transform(kernel, kernel)
        + maps[2] * transform(*output)
        + _MOVE * half * across * (maps[0] + 2 * maps[1] + maps[2])
    )
    return products * kernel**2 * math.prod(output) / work


def unrolled_conv2d(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, margin: int
) -> Tensor:
    """``F.conv2d`` of one channel: with the kernel's rows as channels it is faster on a CPU."""
    rows = F.pad(images, [margin] * 4).unfold(2, weight.shape[2], stride)[:, 0]
    rows = rows.permute(0, 3, 1, 2)  # (n, kernel, out_height, width)
    rows = rows.contiguous(memory_format=torch.channels_last)
    return F.conv2d(rows, weight.transpose(1, 2), bias, (1, stride))


def fourier_conv2d(images: Tensor, weight: Tensor, bias: Tensor | None, margin: int) -> Tensor:
    """``F.conv2d`` with stride 1, up to rounding, in the precision of the images.

    Args:
        images: ``(n, channels, height, width)``.
        weight: ``(filters, channels, kernel, kernel)``, transformed in its own precision.
        bias: ``(filters,)`` or None.
        margin: Zeros on every side.

    Returns:
        ``(n, filters, out_height, out_width)``, channels last in memory.
    """
    n, channels, height, width = images.shape
    filters, rim = len(weight), 2 * margin - weight.shape[2] + 1
    out_height, out_width = height + rim, width + rim
    down, across = height + margin, width + margin  # periods: both edges share their zeros
    half, kind = down // 2 + 1, (images.dtype, images.device)
    maps = images.permute(0, 2, 3, 1).reshape(n, height, width * channels)
    maps = _waves(down, margin, height, *kind)[0] @ maps
    maps = maps.view(n * half, 2 * width, channels)
    maps = _waves(across, margin, width, *kind)[1] @ maps
    maps = maps.view(n, half * across, 2 * channels).transpose(0, 1).contiguous()
    maps = maps @ _kernel_products(weight, (down, across), images.dtype)
    maps = maps.transpose(0, 1).reshape(n * half, 2 * across, filters)
    maps = _waves(across, 0, out_width, *kind)[1].mT @ maps
    maps = maps.view(n, 2 * half, out_width * filters)
    maps = _waves(down, 0, out_height, *kind)[0].mT @ maps
    if bias is not None:
        maps += bias.to(maps).repeat(out_width)
    return maps.view(n, out_height, out_width, filters).permute(0, 3, 1, 2)


def _kernel_products(weight: Tensor, periods: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """For each frequency, the product with the kernels' conjugate spectra as a real matrix.

    Returns ``(frequencies, 2 * channels, 2 * filters)``: all real parts, then all imaginary ones.
    """
    (down, across), (filters, channels, kernel, _) = periods, weight.shape
    kind = weight.dtype, weight.device
    taps = weight.permute(2, 3, 1, 0).reshape(kernel, -1)
    rows = _waves(down, 0, kernel, *kind)[0] @ taps
    columns = _waves(across, 0, kernel, *kind)[1].view(across, 2, 2 * kernel)
    real, imaginary = columns.unbind(1)
    columns = torch.stack([real, -imaginary, imaginary, real], 1).view(4 * across, 2 * kernel)
    products = []
    for frequency, row in enumerate(rows.view(-1, 2 * kernel, channels * filters)):
        # A frequency down stands for its negative, too, unless the two are the same.
        scale = (2 if 2 * frequency % down else 1) / (down * across)
        blocks = (scale * columns @ row).to(dtype).view(across, 2, 2, channels, filters)
        products.append(blocks.transpose(2, 3))
    return torch.cat(products).view(-1, 2 * channels, 2 * filters)


# Lists, not tensors: another default device may be set when the module is imported.
@lru_cache(maxsize=64)
@torch.inference_mode(False)  # matrices cached during validation also serve training
def _waves(
    period: int, start: int, size: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The transforms of numbers at ``start`` ... ``start + size - 1`` of a period, as matrices.

    Returns:
        Of real numbers, ``(2 * (period // 2 + 1), size)``: a row for the real part of each
        frequency from 0 on, followed by its imaginary part; negative frequencies are their
        conjugates. And of complex numbers, all real parts before all imaginary ones,
        ``(2 * period, 2 * size)``.
    """
    turns = torch.outer(torch.arange(period), torch.arange(start, start + size)) % period
    angles = turns.double() * (-2 * math.pi / period)
    real, imaginary = angles.cos(), angles.sin()
    whole = torch.stack([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)], 1)
    halves = whole[: period // 2 + 1, :, :size]
    return halves.flatten(0, 1).to(device, dtype), whole.flatten(0, 1).to(device, dtype)
