"""Convolutions, computed directly or in the frequency domain, where large kernels are faster.

A circular correlation is a product in the frequency domain, and the valid part of a correlation
fits into a circular one of the image's own size, so images need no padding. Two images go through
the transforms as the real and imaginary part of one: kernels are real and keep them apart. Large
maps are transformed by FFT, small ones by products with small constant matrices, which leave the
frequency axis in front, as the batched product over frequencies needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from siamese_oneshot.utils import check

CONV_IMPLS = ("auto", "direct", "fourier")
_MIN_GAIN = 1.2  # estimated gain from which training is faster in the frequency domain
_MIN_GAIN_FORWARD = 1.8  # the same of inference; the backward pass gains more
_MOVE = 64  # cost of writing and reading one number of a spectrum, in multiply-adds
_FFT_FROM = 40  # larger sides of a map are transformed by FFT, smaller ones by matrices


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
        margin = int(self.padding[0])
        if self.by_fourier(n, height, width, plain):
            with torch.autocast(images.device.type, enabled=False):
                dtype = torch.promote_types(self.weight.dtype, torch.float32)
                y = fourier_conv2d(images.to(dtype), self.weight.to(dtype), self.bias, margin)
                return y.to(self.weight.dtype)
        if plain and self.in_channels == 1 and self.impl == "auto":
            return unrolled_conv2d(images, self.weight, self.bias, self.stride[0], margin)
        return super().forward(images)

    def by_fourier(self, n_images: int, height: int, width: int, plain: bool) -> bool:
        """Whether a batch uses the frequency domain; ``plain`` is float32 on a CPU, no autocast."""
        if self.impl == "direct" or self.stride[0] != 1:
            return False
        if self.impl == "fourier":
            return True
        shape = Shape(height, width, self.kernel_size[0], int(self.padding[0]))
        least = _MIN_GAIN if torch.is_grad_enabled() else _MIN_GAIN_FORWARD
        return plain and shape.gain(n_images, self.in_channels, self.out_channels) >= least


@dataclass(frozen=True)
class Shape:
    """The sizes of a convolution of stride 1 with a square kernel.

    Attributes:
        height, width: Size of the input in pixels.
        kernel: Side of the kernel.
        margin: Zeros on every side of the input.
    """

    height: int
    width: int
    kernel: int
    margin: int

    @property
    def periods(self) -> tuple[int, int]:
        """Sides of the circular correlation, fast for FFT; both edges share their zeros."""
        rows, columns = self.height + self.margin, self.width + self.margin
        if max(rows, columns) < _FFT_FROM:
            return rows, columns
        return _fast_length(rows), _fast_length(columns)

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output."""
        rim = 2 * self.margin - self.kernel + 1
        return self.height + rim, self.width + rim

    def direct_work(self, n_images: int, channels: int, filters: int) -> int:
        """Multiply-adds of the direct convolution, forward."""
        return n_images * channels * filters * self.kernel**2 * math.prod(self.output)

    def fourier_work(self, n_images: int, channels: int, filters: int) -> int:
        """Multiply-adds of ``fourier_conv2d``, forward, including the cost of moving its spectra.

        Measured on an AVX2 CPU, ``gain`` is then 0.7 to 1.4 times the speed-up of forward and
        backward together, for kernels from 3x3 to 7x7, 16 to 256 channels and 1 to 192 images; the
        speed-up of forward alone is 1.1 to 2.2 times smaller.
        """
        down, across = self.periods
        pairs = (n_images + 1) // 2

        def transform(rows: int, columns: int) -> int:
            return 4 * down * columns * (rows + across)

        maps = pairs * channels, channels * filters, pairs * filters
        return (
            4 * down * across * pairs * channels * filters
            + maps[0] * transform(self.height, self.width)
            + maps[1] * transform(self.kernel, self.kernel)
            + maps[2] * transform(*self.output)
            + _MOVE * down * across * (2 * maps[0] + maps[1] + 2 * maps[2])
        )

    def gain(self, n_images: int, channels: int, filters: int) -> float:
        """Work of the direct convolution as a multiple of that of ``fourier_conv2d``."""
        sizes = n_images, channels, filters
        return self.direct_work(*sizes) / self.fourier_work(*sizes)


def unrolled_conv2d(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, margin: int
) -> Tensor:
    """``F.conv2d`` of one channel: with the kernel's rows as channels it is faster on a CPU."""
    rows = F.pad(images, [margin] * 4).unfold(2, weight.shape[2], stride)[:, 0]
    rows = rows.permute(0, 3, 1, 2)  # (n, kernel, out_height, width)
    rows = rows.contiguous(memory_format=torch.channels_last)
    return F.conv2d(rows, weight.transpose(1, 2), bias, (1, stride))


def fourier_conv2d(images: Tensor, weight: Tensor, bias: Tensor | None, margin: int) -> Tensor:
    """``F.conv2d`` with stride 1, up to rounding, in float32 or float64.

    Args:
        images: ``(n, channels, height, width)``.
        weight: ``(filters, channels, kernel, kernel)``.
        bias: ``(filters,)`` or None.
        margin: Zeros on every side.

    Returns:
        ``(n, filters, out_height, out_width)``, channels last in memory.
    """
    y = _FourierConv2d.apply(images, weight, margin)
    return y if bias is None else y.add_(bias[:, None, None])


