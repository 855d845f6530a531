"""What is minimised: the paper's regularised cross-entropy of pairs, or a batch's own episodes.

Images are repeated by ``index_select``: the gradients of ``x[index]`` add up in any order on
several threads, so that two runs of one seed would differ.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from siamese_oneshot.models.l2 import l2_penalty
from siamese_oneshot.models.per_layer import LayerSetting, check_layerwise
from siamese_oneshot.models.siamese import SiameseNetwork
from siamese_oneshot.utils import check


class _RegularizedLoss:
    """What all objectives have: one L2 weight a layer.

    Args:
        l2: λ of each layer, a number or a mapping.
    """

    def __init__(self, l2: LayerSetting = 0.0) -> None:
        check_layerwise(l2, "loss.l2")
        self.l2 = l2

    def regularized(self, network: SiameseNetwork, name: str, loss: Tensor) -> dict[str, Tensor]:
        """A loss and the penalty of the weights: their sum, and each."""
        penalty = l2_penalty(network, self.l2)
        return {"loss": loss + penalty, name: loss, "l2": penalty}


class PairBCELoss(_RegularizedLoss):
    """Cross-entropy of same/different plus one L2 weight a layer (paper, section 3.2).

    Args:
        l2: λ of each layer, a number or a mapping.
    """

    sampler_kind = "pairs"  # what it is trained on

    def __call__(
        self, network: SiameseNetwork, first: Tensor, second: Tensor, same: Tensor
    ) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: the twins.
            first, second: images ``(n, 1, size, size)``.
            same: ``(n,)``: 1 same, 0 different.

        Returns:
            ``loss`` = ``cross_entropy`` + ``l2``; scalars.
        """
        entropy = F.binary_cross_entropy_with_logits(network(first, second), same)
        return self.regularized(network, "cross_entropy", entropy)


class AllPairsBCELoss(_RegularizedLoss):
    """The paper's cross-entropy over every pair that a batch of alphabets holds.

    Each image goes through the encoder once and is compared with all others, where a batch of
    independent pairs embeds two images a pair. Same and different pairs weigh half each, as in
    the paper's sampler.

    Args:
        l2: λ of each layer, a number or a mapping.
    """

    sampler_kind = "episode"  # what it is trained on

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: the twins.
            images: ``(alphabets, characters, drawers, 1, size, size)``.

        Returns:
            ``loss`` = ``cross_entropy`` + ``l2``; scalars.
        """
        alphabets, characters, drawers = images.shape[:3]
        embeddings = network.embed(images).flatten(0, 2)  # (n, units)
        one, other = torch.triu_indices(len(embeddings), len(embeddings), 1, device=images.device)
        same = one // drawers == other // drawers
        alike = alphabets * characters * drawers * (drawers - 1) // 2
        logits = network.score(embeddings.index_select(0, one), embeddings.index_select(0, other))
        losses = F.binary_cross_entropy_with_logits(logits, same.to(logits), reduction="none")
        # Taking the same pairs out by their mask would wait for a GPU to count them.
        weights = torch.where(same, 0.5 / alike, 0.5 / (len(one) - alike))
        entropy = (losses * weights).sum()
        return self.regularized(network, "cross_entropy", entropy)


class EpisodicCrossEntropyLoss(_RegularizedLoss):
    """Cross-entropy of every one-shot episode that a batch of alphabets holds.

    For each alphabet and each ordered two of its drawers, every character by the one is looked for
    among all characters by the other, and the softmax over the scores is the answer.

    Args:
        l2: λ of each layer, a number or a mapping.
        smoothing: share of the target that is spread over all characters.
    """

    sampler_kind = "episode"  # what it is trained on

    def __init__(self, l2: LayerSetting = 0.0, smoothing: float = 0.0) -> None:
        super().__init__(l2)
        self.smoothing = check.fraction("smoothing", smoothing)

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: the twins.
            images: ``(alphabets, characters, drawers, 1, size, size)``.

        Returns:
            ``loss`` = ``cross_entropy`` + ``l2``; scalars.
        """
        scores = _episodes(network, images)
        target = torch.arange(scores.shape[-1], device=scores.device).expand(scores.shape[:2])
        # Scores are symmetric, so the transpose asks for the first drawer's by the second's.
        there = F.cross_entropy(scores.transpose(1, 2), target, label_smoothing=self.smoothing)
        back = F.cross_entropy(scores, target, label_smoothing=self.smoothing)
        return self.regularized(network, "cross_entropy", 0.5 * (there + back))


