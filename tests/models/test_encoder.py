from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.models.conv_encoder import ConvEncoder, DenseEncoder
from siamese_oneshot.models.encoder_base import IntensityScale
from siamese_oneshot.utils.errors import UserError

KERNELS, POOLS = [10, 7, 4, 4], [2, 2, 2, 1]


def images(n: int, side: int) -> torch.Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(3))


def test_papers_map_sizes() -> None:
    """105 → 48 → 21 → 9 → 6 (paper, figure 4); the sizes do not depend on the widths."""
    encoder = ConvEncoder(105, [2, 3, 4, 5], KERNELS, POOLS, embedding_dim=7)
    x, sides = images(1, 105), []
    for name, after in encoder.after.items():
        x = after(encoder.layers[name](x))
        sides.append(tuple(x.shape[1:]))
    assert sides == [(2, 48, 48), (3, 21, 21), (4, 9, 9), (5, 6, 6)]
    assert encoder.layers["dense"].in_features == 5 * 6 * 6


def test_forward_equals_a_plain_sequential() -> None:
    encoder = ConvEncoder(105, [2, 3, 4, 5], KERNELS, POOLS, embedding_dim=7)
    plain = nn.Sequential(
        nn.Conv2d(1, 2, 10), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 7), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 4), nn.ReLU(),
        nn.Flatten(), nn.Linear(180, 7), nn.Sigmoid(),
    )  # fmt: skip
    copy_weights(encoder, plain)
    torch.testing.assert_close(encoder(images(3, 105)), plain(images(3, 105)))


def test_forward_with_strides_padding_and_batch_norm() -> None:
    encoder = ConvEncoder(
        20, [3, 4], [5, 3], [1, 2], 6,
        strides=[2, 1], padding="same", batch_norm=True, activation="tanh", background_value=-1.0, foreground_value=3.0,
    )  # fmt: skip
    plain = nn.Sequential(
        nn.Conv2d(1, 3, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * 5 * 5, 6), nn.Tanh(),
    )  # fmt: skip
    copy_weights(encoder, plain)
    x = images(4, 20)
    torch.testing.assert_close(encoder(x), plain(-1 + 4 * x))  # training mode: batch statistics
    torch.testing.assert_close(encoder.eval()(x), plain.eval()(-1 + 4 * x))


def test_dense_encoder_equals_a_plain_sequential() -> None:
    encoder = DenseEncoder(8, [5, 4], embedding_dim=3, background_value=1.0, foreground_value=0.0)
    plain = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3),
        nn.Sigmoid(),
    )  # fmt: skip
    copy_weights(encoder, plain)
    x = images(3, 8)
    torch.testing.assert_close(encoder(x), plain(1 - x))
    assert list(encoder.layers) == ["dense1", "dense2", "dense"]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    values = list(source.state_dict().values())
    state = target.state_dict()
    assert len(values) == len(state)
    target.load_state_dict(dict(zip(state, values, strict=True)))


def test_local_descriptors_follow_the_whole_and_are_of_the_last_map_before_its_pool() -> None:
    encoder = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same", local_dim=2).eval()
    x = images(3, 16)
    made = encoder(x)
    assert (encoder.places, encoder.side, encoder.units) == (8, 4, 4 + 64 * 2)
    bare = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same").eval()
    bare.load_state_dict(encoder.state_dict(), strict=False)
    torch.testing.assert_close(made[:, :4], bare(x))
    assert (bare.places, bare.units) == (0, 4)
    maps = torch.relu(encoder.layers["conv2"](encoder.after["conv1"](encoder.layers["conv1"](x))))
    layer = encoder.layers["local"]
    found = torch.einsum("lc,ncyx->nyxl", layer.weight[:, :, 0, 0], maps) + layer.bias
    expected = found / found.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(made[:, 4:].view(3, 8, 8, 2), expected, atol=1e-4, rtol=1e-4)


def test_dropout_is_of_trainings_alone() -> None:
    encoder = ConvEncoder(16, [3], [3], [2], 64, dropout=0.5)
    x = images(2, 16)
    assert not torch.equal(encoder(x), encoder(x))
    assert torch.equal(encoder.eval()(x), encoder(x))


def test_convolution_before_batch_norm_has_no_bias() -> None:
    encoder = ConvEncoder(16, [3], [3], [2], 4, batch_norm=True)
    assert encoder.layers["conv1"][0].bias is None
    assert ConvEncoder(16, [3], [3], [2], 4).layers["conv1"][0].bias is not None


@pytest.mark.parametrize(("paper", "ink"), [(255.0, 0.0), (0.0, 1.0), (-0.5, 0.5)])
def test_ink_scale(paper: float, ink: float) -> None:
    gray = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.tensor([paper, 0.75 * paper + 0.25 * ink, ink])
    torch.testing.assert_close(IntensityScale(paper, ink)(gray), expected)


@pytest.mark.parametrize(
    ("kernels", "pools", "named"),
    [([3, 20], [2, 1], "conv2"), ([17, 3], [1, 1], "conv1"), ([3, 3], [2, 6], "conv2")],
)
def test_sizes_that_do_not_fit_name_the_layer(
    kernels: list[int], pools: list[int], named: str
) -> None:
    with pytest.raises(UserError, match=f"^{named}: .*16x16"):
        ConvEncoder(16, [2, 2], kernels, pools, 4)


def test_the_largest_kernel_that_fits() -> None:
    encoder = ConvEncoder(16, [2, 2], [3, 7], [2, 1], 4)  # 16 → 14 → 7 → 1
    assert encoder.side == 1
    assert encoder(images(2, 16)).shape == (2, 4)


def test_lists_of_different_lengths() -> None:
    with pytest.raises(UserError, match="2, 1, 2, 2"):
        ConvEncoder(16, [2, 2], [3], [2, 2], 4)
    with pytest.raises(UserError, match="0, 0, 0, 0"):
        ConvEncoder(16, [], [], [], 4)


@pytest.mark.parametrize("wrong", [{"padding": "full"}, {"activation": "swish"}])
def test_unknown_names_are_user_errors(wrong: dict[str, str]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong.values()))):
        ConvEncoder(16, [2], [3], [2], 4, **wrong)  # type: ignore[arg-type]


def test_dense_encoders_unknown_activation_is_a_user_error() -> None:
    with pytest.raises(UserError, match="swish"):
        DenseEncoder(8, [4], 4, activation="swish")


@pytest.mark.parametrize("zero", ["filters", "kernels", "pools", "strides"])
def test_sizes_must_be_positive(zero: str) -> None:
    sizes = {"filters": [2], "kernels": [3], "pools": [2], "strides": [1], zero: [0]}
    with pytest.raises(UserError, match=rf"^model\.encoder\.{zero}=\[0\]: .*1 or more"):
        ConvEncoder(16, embedding_dim=4, **sizes)


@pytest.mark.parametrize("strides", [0, False, []])
def test_strides_that_are_none_are_refused_rather_than_left_out(strides: Any) -> None:
    with pytest.raises(UserError, match=r"^model\.encoder"):
        ConvEncoder(16, [2], [3], [2], 4, strides=strides)


def test_a_kernel_larger_than_the_image_is_refused_whatever_the_padding() -> None:
    with pytest.raises(UserError, match=r"^conv1: a 17x17 kernel"):
        ConvEncoder(16, [2], [17], [1], 4, padding="same")
    assert ConvEncoder(16, [2], [16], [1], 4, padding="same").side == 17
