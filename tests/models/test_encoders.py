from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.convolution import Convolution
from siamese_oneshot.models.encoders import (
    Block,
    ConvEncoder,
    DenseEncoder,
    IntensityScale,
    ResidualEncoder,
)
from siamese_oneshot.utils.errors import ArgumentError

KERNELS, POOLS = [10, 7, 4, 4], [2, 2, 2, 1]
CONV: dict[str, Any] = {
    "image_size": 16, "filters": [2], "kernels": [3], "pool_sizes": [2], "embedding_dim": 4,
}  # fmt: skip
DENSE: dict[str, Any] = {"image_size": 8, "hidden": [4], "embedding_dim": 4}
RESIDUAL: dict[str, Any] = {"image_size": 16, "filters": [2], "blocks": [1], "embedding_dim": 4}


def images(n: int, size: int) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(3))


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    values = list(source.state_dict().values())
    state = target.state_dict()
    assert len(values) == len(state)
    target.load_state_dict(dict(zip(state, values, strict=True)))


def test_map_sizes_are_those_of_the_paper() -> None:
    """105 → 48 → 21 → 9 → 6 (figure 4); the sizes do not depend on the widths."""
    encoder = ConvEncoder(105, [2, 3, 4, 5], KERNELS, POOLS, embedding_dim=7)
    x, shapes = images(1, 105), []
    for name, pool_relu in encoder.pool_relu.items():
        x = pool_relu(encoder.layers[name](x))
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(2, 48, 48), (3, 21, 21), (4, 9, 9), (5, 6, 6)]


def test_conv_encoder_equals_a_sequential() -> None:
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


def test_conv_encoder_with_strides_padding_and_batch_norm() -> None:
    encoder = ConvEncoder(
        20, [3, 4], [5, 3], [1, 2], 6, strides=[2, 1], padding="same", batch_norm=True,
        activation="tanh", background_value=-1.0, foreground_value=3.0,
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
    assert encoder.layers["conv1"][0].bias is None
    assert ConvEncoder(**CONV).layers["conv1"][0].bias is not None


def test_dense_encoder_equals_a_sequential() -> None:
    encoder = DenseEncoder(8, [5, 4], embedding_dim=3, background_value=1.0, foreground_value=0.0)
    plain = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3),
        nn.Sigmoid(),
    )  # fmt: skip
    copy_weights(encoder, plain)
    x = images(3, 8)
    torch.testing.assert_close(encoder(x), plain(1 - x))
    assert list(encoder.layers) == ["dense1", "dense2", "dense"]


def slow_block(block: Block, x: Tensor) -> Tensor:
    y = F.relu(block.first_norm(F.conv2d(x, block.first.weight, padding=1)))
    y = block.second_norm(F.conv2d(y, block.second.weight, padding=1))
    if isinstance(block.shortcut, nn.Identity):
        return F.relu(y + x)
    return F.relu(y + block.shortcut[1](F.conv2d(x, block.shortcut[0].weight)))


@pytest.mark.parametrize(("in_channels", "out_channels"), [(3, 3), (3, 5)])
def test_block_equals_its_formula(in_channels: int, out_channels: int) -> None:
    torch.manual_seed(0)
    block = Block(in_channels, out_channels, "direct")
    x = torch.randn(4, in_channels, 6, 6)
    torch.testing.assert_close(block(x), slow_block(copy.deepcopy(block), x))
    block.eval()
    torch.testing.assert_close(block(x), slow_block(block, x))


def test_residual_encoder_equals_its_formula() -> None:
    torch.manual_seed(1)
    encoder = ResidualEncoder(21, [4, 6], [1, 2], embedding_dim=7, local_dim=3).eval()
    stem, norm = encoder.layers["stem"]
    x = F.relu(norm(F.conv2d(images(3, 21), stem.weight, stride=2, padding=2)))  # 21 → 11
    x = F.max_pool2d(encoder.layers["stage1"][0](x), 2)  # 11 → 5
    x = encoder.layers["stage2"][1](encoder.layers["stage2"][0](x))
    expected = torch.sigmoid(encoder.layers["dense"](F.max_pool2d(x, 2).flatten(1)))
    check_embedding(encoder, encoder(images(3, 21)), expected, x, 5)


