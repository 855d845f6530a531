from __future__ import annotations

import math
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from siamese_oneshot.models import siamese
from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.siamese import (
    SiameseNetwork,
    build_model,
    build_network,
    mirrored_and_turned,
    per_layer,
)
from siamese_oneshot.models.similarity import CrossAttention, WeightedL1
from siamese_oneshot.utils.errors import ArgumentError

LAYERS = ["conv1", "conv2", "dense", "output"]


def build(**options: Any) -> Any:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 1], 8, **options)
    return build_network(encoder, partial(WeightedL1, weight_init=-0.3), "torch", 0)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, 1, 16, 16, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(scope="module")
def paper() -> SiameseNetwork:
    return build_model("paper").eval()


def test_the_papers_network_has_38_951_745_parameters(paper: SiameseNetwork) -> None:
    counts = {
        name: sum(p.numel() for p in layer.parameters())
        for name, layer in paper.named_layers.items()
    }
    assert counts == {
        "conv1": 64 * 10 * 10 + 64,
        "conv2": 128 * 64 * 7 * 7 + 128,
        "conv3": 128 * 128 * 4 * 4 + 128,
        "conv4": 256 * 128 * 4 * 4 + 256,
        "dense": 9216 * 4096 + 4096,
        "output": 4096 + 1,
    }
    assert sum(counts.values()) == 38_951_745


@torch.no_grad()
def test_the_papers_network_equals_a_sequential(paper: SiameseNetwork) -> None:
    plain = nn.Sequential(
        nn.Conv2d(1, 64, 10), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 7), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 256, 4), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(4096), nn.Sigmoid(),
    )  # fmt: skip
    weights = list(paper.encoder.state_dict().values())
    plain.load_state_dict(dict(zip(plain.state_dict(), weights, strict=True)), assign=True)
    first, second = torch.rand(2, 1, 1, 105, 105, generator=torch.Generator().manual_seed(1))
    a, b = plain(first), plain(second)
    output: Any = paper.similarity.linear
    logits = ((a - b).abs() * output.weight).sum(1) + output.bias
    torch.testing.assert_close(paper(first, second), logits, rtol=1e-4, atol=1e-3)
    strokes = (first < 0.1).float()
    embedding = paper.embed(strokes)
    assert embedding.shape == (1, 4096)
    # In float32 the paper's initialization rounds about one sigmoid in 16 to 1.
    assert 0 < float(embedding.min()) < float(embedding.max()) <= 1
    assert (embedding < 1).double().mean() > 0.9


def test_models_are_built_by_name() -> None:
    default = build_model()
    assert isinstance(default.similarity, CrossAttention)
    assert default.encoder.image_size == 52
    changed: Any = build_model({"name": "conv4_small", "seed": 5}, encoder={"embedding_dim": 32})
    assert changed.similarity.linear.in_features == changed.encoder.embedding_dim == 32
    seed_0 = build_model("conv4_small", encoder={"embedding_dim": 32})
    assert not torch.equal(next(changed.parameters()), next(seed_0.parameters()))
    with pytest.raises(ArgumentError, match=r"^model=resnet18: .*resnet"):
        build_model("resnet18")


