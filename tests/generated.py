"""What every style of generated alphabets is checked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.recombined import ALPHABETS, PEOPLE, Template
from siamese_oneshot.data.synthetic import SyntheticConfig, draw_alphabets


def made_up_templates(root: object = None) -> dict[str, list[Template]]:
    """In place of `templates`: arcs, so that no stroke file is needed; two people write alike."""
    rng, along = np.random.default_rng(0), np.linspace(0, 1, 192)

    def character() -> Template:
        strokes = int(rng.integers(1, 3))
        start, bend, end = (rng.uniform(15, 90, (strokes, 1, 2)) @ [1, 1j] for _ in range(3))
        lines = start * (1 - along) ** 2 + 2 * bend * along * (1 - along) + end * along**2
        hands = rng.normal(0, 3, (PEOPLE, 1, 2)) @ [1, 1j]
        hands[1] = hands[0]
        return lines + hands[..., None]

    return {name: [character() for _ in range(8)] for name in ALPHABETS}


def check_the_config_decides(config: SyntheticConfig, drawn: CharacterDataset, digest: str) -> None:
    """Equal settings draw equal images, however many alphabets; another seed does not."""
    assert drawn.digest == digest  # other images would make figures incomparable
    assert torch.equal(drawn.pixels, draw_alphabets(config).pixels)
    fewer = draw_alphabets(replace(config, n_alphabets=2))
    assert torch.equal(drawn.pixels[: len(fewer)], fewer.pixels)
    assert not torch.equal(draw_alphabets(replace(config, seed=4)).pixels[0], drawn.pixels[0])


def check_ink_and_size(pixels: torch.Tensor, width: float, height: float, within: float) -> None:
    """Bool ``(n, 105, 105)``: share of ink as Omniglot's, mean sides of the box in pixels."""
    share = pixels.float().mean((1, 2))  # Omniglot: 0.077 on average; 5 and 95%: 0.034, 0.125
    assert 0.065 < float(share.mean()) < 0.09
    assert 0.02 < float(share.quantile(0.05)) < float(share.quantile(0.95)) < 0.16
    for axis, mean in ((1, width), (2, height)):
        found = pixels.any(axis).sum(1).float()
        assert abs(float(found.mean()) - mean) < within