def test_conv_encoder_with_local_descriptors_of_the_last_map_before_its_pooling() -> None:
    encoder = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same", local_dim=2).eval()
    plain = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same").eval()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    x = images(3, 16)
    y = encoder.pool_relu["conv1"](encoder.layers["conv1"](x))
    check_embedding(encoder, encoder(x), plain(x), torch.relu(encoder.layers["conv2"](y)), 8)
    assert (plain.map_size, plain.embedding_dim) == (0, 4)


def test_local_descriptors_alone() -> None:
    sizes: list[Any] = [16, [3, 5], [3, 3], [2, 2]]
    encoder = ConvEncoder(*sizes, 4, padding="same", local_dim=2).eval()
    alone = ConvEncoder(*sizes, 0, padding="same", local_dim=2).eval()
    alone.load_state_dict({k: v for k, v in encoder.state_dict().items() if "dense" not in k})
    assert list(alone.layers) == ["conv1", "conv2", "local"]
    assert alone.embedding_dim == 8**2 * 2
    torch.testing.assert_close(alone(images(3, 16)), encoder(images(3, 16))[:, 4:])
    with pytest.raises(ArgumentError, match=r"^embedding_dim=0: .*1 or more"):
        ConvEncoder(*sizes, 0)


def check_embedding(
    encoder: ConvEncoder | ResidualEncoder,
    embeddings: Tensor,
    global_embedding: Tensor,
    feature_map: Tensor,
    map_size: int,
) -> None:
    """The global embedding, then descriptors of unit length, row by row."""
    n, dim = global_embedding.shape
    assert encoder.map_size == map_size
    assert encoder.embedding_dim == dim + map_size**2 * encoder.local_dim
    torch.testing.assert_close(embeddings[:, :dim], global_embedding)
    layer = encoder.layers["local"]
    local = torch.einsum("lc,ncyx->nyxl", layer.weight[:, :, 0, 0], feature_map) + layer.bias
    expected = (local / local.norm(dim=-1, keepdim=True)).reshape(n, -1)
    torch.testing.assert_close(embeddings[:, dim:], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "names"),
    [
        (ResidualEncoder(16, [2, 3], [1, 1], 4, local_dim=2), "stem stage1 stage2 dense local"),
        (ResidualEncoder(16, [2, 3], [1, 1], 4), "stem stage1 stage2 dense"),
        (ConvEncoder(16, [2, 3], [3, 3], [2, 2], 4, local_dim=2), "conv1 conv2 dense local"),
        (DenseEncoder(8, [5], 3), "dense1 dense"),
    ],
)
def test_named_layers_hold_every_parameter(encoder: Any, names: str) -> None:
    assert list(encoder.layers) == names.split()
    ids = {id(weight) for weight in encoder.layers.parameters()}
    assert ids == {id(weight) for weight in encoder.parameters()}


@pytest.mark.parametrize(("kind", "sizes"), [(ConvEncoder, CONV), (ResidualEncoder, RESIDUAL)])
def test_dropout_acts_in_training_alone(kind: Any, sizes: dict[str, Any]) -> None:
    torch.manual_seed(0)  # with few numbers, another seed may drop none that matters
    encoder = kind(**{**sizes, "embedding_dim": 64}, dropout=0.5)
    x = images(2, 16)
    assert not torch.equal(encoder(x), encoder(x))
    assert torch.equal(encoder.eval()(x), encoder(x))


def test_fourier_changes_only_rounding() -> None:
    torch.manual_seed(2)
    sizes = {**RESIDUAL, "image_size": 24, "filters": [4, 6], "blocks": [1, 1]}
    direct = ResidualEncoder(**sizes, conv_impl="direct").double()
    fourier = ResidualEncoder(**sizes, conv_impl="fourier").double()
    fourier.load_state_dict(direct.state_dict())
    x = images(3, 24).double()
    torch.testing.assert_close(fourier(x), direct(x))
    by_fourier = [
        name
        for name, part in fourier.named_modules()
        if isinstance(part, Convolution) and part.by_fourier(1, 12, 12, None)
    ]
    assert by_fourier == [
        f"layers.stage{k}.0.{name}" for k in (1, 2) for name in ("first", "second")
    ]


