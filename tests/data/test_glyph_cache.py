"""Generated alphabets from the cache are those that would be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from siamese_oneshot.data.synthetic.disk_cache import load_alphabets

from siamese_oneshot.data import synthetic, synthetic_cache
from siamese_oneshot.data.synthetic.generator import draw_alphabets
from siamese_oneshot.utils.errors import UserError

NUMBERS = 3, (2, 4), 2, 5


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Every set is worth a file; how often one was drawn."""
    calls: list[tuple[object, ...]] = []

    def draw(*args: object, **more: object) -> object:
        calls.append(args)
        return draw_alphabets(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(synthetic_cache, "WORTH_A_FILE", 1)
    monkeypatch.setattr(synthetic, "draw_alphabets", draw)
    return calls


@pytest.mark.parametrize("first", [0, 7])
def test_drawn_once_and_found_again_as_it_was(
    drawn: list[tuple[object, ...]], tmp_path: Path, first: int
) -> None:
    alphabets, characters, drawers, seed = NUMBERS
    true = draw_alphabets(alphabets, characters, drawers, 105, seed, first)
    for _ in range(3):
        found = load_alphabets(*NUMBERS, first=first, cache_dir=tmp_path)
        assert torch.equal(found.pixels, true.pixels)
        assert torch.equal(found.drawers, true.drawers)
        assert found.class_names == true.class_names
        assert torch.equal(found.class_alphabets, true.class_alphabets)
        assert found.source == "synthetic"
    assert len(drawn) == 1
    found.pixels[0] = 7  # it is one's own, not the cache's
    again = load_alphabets(*NUMBERS, first=first, cache_dir=tmp_path)
    assert torch.equal(again.pixels, true.pixels)


@pytest.mark.parametrize(
    "other", [(4, (2, 4), 2, 5), (3, (2, 5), 2, 5), (3, (2, 4), 3, 5), (3, (2, 4), 2, 6)]
)
def test_other_numbers_are_other_dataset(
    drawn: list[tuple[object, ...]], tmp_path: Path, other: tuple[int, tuple[int, int], int, int]
) -> None:
    one = load_alphabets(*NUMBERS, cache_dir=tmp_path)
    assert load_alphabets(*other, cache_dir=tmp_path).digest != one.digest
    assert load_alphabets(*NUMBERS, first=1, cache_dir=tmp_path).digest != one.digest
    assert len(drawn) == 3


def test_a_changed_generator_draws_anew(
    drawn: list[tuple[object, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_alphabets(*NUMBERS, cache_dir=tmp_path)
    monkeypatch.setattr(synthetic_cache, "_generator", lambda: "another")
    load_alphabets(*NUMBERS, cache_dir=tmp_path)
    assert len(drawn) == 2


def test_a_damaged_file_is_made_anew(
    drawn: list[tuple[object, ...]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    true = load_alphabets(*NUMBERS, cache_dir=tmp_path)
    (path,) = tmp_path.glob("*.bits")
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    assert torch.equal(load_alphabets(*NUMBERS, cache_dir=tmp_path).pixels, true.pixels)
    assert "is not used" in caplog.text
    assert len(drawn) == 2


def test_few_dataset_leave_no_file(tmp_path: Path) -> None:
    load_alphabets(*NUMBERS, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_numbers_are_refused_with_their_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.generated\.drawers=0"):
        load_alphabets(3, (2, 4), 0, 5, where="data.extra_synthetic", cache_dir=tmp_path)
