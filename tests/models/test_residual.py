from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.residual_encoder import Block, ResidualEncoder
from siamese_oneshot.utils.errors import UserError


def images(n: int, side: int) -> Tensor:
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(3))


def by_hand(block: Block, x: Tensor) -> Tensor:
    inner = F.conv2d(x, block.first.weight, padding=1)
    inner = F.relu(block.first_norm(inner))
    inner = block.second_norm(F.conv2d(inner, block.second.weight, padding=1))
    if isinstance(block.shortcut, nn.Identity):
        return F.relu(inner + x)
    beside = block.shortcut[1](F.conv2d(x, block.shortcut[0].weight))
    return F.relu(inner + beside)


@pytest.mark.parametrize(("channels", "filters"), [(3, 3), (3, 5)])
def test_a_block_by_hand(channels: int, filters: int) -> None:
    torch.manual_seed(0)
    block = Block(channels, filters, "direct")
    x = torch.randn(4, channels, 6, 6)
    torch.testing.assert_close(block(x), by_hand(copy.deepcopy(block), x))
    block.eval()
    torch.testing.assert_close(block(x), by_hand(block, x))


def test_the_encoder_by_hand() -> None:
    torch.manual_seed(1)
    encoder = ResidualEncoder(21, [4, 6], [1, 2], embedding_dim=7, local_dim=3).eval()
    x = images(3, 21)
    stem, norm = encoder.layers["stem"]
    y = F.relu(norm(F.conv2d(x, stem.weight, stride=2, padding=2)))  # 21 → 11
    y = F.max_pool2d(encoder.layers["stage1"][0](y), 2)  # 11 → 5
    y = encoder.layers["stage2"][1](encoder.layers["stage2"][0](y))
    whole = torch.sigmoid(encoder.layers["dense"](F.max_pool2d(y, 2).flatten(1)))
    made = encoder(x)
    assert encoder.places == 5
    assert made.shape == (3, encoder.units) == (3, 7 + 25 * 3)
    torch.testing.assert_close(made[:, :7], whole)
    conv = encoder.layers["local"]
    for place in (0, 7, 24):  # row by row
        row, column = divmod(place, 5)
        found = conv.weight[:, :, 0, 0] @ y[1, :, row, column] + conv.bias
        expected = found / found.norm()
        torch.testing.assert_close(made[1, 7 + 3 * place : 10 + 3 * place], expected)


def test_layers_have_names_and_hold_every_parameter() -> None:
    encoder = ResidualEncoder(16, [2, 3], [1, 1], embedding_dim=4, local_dim=2)
    assert list(encoder.layers) == ["stem", "stage1", "stage2", "dense", "local"]
    held = {id(weight) for weight in encoder.layers.parameters()}
    assert held == {id(weight) for weight in encoder.parameters()}
    plain = ResidualEncoder(16, [2, 3], [1, 1], embedding_dim=4)
    assert (plain.places, plain.units) == (0, 4)
    assert "local" not in plain.layers


def test_dropout_hides_features_in_training_alone() -> None:
    encoder = ResidualEncoder(16, [4], [1], embedding_dim=64, dropout=0.5)
    x = images(2, 16)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


def test_fourier_changes_nothing_but_rounding() -> None:
    torch.manual_seed(2)
    sizes = {"size": 24, "filters": [4, 6], "blocks": [1, 1], "units": 5}
    direct = ResidualEncoder(**sizes, conv_impl="direct").double()  # type: ignore[arg-type]
    other = ResidualEncoder(**sizes, conv_impl="fourier").double()  # type: ignore[arg-type]
    other.load_state_dict(direct.state_dict())
    x = images(3, 24).double()
    torch.testing.assert_close(other(x), direct(x))
    assert direct.by_fourier(64, plain=True) == []
    assert other.by_fourier(1, plain=False) == ["stage1", "stage2"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"filters": [2, 3]}, "got 2 and 1"),
        ({"filters": [], "blocks": []}, "got 0 and 0"),
        ({"filters": [2] * 4, "blocks": [1] * 4}, "4 stages halve the 16x16 image to nothing"),
        ({"dropout": 1.5}, "model.encoder.dropout"),
        ({"local": -1}, "model.encoder.local_dim"),
        ({"activation": "swish"}, "swish"),
    ],
)
def test_what_cannot_be_is_a_user_error(wrong: dict[str, object], words: str) -> None:
    sizes: dict[str, object] = {"size": 16, "filters": [2], "blocks": [1], "units": 4}
    with pytest.raises(UserError, match=words):
        ResidualEncoder(**{**sizes, **wrong})  # type: ignore[arg-type]
    ResidualEncoder(**{**sizes, "filters": [2] * 3, "blocks": [1] * 3})  # type: ignore[arg-type]