@pytest.mark.parametrize(("background", "foreground"), [(255.0, 0.0), (0.0, 1.0), (-0.5, 0.5)])
def test_intensity_scale(background: float, foreground: float) -> None:
    x = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.tensor([background, 0.75 * background + 0.25 * foreground, foreground])
    torch.testing.assert_close(IntensityScale(background, foreground)(x), expected)


def test_the_largest_kernels_that_fit() -> None:
    encoder = ConvEncoder(16, [2, 2], [3, 7], [2, 1], 4)  # 16 → 14 → 7 → 1
    assert encoder.layers["dense"].in_features == 2
    assert encoder(images(2, 16)).shape == (2, 4)
    same = ConvEncoder(16, [2], [16], [1], 4, padding="same")  # 16 → 17
    assert same.layers["dense"].in_features == 2 * 17 * 17
    ResidualEncoder(16, [2] * 3, [1] * 3, 4)  # 16 → 8 → 4 → 2 → 1


TWO = {"filters": [2, 2], "kernels": [3, 3], "pool_sizes": [2, 1]}
WRONG: list[tuple[type, dict[str, Any], str]] = [
    (ConvEncoder, {**TWO, "kernels": [3, 20]}, "kernels=.*: conv2: .* 7x7 input .image 16x16"),
    (ConvEncoder, {**TWO, "kernels": [17, 3]}, "kernels=.*: conv1: a 17x17 kernel"),
    (ConvEncoder, {**TWO, "pool_sizes": [2, 6]}, "kernels=.*: conv2: .* 6x6 pool"),
    (ConvEncoder, {"kernels": [17], "padding": "same"}, "kernels=.*: conv1: a 17x17 kernel"),
    (ConvEncoder, {**TWO, "kernels": [3]}, "filters=.*: .* got 2, 1, 2, 2"),
    (ConvEncoder, {"filters": [], "kernels": [], "pool_sizes": []}, "filters=.* got 0, 0, 0, 0"),
    (ConvEncoder, {"padding": "full"}, "padding=full: .*valid, same"),
    (ConvEncoder, {"activation": "swish"}, "activation=swish: .*sigmoid"),
    (ConvEncoder, {"conv_impl": "fft"}, "conv_impl=fft: .*fourier"),
    (ConvEncoder, {"strides": 0}, "strides="),
    (ConvEncoder, {"strides": False}, "strides="),
    (ConvEncoder, {"strides": []}, "filters=.* got 1, 1, 1, 0"),
    *((ConvEncoder, {key: [0]}, rf"{key}=\[0\]: .*1 or more")
      for key in ("filters", "kernels", "pool_sizes", "strides")),
    (ResidualEncoder, {"filters": [2, 3]}, "filters=.* got 2 and 1"),
    (ResidualEncoder, {"filters": [], "blocks": []}, "filters=.* got 0 and 0"),
    (ResidualEncoder, {"filters": [2] * 4, "blocks": [1] * 4}, ".* 4 stages halve the 16x16 image"),
    (ResidualEncoder, {"dropout": 1.5}, "dropout=1.5: "),
    (ResidualEncoder, {"local_dim": -1}, "local_dim=-1: "),
    (ResidualEncoder, {"activation": "swish"}, "activation=swish: .*sigmoid"),
    (DenseEncoder, {"activation": "swish"}, "activation=swish: .*sigmoid"),
    (DenseEncoder, {"hidden": [0]}, r"hidden=\[0\]: .*1 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("encoder", "wrong", "words"), WRONG)
def test_wrong_arguments_are_named(encoder: type, wrong: dict[str, Any], words: str) -> None:
    sizes = {ConvEncoder: CONV, ResidualEncoder: RESIDUAL, DenseEncoder: DENSE}[encoder]
    with pytest.raises(ArgumentError, match=f"^{words}"):
        encoder(**{**sizes, **wrong})