class EpisodicHingeLoss(_RegularizedLoss):
    """The hinge of every one-shot episode that a batch of alphabets holds, with its hardest negative.

    An episode, as in ``EpisodicCrossEntropyLoss``, costs ``max(0, margin + wrong - right)``: by how much the
    highest score of a wrong character comes nearer to that of the right one than the margin.

    Args:
        margin: by how much the right character's score is to lead, logits; greater than 0.
        l2: λ of each layer, a number or a mapping.
    """

    sampler_kind = "episode"  # what it is trained on

    def __init__(self, margin: float = 1.0, l2: LayerSetting = 0.0) -> None:
        super().__init__(l2)
        self.margin = check.number("margin", margin, above=0)

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: the twins.
            images: ``(alphabets, characters, drawers, 1, size, size)``.

        Returns:
            ``loss`` = ``hinge`` + ``l2``; scalars.
        """
        scores = _episodes(network, images)
        right = scores.diagonal(dim1=1, dim2=2)
        itself = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
        wrong = scores.masked_fill(itself, -torch.inf)
        ways = [F.relu(self.margin + wrong.amax(axis) - right).mean() for axis in (1, 2)]
        return self.regularized(network, "hinge", 0.5 * (ways[0] + ways[1]))


class SupConLoss(_RegularizedLoss):
    """Supervised contrastive cross-entropy (Khosla et al. 2020) within a batch's alphabets.

    Every image is compared with all others of its alphabet, its own drawer's among them, and each
    of the same character by another drawer is to be found: the mean of their log-softmax. The
    similarity is the network's own score, whose scale is learned, in place of a cosine and a
    temperature.

    Args:
        l2: λ of each layer, a number or a mapping.
    """

    sampler_kind = "episode"  # what it is trained on

    def __call__(self, network: SiameseNetwork, images: Tensor) -> dict[str, Tensor]:
        """The loss and its parts.

        Args:
            network: the twins.
            images: ``(alphabets, characters, drawers, 1, size, size)``.

        Returns:
            ``loss`` = ``cross_entropy`` + ``l2``; scalars.
        """
        characters, drawers = images.shape[1:3]
        embeddings = network.embed(images).flatten(1, 2)  # (a, n, units)
        n = characters * drawers
        one, other = torch.triu_indices(n, n, 1, device=images.device)
        pairs = network.score(embeddings.index_select(1, one), embeddings.index_select(1, other))
        scores = pairs.new_full((len(pairs), n, n), -torch.inf)  # of an image with itself
        scores[:, one, other] = scores[:, other, one] = pairs
        character = torch.arange(n, device=images.device) // drawers
        same = (character[:, None] == character).fill_diagonal_(False)
        # Each image has so many of its character, the same number for all: no mask to be counted.
        found = scores.log_softmax(-1).masked_fill(~same, 0.0).sum(-1) / (drawers - 1)
        entropy = -found.mean()
        return self.regularized(network, "cross_entropy", entropy)


def _episodes(network: SiameseNetwork, images: Tensor) -> Tensor:
    """Scores of each two drawers' characters: ``(a, c, d, 1, size, size)`` → ``(pairs, c, c)``.

    ``a * d * (d - 1) / 2`` pairs; rows are the first drawer's characters, columns the second's.
    """
    embeddings = network.embed(images)  # (a, c, d, units)
    drawers = embeddings.shape[2]
    one, other = torch.triu_indices(drawers, drawers, 1, device=images.device)
    query = embeddings.index_select(2, one).transpose(1, 2)  # (a, two of d, c, units)
    support = embeddings.index_select(2, other).transpose(1, 2)
    return network.score(query[..., None, :], support[..., None, :, :]).flatten(0, 1)
