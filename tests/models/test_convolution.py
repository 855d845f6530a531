"""The frequency domain against PyTorch's own convolution, and where it is used."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models import convolution
from siamese_oneshot.models.convolution import (
    Convolution,
    Shape,
    _exact_waves,
    fourier_conv2d,
    unrolled_conv2d,
)
from siamese_oneshot.models.encoders import ConvEncoder


@pytest.fixture
def dtypes(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Dtypes of the batches that went through the frequency domain."""
    seen: list[torch.dtype] = []
    real = convolution.fourier_conv2d

    def spy(images: Tensor, *rest: object) -> Tensor:
        seen.append(images.dtype)
        return real(images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(convolution, "fourier_conv2d", spy)
    return seen


def large(impl: str = "auto", stride: int = 1) -> Convolution:
    """A layer that is faster in the frequency domain for 8 images of 24x24."""
    torch.manual_seed(0)
    return Convolution(32, 32, 7, stride, 3, True, impl)


def images(n: int = 8) -> Tensor:
    return torch.randn(n, 32, 24, 24, generator=torch.Generator().manual_seed(0))


def test_implementations_agree_and_share_weights(dtypes: list[torch.dtype]) -> None:
    direct, auto, fourier = large("direct"), large("auto"), large("fourier")
    plain = nn.Conv2d(32, 32, 7, padding=3)
    for layer in (auto, fourier, plain):
        layer.load_state_dict(direct.state_dict())
    expected = plain(images())
    assert torch.equal(direct(images()), expected)
    assert not dtypes
    for layer in (auto, fourier):
        torch.testing.assert_close(layer(images()), expected, rtol=1e-4, atol=1e-5)
    assert len(dtypes) == 2


def test_auto_is_direct_where_that_is_faster(dtypes: list[torch.dtype]) -> None:
    large()(images(1))  # one image alone would pay for the transform of the kernels
    Convolution(32, 32, 3, 1, 1, True)(images())
    Convolution(32, 2, 7, 1, 3, True)(images())
    large(stride=2)(images())
    large("fourier", stride=2)(images())
    assert not dtypes
    large()(images())
    assert dtypes


def test_auto_is_direct_except_in_float32_on_a_cpu(dtypes: list[torch.dtype]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert large()(images(2)).dtype == torch.bfloat16
    large().double()(images().double())
    with torch.device("meta"):
        assert large()(torch.empty(64, 32, 24, 24)).shape == (64, 32, 24, 24)
    assert not dtypes


def test_fourier_keeps_the_precision_of_the_weights(dtypes: list[torch.dtype]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert large("fourier")(images(2).bfloat16()).dtype == torch.float32
    large("fourier").double()(images(2).double())
    assert dtypes == [torch.float32, torch.float64]


@pytest.mark.parametrize("side", [9, 44])
def test_output_and_gradient_are_channels_last(side: int) -> None:
    """As max-pooling is fast on them."""
    x, w, b = batch(side, side, 3, torch.float32)
    y = fourier_conv2d(x, w, b, 1)
    for maps in (y, *torch.autograd.grad(y.sum(), x)):
        assert maps.is_contiguous(memory_format=torch.channels_last)


def test_inference_needs_a_larger_gain() -> None:
    """Measured on one core: 1.33 times as fast with gradients, 0.77 without."""
    layer = Convolution(64, 128, 3, 1, 1, False)
    assert layer.by_fourier(192, 26, 26, plain=True)
    with torch.no_grad():
        assert not layer.by_fourier(192, 26, 26, plain=True)
        assert Convolution(64, 128, 7, 1, 0, True).by_fourier(192, 48, 48, plain=True)


def test_by_fourier_of_the_papers_encoder() -> None:
    """Measured speed-ups on two cores, 64 images: 4.8, 2.4 and 2.0."""
    with torch.device("meta"):
        sizes = 105, [64, 128, 128, 256], [10, 7, 4, 4], [2, 2, 2, 1], 4096
        encoder = ConvEncoder(*sizes)
        direct = ConvEncoder(*sizes, conv_impl="direct")
    assert encoder.by_fourier(64, plain=True) == ["conv2", "conv3", "conv4"]
    assert encoder.by_fourier(1, plain=True) == []
    assert encoder.by_fourier(64, plain=False) == direct.by_fourier(64, plain=True) == []


def test_by_fourier_names_the_layers_that_use_it(dtypes: list[torch.dtype]) -> None:
    encoder = ConvEncoder(26, [32, 32, 32], [3, 7, 7], [1, 1, 2], 8, padding="same")
    for n in (1, 8):
        names = encoder.by_fourier(n, plain=True)
        dtypes.clear()
        encoder(torch.rand(n, 1, 26, 26))
        assert len(dtypes) == len(names) == (0 if n == 1 else 2)


def test_gradients_equal_those_of_a_sequential() -> None:
    """Pooling before ReLU and the frequency domain, against the paper's order."""
    encoder = ConvEncoder(20, [6, 5], [5, 4], [2, 2], 7, conv_impl="fourier").double()
    plain = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(20, 7), nn.Sigmoid(),
    ).double()  # fmt: skip
    values = copy.deepcopy(list(encoder.state_dict().values()))
    plain.load_state_dict(dict(zip(plain.state_dict(), values, strict=True)))
    x = torch.rand(3, 1, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for network in (encoder, plain):
        network(x).square().sum().backward()
    for ours, expected in zip(encoder.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-9, atol=1e-12)
        assert expected.grad.abs().sum() > 0  # type: ignore[union-attr]


SIZES = [  # height, width, kernel, margin
    (9, 8, 3, 1),
    (8, 11, 4, 2),
    (12, 13, 7, 0),
    (13, 12, 7, 3),
    (10, 10, 1, 0),
    (5, 5, 5, 0),  # a single output
    (3, 3, 7, 3),  # kernel larger than the image
    (1, 2, 1, 0),
    (41, 6, 4, 0),  # by FFT
    (3, 46, 5, 2),  # by FFT of 5 by 48
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


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pairs_of_images_stay_apart(n: int) -> None:
    """Two images share a transform; the last one of an odd number has none to share it with."""
    _, w, b = batch(9, 8, 3, torch.float64)
    x = torch.rand(n, 4, 9, 8, dtype=torch.float64)
    x[0] *= 1e3
    torch.testing.assert_close(fourier_conv2d(x, w, b, 1), F.conv2d(x, w, b, padding=1))


def test_the_images_need_no_gradient() -> None:
    x, w, _ = batch(9, 8, 3, torch.float64)
    (expected,) = torch.autograd.grad(F.conv2d(x, w).square().sum(), w)
    (ours,) = torch.autograd.grad(fourier_conv2d(x.detach(), w, None, 0).square().sum(), w)
    torch.testing.assert_close(ours, expected)


def test_the_same_batch_gives_the_same_bits() -> None:
    x, w, b = batch(48, 48, 7, torch.float32)
    first, second = fourier_conv2d(x, w, b, 0), fourier_conv2d(x, w, b, 0)
    assert torch.equal(first, second)
    gradients = (torch.autograd.grad(y.sum(), (x, w, b)) for y in (first, second))
    assert all(map(torch.equal, *gradients))


def test_matrices_cached_in_validation_serve_training() -> None:
    _exact_waves.cache_clear()
    x, w, b = batch(9, 8, 3, torch.float32)
    with torch.inference_mode():
        fourier_conv2d(x, w, b, 1)
    fourier_conv2d(x, w, b, 1).sum().backward()
    assert w.grad is not None


@pytest.mark.parametrize(("stride", "margin"), [(1, 0), (2, 2), (3, 1)])
def test_unrolled_equals_conv2d(stride: int, margin: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x, w, b = (
        torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()
        for shape in ((3, 1, 11, 12), (4, 1, 5, 5), (4,))
    )
    ours, expected = unrolled_conv2d(x, w, b, stride, margin), F.conv2d(x, w, b, stride, margin)
    torch.testing.assert_close(ours, expected)
    gradients, exact = (torch.autograd.grad(y.square().sum(), (x, w, b)) for y in (ours, expected))
    torch.testing.assert_close(gradients, exact)


def test_periods_hold_both_edges_and_are_fast_for_fft() -> None:
    assert Shape(21, 9, 4, 0).periods == (21, 9)
    assert Shape(13, 26, 3, 1).periods == (14, 27)
    assert Shape(48, 52, 3, 1).periods == (49, 54)  # not 53, a prime
    assert Shape(105, 11, 10, 0).periods == (105, 12)


def test_work_by_hand() -> None:
    """8x8 images, 3x3 kernels, valid: 6x6 outputs; 8 by 8 frequencies, 2 pairs of 3 images."""
    shape = Shape(8, 8, 3, 0)
    assert shape.direct_work(3, 4, 5) == 3 * 4 * 5 * 9 * 36
    images = 2 * 4 * (4 * 8 * 8 * 8 + 4 * 8 * 8 * 8)
    kernels = 4 * 5 * (4 * 8 * 3 * 3 + 4 * 8 * 3 * 8)
    outputs = 2 * 5 * (4 * 8 * 8 * 6 + 4 * 8 * 6 * 6)
    moves = 64 * 64 * (4 * 4 + 4 * 5 + 4 * 5)
    work = 4 * 64 * 2 * 4 * 5 + images + kernels + outputs + moves
    assert shape.fourier_work(3, 4, 5) == work
    assert shape.gain(3, 4, 5) == pytest.approx(3 * 4 * 5 * 9 * 36 / work)