def test_models_import_plain_pytorch() -> None:
    """Neither the import nor building by name loads Lightning, Hydra or W&B."""
    code = (
        "import sys; from siamese_oneshot.models import *;"
        "build_model('conv4_small'); build_loss('bce_pairs'); build_optimizer('adam');"
        "heavy = {'pytorch_lightning', 'lightning_fabric', 'hydra', 'wandb', 'torchmetrics'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_logits_are_symmetric() -> None:
    network, first, second = build(), images(5), images(5).flip(0)
    logits = network(first, second)
    assert logits.shape == (5,)
    assert logits.std() > 0
    torch.testing.assert_close(logits, network(second, first))


def test_both_images_share_one_encoder() -> None:
    """The gradient of a pair is the sum of the gradients through each image."""
    network, first, second = build(), images(3), images(3).flip(0)
    weight = network.encoder.layers["conv1"][0].weight
    a, b = network.embed(first), network.embed(second)
    (both,) = torch.autograd.grad(network(first, second).sum(), weight)
    (left,) = torch.autograd.grad(network.score(a, b.detach()).sum(), weight)
    (right,) = torch.autograd.grad(network.score(a.detach(), b).sum(), weight)
    torch.testing.assert_close(both, left + right)
    assert left.abs().sum() > 0
    assert right.abs().sum() > 0


def test_embed_takes_any_leading_shape() -> None:
    network, batch = build(), images(2, 3, 4)
    embeddings = network.embed(batch)
    assert embeddings.shape == (2, 3, 4, 8)
    torch.testing.assert_close(embeddings[1, 2], network.embed(batch[1, 2]))
    torch.testing.assert_close(embeddings[1, 2, 3], network.embed(batch[1, 2, 3]))


@torch.no_grad()
def test_test_time_augmentation_averages_the_scores_of_three_views(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turned by right angles, whose pixels are exact, in place of 112 degrees."""
    monkeypatch.setattr(siamese, "TURN", 90.0)
    network, batch = build().eval(), images(5)
    views = batch, batch.mT, batch.rot90(2, (2, 3)).mT
    plain = [network.embed(view) for view in views]
    scores = [network.score(one[:, None], one[None]) for one in plain]
    network.tta = True
    embedded = network.embed(batch.view(1, 5, 1, 16, 16))[0]
    found = network.score(embedded[:, None], embedded[None])
    torch.testing.assert_close(found, sum(scores) / 3)
    assert not torch.allclose(found, scores[0])
    assert torch.equal(network.train().embed(batch), plain[0])  # in training there is one view
    assert torch.equal(network.score(plain[0][0], plain[0][1]), scores[0][0, 1])


def test_views_are_mirrored_and_turned_by_112_degrees_each_way() -> None:
    """A dot to the right of the center, then to its left, is turned; outside is background."""
    image = torch.zeros(2, 1, 101, 101)
    image[0, 0, 49:52, 79:82] = 1  # 30 pixels to the right
    image[1] = 1
    directions = []
    for dots, full in mirrored_and_turned(image):
        rows, columns = torch.meshgrid(*[torch.arange(101.0) - 50] * 2, indexing="ij")
        x, y = ((dots[0] * axis).sum() / dots.sum() for axis in (columns, rows))
        assert math.hypot(x, y) == pytest.approx(30, abs=0.2)
        directions.append(math.degrees(math.atan2(y, x)))  # clockwise from the right
        assert full[0, 0, 0] == 0
    assert sorted(directions) == pytest.approx([-68, 68], abs=0.5)  # 180 - 112


def test_views_stand_where_they_are_meant_in_coarse_arithmetic() -> None:
    exact = mirrored_and_turned(images(3))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, mirrored_and_turned(images(3)), exact))


def test_the_attention_of_test_time_augmentation_is_of_the_plain_images() -> None:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 1], 8, local_dim=2)
    similarity = partial(CrossAttention, global_dim=8, local_dim=2)
    network = build_network(encoder, similarity, "torch", 0).eval()
    plain = network.embed(images(4))
    expected = network.attention(plain[0], plain[1:])
    network.tta = True
    embedded = network.embed(images(4))
    assert expected is not None
    torch.testing.assert_close(network.attention(embedded[0], embedded[1:]), expected)
    assert build().attention(plain[0, :8], plain[1:, :8]) is None


def test_named_layers_hold_every_parameter_once() -> None:
    for network in (build(), build(batch_norm=True)):
        named = [id(p) for layer in network.named_layers.values() for p in layer.parameters()]
        assert sorted(named) == sorted(id(p) for p in network.parameters())
        assert list(network.named_layers) == LAYERS
    assert (build().similarity.linear.weight == -0.3).all()


def test_one_number_or_one_per_layer() -> None:
    assert per_layer("lr", 3, LAYERS) == dict.fromkeys(LAYERS, 3.0)
    every = {"conv1": 1.0, "conv2": 2.0, "dense": 3.0, "output": 4.0}
    assert per_layer("lr", every, LAYERS) == every
    mixed = per_layer("lr", {"default": 9, "dense": 0}, LAYERS)
    assert list(mixed.items()) == [("conv1", 9), ("conv2", 9), ("dense", 0), ("output", 9)]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"default": 1.0, "cnov2": 2.0}, r"lr\.cnov2=2\.0: .*Did you mean conv2\?"),
        ({"default": 1.0, "dens": 2.0}, r"lr\.dens=2\.0: .*Did you mean dense\?"),
        ({"default": 1.0, "ouptut": 2.0}, r"lr\.ouptut=2\.0: .*Did you mean output\?"),
        ({"default": 1.0, "Conv1": 2.0}, r"lr\.Conv1=2\.0: .*Did you mean conv1\?"),
        ({1: 0.1}, r"lr\.1=0\.1: there is no such layer"),
        ({"conv1": 1.0, "dense": 2.0}, "lr=.*: it has no number for conv2, output and no default"),
        *(
            entry
            for wrong in (-1e-9, float("nan"), float("inf"), "fast")
            for entry in (
                ({"default": 1.0, "dense": wrong}, rf"lr\.dense={wrong}: "),
                (wrong, f"lr={wrong}: "),
            )
        ),
    ],
)
def test_wrong_settings_name_the_layer(setting: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{words}"):
        per_layer("lr", setting, LAYERS)
