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
    _waves,
    fourier_conv2d,
    fourier_gain,
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
    """A layer that is faster in the frequency domain for 32 images of 24x24."""
    torch.manual_seed(0)
    return Convolution(32, 32, 7, stride, 3, True, impl)


def images(n: int = 32) -> Tensor:
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


@pytest.mark.parametrize("fast", [True, False])
def test_auto_is_direct_except_in_fast_precisions_of_a_cpu(
    dtypes: list[torch.dtype], monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    monkeypatch.setattr(convolution, "_multiplies_bfloat16", lambda: fast)
    with torch.autocast("cpu", torch.bfloat16):
        assert large()(images()).dtype == torch.bfloat16
    assert dtypes == [torch.bfloat16] * fast
    dtypes.clear()
    with torch.autocast("cpu", torch.float16):
        assert large()(images(2)).dtype == torch.float16
    large().double()(images().double())
    with torch.device("meta"):
        assert large()(torch.empty(64, 32, 24, 24)).shape == (64, 32, 24, 24)
    assert not dtypes


def test_fourier_has_the_precision_of_conv2d(dtypes: list[torch.dtype]) -> None:
    """But float16, in which spectra overflow."""
    layer = large("fourier")
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            assert layer(images(2)).dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        layer.double()(images(2).double())
    layer.bfloat16()(images(2).bfloat16())
    assert dtypes == [torch.bfloat16, torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("side", [9, 44])
def test_output_and_gradient_are_channels_last(side: int) -> None:
    """As max-pooling is fast on them."""
    x, w, b = batch(side, side, 3, torch.float32)
    y = fourier_conv2d(x, w, b, 1)
    for maps in (y, *torch.autograd.grad(y.sum(), x)):
        assert maps.is_contiguous(memory_format=torch.channels_last)


def test_inference_needs_a_larger_gain() -> None:
    """Measured in bfloat16: 1.27 times as fast with gradients, 0.79 without."""
    layer = Convolution(64, 128, 7, 1, 0, True)
    assert layer.by_fourier(8, 48, 48, torch.float32)
    with torch.no_grad():
        assert not layer.by_fourier(8, 48, 48, torch.float32)
        assert layer.by_fourier(64, 48, 48, torch.float32)


def test_by_fourier_of_the_papers_layers() -> None:
    """Measured speed-ups of 256 images: 5.2, 2.3 and 1.9 in bfloat16 of the last three."""
    sizes = [(105, 1, 64, 10), (48, 64, 128, 7), (21, 128, 128, 4), (9, 128, 256, 4)]

    def chosen(n: int, dtype: torch.dtype | None, impl: str = "auto") -> list[bool]:
        with torch.device("meta"):
            layers = [(Convolution(*rest, 1, 0, True, impl), side) for side, *rest in sizes]
        return [layer.by_fourier(n, side, side, dtype) for layer, side in layers]

    assert chosen(256, torch.float32) == [False, True, True, True]
    assert not any(chosen(1, torch.float32))
    assert not any(chosen(256, None) + chosen(256, torch.float32, "direct"))


def test_an_encoder_uses_the_frequency_domain_for_large_batches(dtypes: list[torch.dtype]) -> None:
    encoder = ConvEncoder(26, [32, 32, 32], [3, 7, 7], [1, 1, 2], 8, padding="same")
    for n in (1, 32):
        dtypes.clear()
        encoder(torch.rand(n, 1, 26, 26))
        assert len(dtypes) == (0 if n == 1 else 2)


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


@pytest.mark.parametrize(
    "size", [(64, 128, 48, 48, 7, 0), (128, 32, 21, 21, 4, 0), (24, 40, 17, 20, 5, 2)]
)
def test_bfloat16_errors_are_at_most_twice_those_of_conv2d(size: tuple[int, ...]) -> None:
    """Of three images, rounded as well, with the mean of activations after ReLU."""
    channels, filters, height, width, kernel, margin = size
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, channels, height, width, generator=rng).add_(0.5).relu_()
    w = torch.randn(filters, channels, kernel, kernel, generator=rng)
    b = torch.randn(filters, generator=rng)
    inputs = [value.requires_grad_() for value in (x, w, b)]
    exact = [value.detach().double().requires_grad_() for value in inputs]
    expected = F.conv2d(*exact, padding=margin)
    upstream = torch.randn(expected.shape, generator=rng)
    expected = expected, *torch.autograd.grad(expected, exact, upstream.double())

    def errors(impl: str) -> list[float]:
        layer = Convolution(channels, filters, kernel, 1, margin, True, impl)
        layer.load_state_dict({"weight": w, "bias": b})
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        values = y, *torch.autograd.grad(y, (x, layer.weight, layer.bias), upstream.bfloat16())
        pairs = zip(values, expected, strict=True)
        return [float(((ours - true).norm() / true.norm()).detach()) for ours, true in pairs]

    for name, ours, direct in zip("ywxb", errors("fourier"), errors("direct"), strict=True):
        assert ours < 2 * direct < 0.02, name


def test_the_images_need_no_gradient() -> None:
    x, w, _ = batch(9, 8, 3, torch.float64)
    (expected,) = torch.autograd.grad(F.conv2d(x, w).square().sum(), w)
    (ours,) = torch.autograd.grad(fourier_conv2d(x.detach(), w, None, 0).square().sum(), w)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_batch_gives_the_same_bits(dtype: torch.dtype) -> None:
    x, w, b = batch(48, 48, 7, torch.float32)
    x = x.detach().to(dtype).requires_grad_()
    first, second = fourier_conv2d(x, w, b, 0), fourier_conv2d(x, w, b, 0)
    assert torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(fourier_conv2d(x, w, b, 0), first)
    gradients = (torch.autograd.grad(y.sum(), (x, w, b)) for y in (first, second))
    assert all(map(torch.equal, *gradients))


def test_matrices_cached_in_validation_serve_training() -> None:
    _waves.cache_clear()
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_auto_unrolls_the_kernel_of_one_channel(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    seen, real = [], unrolled_conv2d

    def spy(images: Tensor, *rest: object) -> Tensor:
        seen.append(images.dtype)
        return real(images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(convolution, "unrolled_conv2d", spy)
    auto, direct = (Convolution(1, 4, 5, 2, 2, True, impl) for impl in ("auto", "direct"))
    direct.load_state_dict(auto.state_dict())
    x = torch.rand(3, 1, 11, 12, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        torch.testing.assert_close(auto(x), direct(x))
    assert seen == [dtype]


def test_work_by_hand() -> None:
    """8x8 images, 3x3 kernels, valid: 6x6 outputs; 5 by 8 frequencies of two numbers each."""
    images = 3 * 4 * (10 * 8 * 8 + 5 * 16 * 16)  # rows, then columns
    kernels = 4 * 5 * 2 * (10 * 3 * 3 + 5 * 16 * 6)
    outputs = 3 * 5 * (10 * 6 * 6 + 5 * 16 * 12)
    moves = 144 * 40 * (3 * 4 + 2 * 4 * 5 + 3 * 5)
    work = 40 * 4 * 3 * 4 * 5 + images + kernels + outputs + moves
    assert fourier_gain(3, 4, 5, 8, 8, 3, 0) == 3 * 4 * 5 * 9 * 36 / work
