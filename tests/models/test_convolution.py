"""Each implementation is used where it should be, and none changes the result."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.models import convolution
from siamese_oneshot.models.convolution import Convolution
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
