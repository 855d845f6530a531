"""Data as public implementations load them: files opened and pictures turned one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from siamese_oneshot.data.drawings import Drawings


class PlainPairs(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """What a public implementation does for every pair: two files opened, two pictures turned.

    Args:
        files: by class.
        length: pairs in an epoch.
    """

    def __init__(self, files: list[list[Path]], length: int) -> None:
        self.files, self.length = files, length
        self.chance = np.random.default_rng(0)

    def __len__(self) -> int:
        """The number of pairs."""
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """A same pair where ``index`` is odd, else a different one."""
        one, other = self.chance.choice(len(self.files), 2, replace=False)
        if index % 2:
            first, second = self.chance.choice(len(self.files[one]), 2, replace=False)
            pair = self.files[one][first], self.files[one][second]
        else:
            pair = (self.chance.choice(self.files[one]), self.chance.choice(self.files[other]))
        return self._picture(pair[0]), self._picture(pair[1]), torch.tensor(float(index % 2))

    def _picture(self, path: Path) -> Tensor:
        angle, *shear = self.chance.uniform([-10, -0.3, -0.3], [10, 0.3, 0.3])
        with Image.open(path) as image:
            grey = image.convert("L").rotate(angle, fillcolor=255)
        middle = grey.width / 2
        matrix = (1, shear[0], -middle * shear[0], shear[1], 1, -middle * shear[1])
        warped = grey.transform(grey.size, Image.Transform.AFFINE, matrix, fillcolor=255)
        return 1 - torch.from_numpy(np.array(warped))[None].float() / 255


def write_pngs(drawings: Drawings, folder: Path, classes: int) -> list[list[Path]]:
    """The pictures of the first classes as one-bit PNG files, by class."""
    files: list[list[Path]] = [[] for _ in range(classes)]
    for position in (drawings.classes < classes).nonzero().flatten().tolist():
        of = files[int(drawings.classes[position])]
        path = folder / f"{position}.png"
        Image.fromarray(255 - drawings.pixels[position].numpy()).convert("1").save(path)
        of.append(path)
    return files
