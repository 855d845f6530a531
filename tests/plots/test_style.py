"""Figures are laid out once when they are saved, as savefig would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from siamese_oneshot.plots.style import heading, new_figure, save, show_image


def figure() -> Figure:
    made = new_figure(5, 2)
    left, right = made.subfigures(1, 2, width_ratios=[1, 3])
    for number, axes in enumerate([left.subplots(), *right.subplots(1, 3)]):
        show_image(axes, torch.full((4, 4), 60 * number).byte())
        axes.set_title(f"score {number}")
    heading(made, "laid out around the images", 5)
    return made


@pytest.mark.parametrize("dpi", [60, 130])
def test_a_saved_figure_is_drawn_once_and_looks_like_savefig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dpi: int
) -> None:
    figure().savefig(tmp_path / "expected.png", dpi=dpi, facecolor="white")
    drawn, draw = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda *given: (drawn.append(1), draw(*given)))
    save(figure(), tmp_path / "saved.png", dpi)
    assert len(drawn) == 1
    expected, saved = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("expected", "saved"))
    assert np.array_equal(expected, saved)