class _FourierConv2d(torch.autograd.Function):
    """The product of spectra and, backward, those of the output's gradient with either."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, margin: int) -> Tensor:
        """Correlate."""
        n, _, height, width = images.shape
        shape = Shape(height, width, weight.shape[2], margin)
        spectra = _spectra(images, shape.periods, margin)
        ctx.save_for_backward(spectra, weight)
        ctx.shape, ctx.n_images = shape, n
        kernels = _kernel_spectra(weight, shape.periods, conjugate=True)
        return _maps(spectra @ kernels, n, shape.periods, 0, shape.output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Gradients of the images, unless nothing needs them, and of the weight."""
        spectra, weight = ctx.saved_tensors
        shape, periods = ctx.shape, ctx.shape.periods
        upstream, of_images = _spectra(gradient, periods, 0), None
        if ctx.needs_input_grad[0]:
            kernels = _kernel_spectra(weight, periods, conjugate=False).mT
            size = shape.height, shape.width
            of_images = _maps(upstream @ kernels, ctx.n_images, periods, shape.margin, size)
        rows, columns = (_waves(side, 0, shape.kernel, weight) for side in periods)
        of_weight = (spectra.mH @ upstream).view(*periods, -1)
        of_weight = (rows.mT @ (columns.mT @ of_weight).view(periods[0], -1)).real
        filters, channels = weight.shape[:2]
        of_weight = of_weight.reshape(shape.kernel, shape.kernel, channels, filters)
        return of_images, of_weight.permute(3, 2, 0, 1) / math.prod(periods), None


def _spectra(maps: Tensor, periods: tuple[int, int], start: int) -> Tensor:
    """Spectra of pairs of maps: the first half of the maps are real parts, the others imaginary.

    Args:
        maps: ``(n, channels, height, width)``.
        periods: Sides of the transform.
        start: First row and column of the maps in it; the others are zero.

    Returns:
        Complex ``(frequencies, (n + 1) // 2, channels)``.
    """
    n, channels, height, width = maps.shape
    pairs, by_fft = (n + 1) // 2, max(periods) >= _FFT_FROM
    size = (pairs, channels, *periods) if by_fft else (height, width, pairs, channels)
    full = n % 2 == 0 and (not by_fft or periods == (height, width))
    create = maps.new_empty if full else maps.new_zeros
    joined = create(size, dtype=maps.dtype.to_complex())
    if by_fft:
        parts = joined[..., start : start + height, start : start + width]
    else:
        parts = joined.permute(2, 3, 0, 1)
    parts.real.copy_(maps[:pairs])
    parts.imag[: n - pairs] = maps[pairs:]
    del parts  # and below: at most two copies of these large tensors at a time
    if by_fft:
        joined = torch.fft.fft2(joined)
        spectra = joined.view(pairs * channels, -1).t().contiguous()
    else:
        rows = _waves(periods[0], start, height, maps)
        columns = _waves(periods[1], start, width, maps)
        spectra = _transform(joined, rows, columns)
    return spectra.view(-1, pairs, channels)


def _maps(
    spectra: Tensor, n: int, periods: tuple[int, int], start: int, size: tuple[int, int]
) -> Tensor:
    """The inverse of ``_spectra``: ``n`` maps, cut out from ``start`` on.

    Returns ``(n, channels, *size)``, channels last in memory.
    """
    _, pairs, channels = spectra.shape
    height, width = size
    if max(periods) >= _FFT_FROM:
        spectra = spectra.view(-1, pairs * channels).t().contiguous()
        spectra = torch.fft.ifft2(spectra.view(pairs, channels, *periods))
        parts = spectra[..., start : start + height, start : start + width]
    else:
        rows, columns = (
            _waves(period, start, length, spectra).mH / period
            for period, length in zip(periods, size, strict=True)
        )
        parts = columns @ spectra.view(*periods, -1)
        parts = (rows @ parts.view(periods[0], -1)).view(height, width, pairs, channels)
        parts = parts.permute(2, 3, 0, 1)
    maps = torch.empty(
        *(n, channels, height, width),
        dtype=spectra.dtype.to_real(),
        device=spectra.device,
        memory_format=torch.channels_last,  # max-pooling it forward is ten times as fast
    )
    maps[:pairs] = parts.real
    maps[pairs:] = parts.imag[: n - pairs]
    return maps


def _kernel_spectra(weight: Tensor, periods: tuple[int, int], conjugate: bool) -> Tensor:
    """Complex ``(frequencies, channels, filters)``."""
    filters, channels, kernel, _ = weight.shape
    rows, columns = (_waves(period, 0, kernel, weight) for period in periods)
    if conjugate:
        rows, columns = rows.conj(), columns.conj()
    taps = weight.permute(2, 3, 1, 0).reshape(kernel, -1).to(rows.dtype)
    return _transform(taps.view(kernel, kernel, -1), rows, columns).view(-1, channels, filters)


def _transform(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Transform the first two axes: ``(rows, columns, …)`` with the frequencies in front."""
    height, width = maps.shape[:2]
    maps = (rows @ maps.reshape(height, -1)).view(len(rows), width, -1)
    return columns @ maps


def _fast_length(side: int) -> int:
    """The next number without prime factors above 7."""
    return next(length for length in count(side) if 210**16 % length == 0)


def _waves(period: int, start: int, size: int, like: Tensor) -> Tensor:
    """``exp(-2πi j (start + k) / period)``, ``(period, size)``, of the device and precision."""
    return _exact_waves(period, start, size, like.dtype.to_complex(), like.device)


# Lists, not tensors: another default device may be set when the module is imported.
@lru_cache(maxsize=64)
@torch.inference_mode(False)  # matrices cached during validation also serve training
def _exact_waves(
    period: int, start: int, size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    turns = torch.outer(torch.arange(period), torch.arange(start, start + size)) % period
    angle = turns.double() * (-2 * math.pi / period)
    return torch.polar(torch.ones_like(angle), angle).to(device, dtype)
