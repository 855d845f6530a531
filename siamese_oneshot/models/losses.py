"""Losses: the paper's regularized cross-entropy of pairs, and losses over the episodes of a batch.

A loss is a callable ``(network, *batch) -> dict`` whose ``loss`` is a scalar to minimize; the other
entries are logged. Its attribute ``sampler_kind`` names the batches that it takes:

- ``pairs``: ``first, second`` of shape ``(n, 1, size, size)`` and ``same`` ``(n,)``, 1 or 0.
- ``episode``: ``images`` of shape ``(alphabets, classes, drawers, 1, size, size)``.

Any callable of this form can take the place of the classes below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siamese_oneshot.models.siamese import LayerSetting, SiameseNetwork, check_per_layer, per_layer
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import build_option
from siamese_oneshot.utils.errors import ArgumentError


def build_loss(spec: str | Mapping[str, Any] = "episodic_ce_smooth", **changes: Any) -> Any:
    """Build a loss such as ``bce_pairs``, with the defaults of conf/loss; arguments: `describe`."""
    return build_option("loss", spec, **changes)


class RegularizedLoss:
    """Base of the losses, which adds the L2 term.

    Args:
        l2: L2 weight of all layers, or a mapping from layer names; every loss below takes it.
    """

    def __init__(self, l2: LayerSetting = 0.0) -> None:
        check_per_layer("l2", l2)
        self.l2 = l2

    def regularized(self, network: SiameseNetwork, name: str, loss: Tensor) -> dict[str, Tensor]:
        """Return ``loss`` (the sum), the data term under ``name`` and the penalty as ``l2``."""
        penalty = l2_penalty(network, self.l2)
        return {"loss": loss + penalty, name: loss, "l2": penalty}


class PairBCELoss(RegularizedLoss):
    """Cross-entropy of "same class" plus an L2 weight per layer (Koch et al. 2015, section 3.2)."""

    sampler_kind = "pairs"

    def __call__(
        self, network: SiameseNetwork, first: Tensor, second: Tensor, same: Tensor
    ) -> dict[str, Tensor]:
        """Return ``loss``, ``cross_entropy`` and ``l2``."""
        cross_entropy = F.binary_cross_entropy_with_logits(network(first, second), same)
        return self.regularized(network, "cross_entropy", cross_entropy)


class AllPairsBCELoss(RegularizedLoss):
    """The paper's cross-entropy over every pair of images in a batch of alphabets.

    Each image is embedded once and compared with all others. Same and different pairs weigh half
    each, as in the paper's sampler.
    """

    sampler_kind = "episode"

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, ``cross_entropy`` and ``l2``."""
        alphabets, classes, drawers = images.shape[:3]
        embeddings = network.embed(images).flatten(0, 2)  # (n, embedding_dim)
        i, j = torch.triu_indices(len(embeddings), len(embeddings), 1, device=images.device)
        same = i // drawers == j // drawers
        n_same = alphabets * classes * drawers * (drawers - 1) // 2
        # index_select: the gradient of embeddings[i] would add up in any order on several threads.
        logits = network.score(embeddings.index_select(0, i), embeddings.index_select(0, j))
        losses = F.binary_cross_entropy_with_logits(logits, same.to(logits), reduction="none")
        # Weights in place of losses[same]: a mask would wait for the GPU to count its entries.
        weights = torch.where(same, 0.5 / n_same, 0.5 / (len(i) - n_same))
        return self.regularized(network, "cross_entropy", (losses * weights).sum())


class EpisodicCrossEntropyLoss(RegularizedLoss):
    """Cross-entropy of every one-shot episode in a batch of alphabets.

    For each alphabet and each ordered pair of its drawers, each class by the first drawer is a
    query, and all classes by the second are the support. Trains on episodes as matching networks
    do (Vinyals et al. 2016, section 2.2), with the network's score in place of a cosine.

    Args:
        l2: As for ``RegularizedLoss``.
        smoothing: Label smoothing in [0, 1].
    """

    sampler_kind = "episode"

    def __init__(self, l2: LayerSetting = 0.0, smoothing: float = 0.0) -> None:
        super().__init__(l2)
        self.smoothing = check.fraction("smoothing", smoothing)

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, ``cross_entropy`` and ``l2``."""
        scores = _episode_scores(network, images)
        target = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[:2])
        # Scores are symmetric: the transpose swaps query and support.
        swapped = F.cross_entropy(scores.transpose(1, 2), target, label_smoothing=self.smoothing)
        direct = F.cross_entropy(scores, target, label_smoothing=self.smoothing)
        return self.regularized(network, "cross_entropy", 0.5 * (swapped + direct))


class EpisodicDistillationLoss(RegularizedLoss):
    """Cross-entropy of every one-shot episode; the targets are the answers of trained networks.

    Episodes are those of ``EpisodicCrossEntropyLoss``. The target is the probability of each class
    instead of the right class: the softmax of the mean score that these networks, the teachers,
    give to the same augmented images.

    Reference: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2.

    Args:
        teachers: Networks of the student's ``image_size``. Their weights stay as they are, and no
            checkpoint holds them.
        temperature: Above 0; by which scores of teachers and student are divided. The gradient is
            multiplied by its square, so that its size hardly depends on it.
        l2: As for ``RegularizedLoss``.
    """

    sampler_kind = "episode"

    def __init__(
        self,
        teachers: Sequence[SiameseNetwork] = (),
        temperature: float = 1.0,
        l2: LayerSetting = 0.0,
    ) -> None:
        super().__init__(l2)
        self.temperature = check.number("temperature", temperature, above=0)
        self.teachers = list(teachers)

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, ``cross_entropy`` and ``l2``."""
        if not self.teachers:
            message = "it learns from trained networks: give at least one as a teacher"
            raise ArgumentError("teachers", self.teachers, message=message)
        with torch.no_grad():
            answers = [
                _episode_scores(teacher.to(images.device).eval(), images)
                for teacher in self.teachers
            ]
            wanted = torch.stack(answers).float().mean(0) / self.temperature
        scores = _episode_scores(network, images) / self.temperature
        direct, swapped = (
            F.cross_entropy(own.flatten(0, 1), target.flatten(0, 1).softmax(-1))
            for own, target in ((scores, wanted), (scores.mT, wanted.mT))
        )
        cross_entropy = self.temperature**2 * 0.5 * (direct + swapped)
        return self.regularized(network, "cross_entropy", cross_entropy)


