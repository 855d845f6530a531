"""How well generated drawings pass for real ones: python tests/real_or_generated.py [STYLE]

A small CNN is trained to tell drawings of 27 background alphabets from those of generated
alphabets, at the files' resolution. Prints its balanced accuracy and AUROC on the three validation
alphabets (whose strokes ``recombined`` then leaves out) and on generated alphabets that it has not
seen, mean and range of three seeds; 50 is perfect. With ``--sheet FILE.png``: a page of
generated (left) and real (right) characters, a row of drawers each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from siamese_oneshot.data.omniglot import BACKGROUND, load_omniglot
from siamese_oneshot.data.recombined import ALPHABETS
from siamese_oneshot.data.splits import VAL_ALPHABETS
from siamese_oneshot.data.synthetic import SyntheticConfig, draw_alphabets

N_TRAIN, N_TEST = 3_000, 1_200  # of each kind
EPOCHS, BATCH = 4, 64


def real_drawings(names: list[str], count: int) -> Tensor:
    """Evenly over the drawings of these alphabets: uint8 ``(count, 105, 105)``."""
    dataset = load_omniglot(download=False).dataset
    indices = dataset.indices(names)
    return dataset.pixels[indices[torch.linspace(0, len(indices) - 1, count).long()]]


def generated_drawings(style: dict[str, Any], count: int, seed: int) -> Tensor:
    """Of about 100 generated alphabets."""
    config = SyntheticConfig(100, (10, 20), -(-count // 1_000), seed, **style)
    pixels = draw_alphabets(config).pixels
    return pixels[torch.linspace(0, len(pixels) - 1, count).long()]


def network() -> nn.Module:
    layers: list[nn.Module] = [nn.MaxPool2d(1)]
    for before, after, stride in ((1, 12, 2), (12, 24, 2), (24, 48, 2), (48, 64, 2)):
        size = 5 if before == 1 else 3
        conv = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(256, 1))


def success(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int) -> Tensor:
    """Balanced accuracy and AUROC of a classifier, both from 0 to 1."""
    torch.manual_seed(seed)
    images, labels = join(*train)
    model = network()
    steps = EPOCHS * len(images) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        logits = model(images[rows].float() / 255)[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    images, labels = join(*test)
    with torch.no_grad():
        logits = torch.cat([model.eval()(part.float() / 255)[:, 0] for part in images.split(500)])
    right = (logits > 0) == (labels == 1)
    balanced = (right[labels == 1].float().mean() + right[labels == 0].float().mean()) / 2
    return torch.stack([balanced, binary_auroc(logits, labels)])


def join(generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    labels = torch.cat([torch.ones(len(generated)), torch.zeros(len(real))]).long()
    return torch.cat([generated, real])[:, None], labels


def sheet(style: dict[str, Any], path: Path, rows: int = 4, drawers: int = 7) -> None:
    """Characters of four generated alphabets beside those of four real ones."""
    made = draw_alphabets(SyntheticConfig(4, (rows, rows), drawers, 4_321, **style)).pixels
    dataset = load_omniglot(download=False).dataset
    names = (*VAL_ALPHABETS, "Futurama")
    first = torch.cat([dataset.indices([name])[: 20 * rows : 20] for name in names])
    real = dataset.pixels[first[:, None] + torch.arange(drawers)]
    both = torch.cat([made.view(4 * rows, drawers, 105, 105), real], 1)
    page = 255 - both.permute(0, 2, 1, 3).reshape(4 * rows * 105, -1)
    Image.fromarray(page.numpy()).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("style", nargs="?", help="of the generator")
    parser.add_argument("--sheet", type=Path, help="draw a page instead")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    style: dict[str, Any] = {"style": options.style} if options.style else {}
    if options.style == "recombined":  # no strokes of the three
        seen = tuple(name for name in ALPHABETS if name not in VAL_ALPHABETS)
        style["stroke_alphabets"] = seen
    if options.sheet:
        return sheet(style, options.sheet)
    others = [name for name in BACKGROUND if name not in VAL_ALPHABETS]
    train = generated_drawings(style, N_TRAIN, 1), real_drawings(others, N_TRAIN)
    test = generated_drawings(style, N_TEST, 2), real_drawings(list(VAL_ALPHABETS), N_TEST)
    found = torch.stack([success(train, test, seed) for seed in range(options.seeds)]) * 100
    for name, values in zip(("balanced accuracy", "AUROC"), found.T, strict=True):
        print(f"{name} {values.mean():.1f} ({values.min():.1f}-{values.max():.1f})")
    return None


if __name__ == "__main__":
    main()
