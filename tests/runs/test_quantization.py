from __future__ import annotations

import torch

from siamese_oneshot.runs.checkpoint import dequantize, quantize


def weights() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    large = torch.randn(200, 1000, generator=rng)
    large[3] = 0.0
    large[5] *= 1e-4
    return {
        "large.weight": large,
        "small.weight": torch.randn(20, 10, generator=rng),
        "conv.weight": torch.randn(64, 64, 5, 5, generator=rng),
        "bias": torch.randn(200, generator=rng),
        "count": torch.tensor(7),
    }


def test_large_matrices_take_a_byte_a_number_and_come_back_within_half_a_step() -> None:
    before = weights()
    packed = rounded(before)
    assert packed["large.weight"].dtype == torch.int8
    assert {packed[name].dtype for name in ("small.weight", "conv.weight", "bias")} == {
        torch.float16
    }
    after = restored(packed)
    assert list(after) == list(before)
    off = (after["large.weight"] - before["large.weight"]).abs().amax(1)
    step = before["large.weight"].abs().amax(1) / 127
    assert (off <= 0.5001 * step + 1e-12).all()
    assert float(off.max()) > 0
    for name in ("small.weight", "conv.weight", "bias"):
        assert torch.equal(after[name], before[name].half().float())
    assert torch.equal(after["count"], before["count"])


def test_rounding_again_changes_nothing_more() -> None:
    once = restored(rounded(weights()))
    twice = restored(rounded(once))
    for name, value in once.items():
        torch.testing.assert_close(twice[name], value, rtol=1e-6, atol=1e-9)
