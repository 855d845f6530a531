"""Convolutions in the frequency domain against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.models.fourier import Shape, _matrices, fourier_conv2d

SIZES = [  # height, width, kernel, margin
    (9, 8, 3, 1),
    (8, 11, 4, 2),
    (12, 13, 7, 0),
    (13, 12, 7, 3),
    (10, 10, 1, 0),
    (5, 5, 5, 0),  # a single output
    (3, 3, 7, 3),  # kernel larger than the image
    (1, 2, 1, 0),
]


def batch(height: int, width: int, kernel: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    shapes = (3, 4, height, width), (5, 4, kernel, kernel), (5,)
    return tuple(
        torch.randn(shape, generator=rng, dtype=dtype).requires_grad_() for shape in shapes
    )


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("size", SIZES)
def test_output_and_gradients_equal_conv2d(
    size: tuple[int, int, int, int], dtype: torch.dtype, error: float
) -> None:
    *sides, margin = size
    inputs = batch(*sides, dtype)
    exact = tuple(x.detach().double().requires_grad_() for x in inputs)
    output, expected = fourier_conv2d(*inputs, margin), F.conv2d(*exact, padding=margin)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).double()
    gradients = torch.autograd.grad(output, inputs, upstream.to(dtype))
    exact_gradients = torch.autograd.grad(expected, exact, upstream)
    for ours, true in zip((output, *gradients), (expected, *exact_gradients), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(
            ours.double(), true, rtol=error, atol=error * float(true.detach().abs().max())
        )


def test_gradcheck() -> None:
    inputs = batch(4, 5, 3, torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, w, b: fourier_conv2d(x, w, b, 1), inputs, fast_mode=True
    )


def test_float32_errors_are_close_to_those_of_conv2d() -> None:
    """The paper's second layer, for two images: sums of 3,136 products, of about 56."""
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 64, 48, 48, generator=rng), torch.randn(8, 64, 7, 7, generator=rng)
    exact = F.conv2d(x.double(), w.double())
    ours, plain = fourier_conv2d(x, w, None, 0) - exact, F.conv2d(x, w) - exact
    assert ours.abs().max() < 3e-4
    assert ours.square().mean() < (5 * plain).square().mean()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_output_has_the_memory_format_of_the_input(layout: torch.memory_format) -> None:
    x, w, b = batch(9, 8, 3, torch.float32)
    assert fourier_conv2d(x.contiguous(memory_format=layout), w, b, 1).is_contiguous(
        memory_format=layout
    )


def test_matrices_cached_in_validation_serve_training() -> None:
    _matrices.cache_clear()
    x, w, b = batch(9, 8, 3, torch.float32)
    with torch.inference_mode():
        fourier_conv2d(x, w, b, 1)
    fourier_conv2d(x, w, b, 1).sum().backward()
    assert w.grad is not None


def test_work_by_hand() -> None:
    """8x8 images, 3x3 kernels, valid: 6x6 outputs; 5 by 8 frequencies of three products."""
    shape = Shape(8, 8, 3, 0)
    assert shape.direct_work(2, 3, 4) == 2 * 3 * 4 * 9 * 36
    images = 2 * 3 * (10 * 8 * 8 + 5 * 24 * 16)
    kernels = 3 * 4 * (10 * 3 * 3 + 5 * 24 * 6)
    outputs = 2 * 4 * (5 * 12 * 24 + 6 * 10 * 6)
    moves = 40 * 5 * 24 * (2 * 3 + 3 * 4 + 2 * 4)
    work = 5 * 24 * 2 * 3 * 4 + images + kernels + outputs + moves
    assert shape.fourier_work(2, 3, 4) == work
    assert shape.gain(2, 3, 4) == pytest.approx(2 * 3 * 4 * 9 * 36 / work)