class EpisodicHingeLoss(RegularizedLoss):
    """Hinge of every one-shot episode in a batch of alphabets, with its hardest negative.

    Episodes are those of ``EpisodicCrossEntropyLoss``. Each costs ``max(0, margin + max_negative -
    positive)``, where ``positive`` is the score of the query's class and ``max_negative`` the
    highest score of another class.

    Args:
        margin: Margin between positive and hardest negative, in logits; above 0.
        l2: As for ``RegularizedLoss``.
    """

    sampler_kind = "episode"

    def __init__(self, margin: float = 1.0, l2: LayerSetting = 0.0) -> None:
        super().__init__(l2)
        self.margin = check.number("margin", margin, above=0)

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, ``hinge`` and ``l2``."""
        scores = _episode_scores(network, images)
        positive = scores.diagonal(dim1=1, dim2=2)
        diagonal = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
        negatives = scores.masked_fill(diagonal, -torch.inf)
        hinges = [F.relu(self.margin + negatives.amax(dim) - positive).mean() for dim in (1, 2)]
        return self.regularized(network, "hinge", 0.5 * (hinges[0] + hinges[1]))


class SupConLoss(RegularizedLoss):
    """Supervised contrastive cross-entropy within each alphabet of a batch.

    Each image is an anchor. All other images of its alphabet are candidates, and those of its class
    are positives: the loss is the mean over positives of the negative log-softmax. The network's
    own score, with a learned scale, replaces cosine and temperature.

    Reference: Khosla et al. 2020, "Supervised Contrastive Learning", equation 2.
    """

    sampler_kind = "episode"

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, ``cross_entropy`` and ``l2``."""
        classes, drawers = images.shape[1:3]
        embeddings = network.embed(images).flatten(1, 2)  # (alphabets, n, embedding_dim)
        n = classes * drawers
        i, j = torch.triu_indices(n, n, 1, device=images.device)
        pairs = network.score(embeddings.index_select(1, i), embeddings.index_select(1, j))
        scores = pairs.new_full((len(pairs), n, n), -torch.inf)  # -inf: an image with itself
        scores[:, i, j] = scores[:, j, i] = pairs
        labels = torch.arange(n, device=images.device) // drawers
        positive = (labels[:, None] == labels).fill_diagonal_(False)
        # Every anchor has drawers - 1 positives, so nothing has to be counted on the GPU.
        log_likelihood = scores.log_softmax(-1).masked_fill(~positive, 0.0).sum(-1) / (drawers - 1)
        return self.regularized(network, "cross_entropy", -log_likelihood.mean())


def _episode_scores(network: SiameseNetwork, images: Tensor) -> Tensor:
    """Scores of the classes by each two drawers of an alphabet.

    Returns ``(alphabets * drawers * (drawers - 1) / 2, classes, classes)``: rows are the classes by
    the first drawer, columns those by the second.
    """
    embeddings = network.embed(images)  # (alphabets, classes, drawers, embedding_dim)
    drawers = embeddings.shape[2]
    i, j = torch.triu_indices(drawers, drawers, 1, device=images.device)
    query = embeddings.index_select(2, i).transpose(1, 2)  # (alphabets, pairs, classes, dim)
    support = embeddings.index_select(2, j).transpose(1, 2)
    return network.score(query[..., None, :], support[..., None, :, :]).flatten(0, 1)


def l2_penalty(network: SiameseNetwork, l2: LayerSetting) -> Tensor:
    """``Σ_layers λ ‖w‖²`` of convolution and linear weights, not biases (section 3.2)."""
    terms = []
    layers = network.named_layers
    for name, strength in per_layer("l2", l2, layers).items():
        if strength == 0:
            continue
        for module in layers[name].modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                terms.append(strength * _SquaredNorm.apply(module.weight))
    if terms:
        return torch.stack(terms).sum()
    return torch.zeros((), device=next(network.parameters()).device)  # made there: no waiting


class _SquaredNorm(torch.autograd.Function):
    """``‖w‖²`` with one pass over the weights, forward and backward.

    ``w.square().sum()`` and its gradient take eight passes: a tenth of a training step of the
    paper's network on a CPU, whose dense layer has 38 million weights.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        # Norms of rows first: one running sum over all weights would lose digits.
        return torch.linalg.vector_norm(weight.flatten(1), dim=1).square().sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return weight * (2 * gradient)
