from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from siamese_oneshot.models.encoders import ConvEncoder
from siamese_oneshot.models.siamese import SiameseNetwork, build_network
from siamese_oneshot.models.similarity import WeightedL1

PAPER = Path(__file__).parents[2] / "conf" / "model" / "paper.yaml"


def small(seed: int = 0, **options: object) -> SiameseNetwork:
    encoder = partial(ConvEncoder, 16, [4, 6], [3, 3], [2, 1], embedding_dim=8, **options)  # type: ignore
    return build_network(encoder, partial(WeightedL1, weight_init=-0.3), "torch", seed)  # type: ignore


def images(*lead: int) -> torch.Tensor:
    return torch.rand(*lead, 1, 16, 16, generator=torch.Generator().manual_seed(sum(lead)))


@pytest.fixture(scope="module")
def paper() -> SiameseNetwork:
    """The paper's network, from the configuration that +experiment=paper uses."""
    settings = OmegaConf.create({"seed": 0, "model": OmegaConf.load(PAPER)})
    return instantiate(settings.model).eval()


def test_paper_has_38_951_745_parameters(paper: SiameseNetwork) -> None:
    by_layer = {
        name: sum(p.numel() for p in layer.parameters())
        for name, layer in paper.named_layers.items()
    }
    assert by_layer == {
        "conv1": 64 * 10 * 10 + 64,
        "conv2": 128 * 64 * 7 * 7 + 128,
        "conv3": 128 * 128 * 4 * 4 + 128,
        "conv4": 256 * 128 * 4 * 4 + 256,
        "dense": 9216 * 4096 + 4096,
        "output": 4096 + 1,
    }
    assert sum(p.numel() for p in paper.parameters()) == 38_951_745


@torch.no_grad()
def test_paper_embeds_in_4096_numbers_between_0_and_1(paper: SiameseNetwork) -> None:
    sides: list[tuple[int, ...]] = []
    after = paper.encoder.after
    hooks = [
        part.register_forward_hook(lambda module, given, out: sides.append(tuple(out.shape)))
        for part in after.values()  # type: ignore[union-attr, operator]
    ]
    image = (torch.rand(1, 1, 105, 105, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    embedding = paper.embed(image)
    for hook in hooks:
        hook.remove()
    assert sides == [(1, 64, 48, 48), (1, 128, 21, 21), (1, 128, 9, 9), (1, 256, 6, 6)]
    assert embedding.shape == (1, 4096)
    # Strictly between in exact numbers; in float32 the paper's start rounds one unit in 16 to 1.
    assert 0 < float(embedding.min()) < float(embedding.max()) <= 1
    assert (embedding < 1).double().mean() > 0.9


@torch.no_grad()
def test_paper_equals_a_plain_sequential(paper: SiameseNetwork) -> None:
    plain = nn.Sequential(
        nn.Conv2d(1, 64, 10), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 7), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 256, 4), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(4096), nn.Sigmoid(),
    )  # fmt: skip
    weights = list(paper.encoder.state_dict().values())
    plain.load_state_dict(dict(zip(plain.state_dict(), weights, strict=True)), assign=True)
    one, other = torch.rand(2, 1, 1, 105, 105, generator=torch.Generator().manual_seed(1))
    a, b = plain(one), plain(other)
    output = paper.similarity.linear
    logit = ((a - b).abs() * output.weight).sum(1) + output.bias  # type: ignore[union-attr, operator]
    torch.testing.assert_close(paper(one, other), logit, rtol=1e-4, atol=1e-3)


def test_logits_do_not_change_when_the_twins_swap() -> None:
    network, one, other = small(), images(5), images(5).flip(0)
    torch.testing.assert_close(network(one, other), network(other, one))
    assert network(one, other).shape == (5,)
    assert network(one, other).std() > 0


def test_twins_are_one_encoder() -> None:
    """Each twin's gradient lands on the same weights: what both give is the sum of the two."""
    network, one, other = small(), images(3), images(3).flip(0)
    weight = network.encoder.layers["conv1"][0].weight  # type: ignore[index, union-attr]
    frozen_one, frozen_other = network.embed(one).detach(), network.embed(other).detach()
    (both,) = torch.autograd.grad(network(one, other).sum(), weight)
    (left,) = torch.autograd.grad(network.score(network.embed(one), frozen_other).sum(), weight)
    (right,) = torch.autograd.grad(network.score(frozen_one, network.embed(other)).sum(), weight)
    torch.testing.assert_close(both, left + right)
    assert left.abs().sum() > 0
    assert right.abs().sum() > 0


def test_embed_takes_any_leading_shape() -> None:
    network, many = small(), images(2, 3, 4)
    embeddings = network.embed(many)
    assert embeddings.shape == (2, 3, 4, 8)
    torch.testing.assert_close(embeddings[1, 2], network.embed(many[1, 2]))


def test_one_image_alone() -> None:
    network, one = small(), images(1)
    torch.testing.assert_close(network.embed(one[0]), network.embed(one)[0])


def test_named_layers_cover_every_parameter_once() -> None:
    for network in (small(), small(batch_norm=True)):
        named = [id(p) for layer in network.named_layers.values() for p in layer.parameters()]
        assert sorted(named) == sorted(id(p) for p in network.parameters())
        assert list(network.named_layers) == ["conv1", "conv2", "dense", "output"]


def test_constructor_options_reach_the_similarity() -> None:
    assert (small().similarity.linear.weight == -0.3).all()  # type: ignore[union-attr]
    assert small().similarity.linear.in_features == 8  # type: ignore[union-attr]
