from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from siamese_oneshot.errors import UserError
from siamese_oneshot.model.encoder import ConvEncoder, DenseEncoder
from siamese_oneshot.model.tower import InkScale

KERNELS, POOLS = [10, 7, 4, 4], [2, 2, 2, 1]


def pictures(n: int, side: int) -> torch.Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(3))


def test_papers_map_sizes() -> None:
    """105 → 48 → 21 → 9 → 6 (paper, figure 4); the sizes do not depend on the widths."""
    tower = ConvEncoder(105, [2, 3, 4, 5], KERNELS, POOLS, units=7)
    x, sides = pictures(1, 105), []
    for name, after in tower.after.items():
        x = after(tower.layers[name](x))
        sides.append(tuple(x.shape[1:]))
    assert sides == [(2, 48, 48), (3, 21, 21), (4, 9, 9), (5, 6, 6)]
    assert tower.layers["dense"].in_features == 5 * 6 * 6


def test_forward_equals_a_plain_sequential() -> None:
    tower = ConvEncoder(105, [2, 3, 4, 5], KERNELS, POOLS, units=7)
    plain = nn.Sequential(
        nn.Conv2d(1, 2, 10), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 7), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 4), nn.ReLU(),
        nn.Flatten(), nn.Linear(180, 7), nn.Sigmoid(),
    )  # fmt: skip
    copy_weights(tower, plain)
    torch.testing.assert_close(tower(pictures(3, 105)), plain(pictures(3, 105)))


def test_forward_with_strides_padding_and_batch_norm() -> None:
    tower = ConvEncoder(
        20, [3, 4], [5, 3], [1, 2], 6,
        strides=[2, 1], padding="same", batch_norm=True, activation="tanh", paper=-1.0, ink=3.0,
    )  # fmt: skip
    plain = nn.Sequential(
        nn.Conv2d(1, 3, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * 5 * 5, 6), nn.Tanh(),
    )  # fmt: skip
    copy_weights(tower, plain)
    x = pictures(4, 20)
    torch.testing.assert_close(tower(x), plain(-1 + 4 * x))  # training mode: batch statistics
    torch.testing.assert_close(tower.eval()(x), plain.eval()(-1 + 4 * x))


def test_dense_encoder_equals_a_plain_sequential() -> None:
    tower = DenseEncoder(8, [5, 4], units=3, paper=1.0, ink=0.0)
    plain = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3),
        nn.Sigmoid(),
    )  # fmt: skip
    copy_weights(tower, plain)
    x = pictures(3, 8)
    torch.testing.assert_close(tower(x), plain(1 - x))
    assert list(tower.layers) == ["dense1", "dense2", "dense"]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    values = list(source.state_dict().values())
    state = target.state_dict()
    assert len(values) == len(state)
    target.load_state_dict(dict(zip(state, values, strict=True)))


def test_local_descriptors_follow_the_whole_and_are_of_the_last_map_before_its_pool() -> None:
    tower = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same", local=2).eval()
    x = pictures(3, 16)
    made = tower(x)
    assert (tower.places, tower.side, tower.units) == (8, 4, 4 + 64 * 2)
    bare = ConvEncoder(16, [3, 5], [3, 3], [2, 2], 4, padding="same").eval()
    bare.load_state_dict(tower.state_dict(), strict=False)
    torch.testing.assert_close(made[:, :4], bare(x))
    assert (bare.places, bare.units) == (0, 4)
    maps = torch.relu(tower.layers["conv2"](tower.after["conv1"](tower.layers["conv1"](x))))
    layer = tower.layers["local"]
    found = torch.einsum("lc,ncyx->nyxl", layer.weight[:, :, 0, 0], maps) + layer.bias
    expected = found / found.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(made[:, 4:].view(3, 8, 8, 2), expected, atol=1e-4, rtol=1e-4)


def test_dropout_is_of_trainings_alone() -> None:
    tower = ConvEncoder(16, [3], [3], [2], 64, dropout=0.5)
    x = pictures(2, 16)
    assert not torch.equal(tower(x), tower(x))
    assert torch.equal(tower.eval()(x), tower(x))


def test_convolution_before_batch_norm_has_no_bias() -> None:
    tower = ConvEncoder(16, [3], [3], [2], 4, batch_norm=True)
    assert tower.layers["conv1"][0].bias is None
    assert ConvEncoder(16, [3], [3], [2], 4).layers["conv1"][0].bias is not None


@pytest.mark.parametrize(("paper", "ink"), [(255.0, 0.0), (0.0, 1.0), (-0.5, 0.5)])
def test_ink_scale(paper: float, ink: float) -> None:
    grey = torch.tensor([0.0, 0.25, 1.0])
    expected = torch.tensor([paper, 0.75 * paper + 0.25 * ink, ink])
    torch.testing.assert_close(InkScale(paper, ink)(grey), expected)


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
    tower = ConvEncoder(16, [2, 2], [3, 7], [2, 1], 4)  # 16 → 14 → 7 → 1
    assert tower.side == 1
    assert tower(pictures(2, 16)).shape == (2, 4)


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
        ConvEncoder(16, units=4, **sizes)


@pytest.mark.parametrize("strides", [0, False, []])
def test_strides_that_are_none_are_refused_rather_than_left_out(strides: Any) -> None:
    with pytest.raises(UserError, match=r"^model\.encoder"):
        ConvEncoder(16, [2], [3], [2], 4, strides=strides)


def test_a_kernel_larger_than_the_picture_is_refused_whatever_the_padding() -> None:
    with pytest.raises(UserError, match=r"^conv1: a 17x17 kernel"):
        ConvEncoder(16, [2], [17], [1], 4, padding="same")
    assert ConvEncoder(16, [2], [16], [1], 4, padding="same").side == 17
