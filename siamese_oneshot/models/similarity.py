"""Similarities: two embeddings in, the logit of "same class" out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import ArgumentError

RowScore = Callable[[Tensor, Tensor], Tensor]

_LARGEST_EXPONENT = 80  # exp(-80), exp(80) and sums of many of them are within float32
_BLOCK = 2**18  # numbers of an intermediate result that stay in a CPU's cache


class WeightedL1(nn.Module):
    """Weighted L1 distance of the embeddings (Koch et al. 2015, section 3.1).

    ``logit = bias + Σ_j w_j |a_j - b_j|``. The paper's sigmoid is not part of it: the loss takes
    logits, and ``SiameseModule.predict_step`` returns probabilities.

    Args:
        embedding_dim: Size of the embeddings.
        weight_init: Initial value of every ``w_j`` where the network's initialization leaves it.
            Negative, so that a distance speaks against "same" from the first step.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``, in the dtype of the weights also under autocast, because bfloat16
          cannot add thousands of terms.
    """

    def __init__(self, embedding_dim: int, weight_init: float = -0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 1)
        nn.init.constant_(self.linear.weight, check.number("weight_init", weight_init))
        nn.init.zeros_(self.linear.bias)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            weight, bias = self.linear.weight, self.linear.bias
            first, second = first.to(weight.dtype), second.to(weight.dtype)
            if torch.compiler.is_compiling():
                return self.linear((first - second).abs()).squeeze(-1)
            a, b, shape = grid(first, second)
            distances: Tensor = _WeightedL1.apply(a, b, weight[0])
            return distances.reshape(shape) + bias[0]


def side_of_map(embedding_dim: int, global_dim: int, local_dim: int) -> int:
    """Locations along a side of the map of local descriptors that ends an embedding."""
    locations, rest = divmod(embedding_dim - global_dim, local_dim)
    size = math.isqrt(max(locations, 0))
    if rest or size < 1 or size**2 != locations:
        message = (
            f"embeddings of {embedding_dim} minus global_dim={global_dim} are not a square map "
            f"of descriptors of length {local_dim}: give the encoder a local_dim, and use its "
            "embedding_dim and local_dim here as global_dim and local_dim"
        )
        raise ArgumentError("local_dim", local_dim, message=message)
    return size


class CrossAttention(nn.Module):
    """``WeightedL1`` of the global embeddings plus cross-attention between local descriptors.

    Each spatial location attends over all locations of the other image (scaled dot product plus a
    relative-position bias); similarities are pooled with learned saliency. So a stroke that another
    drawer has moved is still matched. The score is the mean of both directions, hence symmetric.
    With ``channelwise_l1`` each descriptor is also compared with the descriptor that it attends to,
    by ``Σ_j w_j |a_j - b_j|``.

    Reference: scaled dot-product attention of Vaswani et al. 2017, section 3.2, between two images
    as in Doersch et al. 2020, "CrossTransformers".

    Args:
        embedding_dim: Size of the embeddings: ``global_dim + map_size² * local_dim``.
        global_dim: Size of the global embedding.
        local_dim: Length of a local descriptor.
        heads: Attention heads, each with ``local_dim / heads`` channels.
        weight_init: Initial weight of ``WeightedL1``.
        match_weight_init: Initial weight of the pooled similarities, shared among the heads.
        logit_scale_init: Initial scale of the dot products in the softmax.
        channelwise_l1: Whether to compare descriptors by channel, too. These weights start at 0.

    Shape:
        - first, second: ``(..., embedding_dim)``, broadcast against each other.
        - output: ``(...)``.
    """

    def __init__(
        self,
        embedding_dim: int,
        global_dim: int,
        local_dim: int,
        heads: int = 1,
        weight_init: float = -0.1,
        match_weight_init: float = 10.0,
        logit_scale_init: float = 10.0,
        channelwise_l1: bool = False,
    ) -> None:
        super().__init__()
        self.global_dim = check.integer("global_dim", global_dim, 1)
        self.local_dim = check.integer("local_dim", local_dim, 1)
        self.heads = check.integer("heads", heads, 1)
        self.map_size = size = side_of_map(embedding_dim, global_dim, local_dim)
        if local_dim % heads:
            message = f"{heads} heads cannot share descriptors of {local_dim} evenly"
            raise ArgumentError("heads", heads, message=message)
        head_dim = local_dim // heads
        self.linear = WeightedL1(self.global_dim, weight_init)
        start = check.number("match_weight_init", match_weight_init) / heads
        self.match_weight = nn.Parameter(torch.full((heads,), start))
        start = math.log(check.number("logit_scale_init", logit_scale_init, above=0))
        self.logit_scale = nn.Parameter(torch.full((heads,), start))
        self.saliency = nn.Parameter(torch.zeros(heads, head_dim))
        self.channel_weights: nn.Parameter | None = None
        if check.boolean("channelwise_l1", channelwise_l1):
            self.channel_weights = nn.Parameter(torch.zeros(heads, head_dim))
        self.position_bias = nn.Parameter(torch.empty(heads, 2 * size - 1, 2 * size - 1))
        self.relative_index: Tensor  # (s², s²), into the flattened offsets
        index = torch.empty(size**2, size**2, dtype=torch.int64)
        self.register_buffer("relative_index", index, persistent=False)
        if not index.is_meta:  # there arithmetic imports torch._dynamo, which takes seconds
            self._set_positions()

    @torch.no_grad()
    def _set_positions(self) -> None:
        """Number the offsets of two locations, and set their biases."""
        # The bias of each offset (down, across) starts at minus half its squared length.
        size = self.map_size
        offsets = torch.arange(1 - size, size, dtype=torch.float32).square()
        self.position_bias.copy_(-0.5 * (offsets[:, None] + offsets[None, :]))
        row, column = torch.arange(size**2) // size, torch.arange(size**2) % size
        down = row[:, None] - row[None, :] + size - 1
        across = column[:, None] - column[None, :] + size - 1
        self.relative_index.copy_(down * (2 * size - 1) + across)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare embeddings."""
        with torch.autocast(first.device.type, enabled=False):
            dtype = self.position_bias.dtype
            first, second = first.to(dtype), second.to(dtype)
            score = self.linear(first[..., : self.global_dim], second[..., : self.global_dim])
            a, b = self._descriptors(first), self._descriptors(second)
            on_cpu = first.is_cpu and not torch.compiler.is_compiling()
            if on_cpu and self.channel_weights is None and self._is_within_range(a, b):
                return score + self._matches(first, second)
            dots, logits = self._matched(a, b)
            forward = self._pooled(a, b, dots, logits.softmax(-1))
            backward = self._pooled(b, a, dots.mT, logits.softmax(-2).mT)
            return score + 0.5 * (forward + backward)

    @torch.no_grad()
    def _is_within_range(self, a: Tensor, b: Tensor) -> bool:
        """Whether `_Matches` can compare: exponentials of centered logits stay in float32."""
        if not a.numel() or not b.numel() or a.dtype == torch.float16:
            return False
        longest_a, longest_b = (torch.linalg.vector_norm(one, dim=-1).amax() for one in (a, b))
        largest = longest_a * longest_b  # dot product
        bias = self.position_bias.flatten(1)
        spread = 0.5 * (bias.amax(1) - bias.amin(1)) + self.logit_scale.exp() * largest
        spread += 2 * largest.clamp(min=1).log()  # gradients multiply exponentials by two dots
        return bool((spread < _LARGEST_EXPONENT).all())

    def _matches(self, first: Tensor, second: Tensor) -> Tensor:
        """The pooled similarities, mean of both directions, ``(...)``."""
        first, second, shape = grid(first, second)
        parts = [
            part.transpose(1, 2).contiguous()  # (k, heads, n, s², …)
            for local in (self._descriptors(first), self._descriptors(second))
            for part in (local, self._salient(local))
        ]
        a, saliency_a, b, saliency_b = parts
        scale, bias = self._scale_and_bias()
        if torch.is_grad_enabled():
            scores = _Matches.apply(a, b, saliency_a, saliency_b, scale, bias)
            return torch.einsum("khnm,h->knm", scores, self.match_weight).reshape(shape)
        (k, heads, n, s, _), m = a.shape, b.shape[2]
        half, scores = 0.5 * self.match_weight[:, None, None], a.new_empty(k, n, m)
        weight_a, weight_b, logits = half * saliency_a, half * saliency_b, _base_2(scale, bias)
        for i, j in _blocks(k, n, heads * s * m * s):
            one, other = (a[i, :, j], weight_a[i, :, j]), (b[i], weight_b[i])
            scores[i, j] = _compared(*one, *other, *logits)
        return scores.reshape(shape)

    @torch.no_grad()
    def row_scorer(self, table: Tensor) -> RowScore | None:
        """A faster `forward` for many comparisons of the rows of a table.

        The saliency of a row is computed once, and a block's rows are copied when it needs them.

        Args:
            table: Embeddings ``(rows, embedding_dim)``, which must not change.

        Returns:
            A function of int64 rows ``(k, n)`` and ``(k, m)``, of which each of n is compared with
            each of m: scores ``(k, n, m)``. None where `forward` must compare: on a GPU, with
            ``channelwise_l1``, where dot products are out of range, and where it is overridden.
        """
        own = type(self).forward is CrossAttention.forward and self.channel_weights is None
        if not own or not table.is_cpu:
            return None
        dtype, parts = self.position_bias.dtype, []
        for rows in table.split(256):
            descriptors = self._descriptors(rows.to(dtype))
            if not self._is_within_range(descriptors, descriptors):
                return None
            parts.append(0.5 * self.match_weight[:, None] * self._salient(descriptors))
        columns = table[:, : self.global_dim], table[:, self.global_dim :], torch.cat(parts)
        weight, offset = self.linear.linear.weight[0], self.linear.linear.bias
        logits = _base_2(*self._scale_and_bias())
        s, heads, d = self.map_size**2, self.heads, self.local_dim // self.heads

        def gathered(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            (k, n), flat = rows.shape, rows.flatten()
            whole, local, weights = (one.index_select(0, flat).to(dtype) for one in columns)
            by_head = local.view(k, n, s, heads, d).permute(0, 3, 1, 2, 4)
            weights = weights.view(k, n, heads, s).transpose(1, 2)
            return whole.view(k, n, self.global_dim), by_head, weights

        @torch.no_grad()
        def score(first: Tensor, second: Tensor) -> Tensor:
            (k, n), m = first.shape, second.shape[1]
            scores = table.new_empty(k, n, m, dtype=dtype)

            with torch.autocast("cpu", enabled=False):
                for i, j in _blocks(k, n, m * heads * s * s):
                    one, a, weight_a = gathered(first[i, j])
                    other, b, weight_b = gathered(second[i])
                    matches = _compared(a, weight_a, b, weight_b, *logits)
                    differences = torch.sub(one.unsqueeze(2), other.unsqueeze(1)).abs_()
                    distances = differences.flatten(0, 2).mv(weight).view(matches.shape)
                    scores[i, j] = matches.add_(distances).add_(offset)
            return scores

        return score

    def attention(self, first: Tensor, second: Tensor) -> Tensor:
        """Where the locations of ``first`` look in ``second``, averaged over heads.

        Args:
            first, second: Embeddings ``(..., embedding_dim)``, broadcast against each other.

        Returns:
            ``(..., s², s²)``, row by row: the attention of each location of ``first``, times the
            location's saliency; all of it sums to 1.
        """
        dtype = self.position_bias.dtype
        a, b = self._descriptors(first.to(dtype)), self._descriptors(second.to(dtype))
        _, logits = self._matched(a, b)
        return (self._salient(a)[..., None] * logits.softmax(-1)).mean(-3)

    def _matched(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Dot products of descriptors, logits of the attention: each ``(..., heads, s², s²)``."""
        dots = a @ b.mT
        bias = self._bias()
        return dots, self.logit_scale.exp()[:, None, None] * dots + bias

    def _scale_and_bias(self) -> tuple[Tensor, Tensor]:
        """Of the attention's logits, ``(heads,)`` and ``(heads, s², s²)``, as close to 0 as can be.

        So one exponential serves the softmax over either image: both divide it by its sums.
        """
        bias = self._bias()
        low, high = bias.detach().amin((1, 2), True), bias.detach().amax((1, 2), True)
        return self.logit_scale.exp(), bias - 0.5 * (low + high)

    def _salient(self, a: Tensor) -> Tensor:
        """Saliency of each location, ``(..., heads, s²)``, which sums to 1 over locations."""
        return torch.einsum("...hsd,hd->...hs", a, self.saliency).softmax(-1)

    def _bias(self) -> Tensor:
        """Position bias of each pair of locations, alike in both directions: (heads, s², s²)."""
        bias = 0.5 * (self.position_bias + self.position_bias.flip(1, 2))
        # index_select: the gradient of bias[:, index] would add up in any order on several threads.
        flat = bias.flatten(1).index_select(1, self.relative_index.flatten())
        return flat.unflatten(1, self.relative_index.shape)

    def _descriptors(self, embeddings: Tensor) -> Tensor:
        """Local descriptors of each head, ``(..., heads, s², head_dim)``."""
        shape = self.map_size**2, self.heads, self.local_dim // self.heads
        return embeddings[..., self.global_dim :].unflatten(-1, shape).transpose(-2, -3)

    def _pooled(self, a: Tensor, b: Tensor, dots: Tensor, attention: Tensor) -> Tensor:
        """Similarities of ``a`` to what it attends to in ``b``, pooled over locations and heads.

        Args:
            a: Descriptors ``(..., heads, s², head_dim)`` that attend.
            b: Descriptors that are attended to, of the same shape.
            dots: Dot products of ``a`` and ``b``, ``(..., heads, s², s²)``.
            attention: Attention weights, of the same shape; they sum to 1 over the last axis.

        Returns:
            Scores ``(...)``.
        """
        saliency = self._salient(a)
        score = (saliency * (attention * dots).sum(-1)).sum(-1) @ self.match_weight
        if self.channel_weights is None:
            return score
        distance = (a - attention @ b).abs() @ self.channel_weights[..., None]
        return score + (saliency * distance.squeeze(-1)).sum((-2, -1))


def grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, torch.Size]:
    """Arrange embeddings that are broadcast against each other so that none is copied.

    Returns:
        ``(k, n, dim)`` and ``(k, m, dim)``, of which each of n is compared with each of m, and the
        shape of the scores. Where nothing is broadcast, n and m are 1.
    """
    rank = max(first.ndim, second.ndim)
    first = first[(None,) * (rank - first.ndim)]
    second = second[(None,) * (rank - second.ndim)]
    end = rank - 1
    while end and first.shape[end - 1] == 1:
        end -= 1
    rows = end
    while rows and second.shape[rows - 1] == 1:
        rows -= 1
    # NumPy: torch.broadcast_shapes imports SymPy, which takes most of a second.
    shape = torch.Size(np.broadcast_shapes(first.shape[:-1], second.shape[:-1]))
    k, n, m = (math.prod(part) for part in (shape[:rows], shape[rows:end], shape[end:]))
    first = first.expand(*shape[:end], *first.shape[end:]).reshape(k, n, first.shape[-1])
    second = second.expand(*shape[:rows], *second.shape[rows:]).reshape(k, m, second.shape[-1])
    return first, second, shape


def _blocks(k: int, n: int, size: int, on_cpu: bool = True) -> Iterator[tuple[slice, slice]]:
    """Parts of ``(k, n)`` things of ``size`` numbers; a GPU takes all at once."""
    rows = max(1, _BLOCK // max(1, size)) if on_cpu else max(1, k * n)
    whole = max(1, rows // max(1, n))  # at least one of k, with some of its n
    some = n if rows >= n else math.ceil(n / math.ceil(n / rows))
    for i in range(0, k, whole):
        yield from ((slice(i, i + whole), slice(j, j + some)) for j in range(0, n, some or 1))


def _base_2(scale: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and bias of logits of powers of 2, which PyTorch computes faster than those of e."""
    scale, bias = (math.log2(math.e) * one for one in (scale, bias))
    return scale[:, None, None, None, None], bias[:, None, :, None]


def _compared(
    a: Tensor, weight_a: Tensor, b: Tensor, weight_b: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """The output of `_Matches` without gradients, weighted and added over heads, ``(k, n, m)``.

    Args:
        a, b: As those of `_Matches`.
        weight_a, weight_b: Saliencies, times half of each head's match weight.
        scale, bias: As of `_base_2`.
    """
    (k, heads, n, s, d), m = a.shape, b.shape[2]
    dots = torch.bmm(a.reshape(k * heads, n * s, d), b.reshape(k * heads, m * s, d).mT)
    dots = dots.view(k, heads, n, s, m, s)
    powers = torch.addcmul(bias, dots, scale).exp2_()
    sum_a, sum_b = powers.sum(-1), powers.sum(-3)  # (k, heads, n, s², m), (k, heads, n, m, s²)
    powers.mul_(dots)
    there = powers.sum(-1).div_(sum_a).mul_(weight_a.unsqueeze(-1))
    back = powers.sum(-3).div_(sum_b).mul_(weight_b.unsqueeze(2))
    return there.sum((1, 3)).add_(back.sum((1, 4)))


class _WeightedL1(torch.autograd.Function):
    """``Σ_j w_j |a_j - b_j|`` of a grid: ``(k, n, dim)``, ``(k, m, dim)`` to ``(k, n, m)``."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
        """Compare."""
        ctx.save_for_backward(first, second, weight)
        distances = first.new_empty(*first.shape[:2], second.shape[1])
        for i, j in _blocks(len(first), first.shape[1], math.prod(second.shape[1:]), first.is_cpu):
            distances[i, j] = (first[i, j, None] - second[i, None]).abs_() @ weight
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of all tensors."""
        first, second, weight = ctx.saved_tensors
        of_first, of_second = torch.empty_like(first), torch.zeros_like(second)
        of_weight = torch.zeros_like(weight)
        for i, j in _blocks(len(first), first.shape[1], math.prod(second.shape[1:]), first.is_cpu):
            difference, upstream = first[i, j, None] - second[i, None], gradient[i, j]
            of_weight += upstream.reshape(1, -1).mm(difference.abs().flatten(0, 2))[0]
            signs = difference.sign_().mul_(upstream[..., None])
            of_first[i, j] = signs.sum(2)
            of_second[i] -= signs.sum(1)
        return of_first * weight, of_second * weight, of_weight


class _Matches(torch.autograd.Function):
    """Mean similarity of matched locations of each pair of a grid, in both directions.

    As `_compared`, with gradients. The many numbers of a pair, one for each two locations, are
    computed in blocks that stay in the cache. A pair has one upstream gradient, so the derivatives
    of its score are computed with it and only scaled in the backward pass.

    Shape:
        - a, b: descriptors ``(k, heads, n, s², head_dim)`` and ``(k, heads, m, s², head_dim)``.
        - saliency_a, saliency_b: ``(k, heads, n, s²)`` and ``(k, heads, m, s²)``.
        - scale, bias: of the attention's logits, ``(heads,)`` and ``(heads, s², s²)``.
        - output: ``(k, heads, n, m)``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        saliency_a: Tensor,
        saliency_b: Tensor,
        scale: Tensor,
        bias: Tensor,
    ) -> Tensor:
        """Compare."""
        k, heads, n, s, _ = a.shape
        m = b.shape[2]
        scores = a.new_empty(k, heads, n, m)
        of_dots = a.new_empty(k, heads, n, s, m, s)  # derivatives of the score
        of_logits = torch.empty_like(of_dots)
        of_scale = torch.empty_like(scores)
        there, back = a.new_empty(k, heads, n, s, m), a.new_empty(k, heads, n, m, s)
        scale, bias = scale[:, None, None, None, None], bias[:, None, :, None]
        for i, j in _blocks(k, n, heads * s * m * s):
            x, y = a[i, :, j], b[i]
            dots = (x.flatten(2, 3) @ y.flatten(2, 3).mT).view(*x.shape[:4], m, s)
            weights = torch.addcmul(bias, dots, scale).exp_()
            sum_a, sum_b = weights.sum(-1), weights.sum(-3)  # (.., heads, n, s², m), (.., m, s²)
            products = weights * dots
            expected_a, expected_b = products.sum(-1) / sum_a, products.sum(-3) / sum_b
            share_a = 0.5 * saliency_a[i, :, j, :, None]
            share_b = 0.5 * saliency_b[i, :, None]
            scores[i, :, j] = (expected_a * share_a).sum(-2) + (expected_b * share_b).sum(-1)
            there[i, :, j], back[i, :, j] = expected_a, expected_b
            share_a, share_b = share_a / sum_a, share_b / sum_b
            by_logits, by_dots = of_logits[i, :, j], of_dots[i, :, j]
            torch.add(share_a[..., None], share_b[..., None, :, :], out=by_dots).mul_(weights)
            share_a, share_b = share_a * expected_a, share_b * expected_b
            torch.add(share_a[..., None], share_b[..., None, :, :], out=products).mul_(weights)
            torch.mul(by_dots, dots, out=by_logits).sub_(products)
            of_scale[i, :, j] = dots.mul_(by_logits).sum(-3).sum(-1)
            by_dots.addcmul_(by_logits, scale)
        ctx.save_for_backward(a, b, of_dots, of_logits, of_scale, there, back)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all tensors."""
        a, b, of_dots, of_logits, of_scale, there, back = ctx.saved_tensors
        k, heads, n, s, _ = a.shape
        m = b.shape[2]
        of_a, of_b, of_bias = torch.empty_like(a), torch.zeros_like(b), a.new_zeros(heads, s, m, s)
        with torch.autocast(a.device.type, enabled=False):
            for i, j in _blocks(k, n, heads * s * m * s):
                upstream = gradient[i, :, j, None, :, None]
                scaled = of_dots[i, :, j] * upstream
                flat = scaled.flatten(2, 3).flatten(3, 4)
                x, y = a[i, :, j], b[i]
                of_a[i, :, j] = (flat @ y.flatten(2, 3)).view(x.shape)
                of_b[i] += (flat.mT @ x.flatten(2, 3)).view(y.shape)
                of_bias += torch.mul(of_logits[i, :, j], upstream, out=scaled).sum((0, 2))
        half = 0.5 * gradient
        of_saliency_a = (there * half[:, :, :, None]).sum(-1)
        of_saliency_b = (back * half[..., None]).sum(2)
        of_scale = (gradient * of_scale).sum((0, 2, 3))
        return of_a, of_b, of_saliency_a, of_saliency_b, of_scale, of_bias.sum(-2)
