"""Where images come from, and what is said when they are not what was asked for."""

import logging
from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw

from siamese_oneshot.data import source
from siamese_oneshot.data.omniglot import OmniglotUnavailable
from siamese_oneshot.data.sources import SyntheticConfig, load_source, mix_in_synthetic
from siamese_oneshot.utils.errors import UserError

FEW = SyntheticConfig(n_alphabets=3, n_characters=(2, 4), n_drawers=2, seed=5)


@pytest.fixture
def nothing_there(monkeypatch):
    def load_omniglot(root, download):
        raise OmniglotUnavailable(f"looked in {root}, download={download}")

    monkeypatch.setattr(source, "load_omniglot", load_omniglot)


def test_omniglot_comes_with_its_runs_resized_and_without_a_warning(dataset, monkeypatch):
    runs, asked = object(), []

    def load_omniglot(root, download):
        asked.append((root, download))
        return SimpleNamespace(dataset=dataset, runs=runs)

    monkeypatch.setattr(source, "load_omniglot", load_omniglot)
    loaded = load_source("omniglot", 8, FEW, root="here", download=False, on_missing="synthetic")
    assert asked == [("here", False)]
    assert loaded.runs is runs
    assert loaded.warnings == ()
    assert torch.equal(loaded.dataset.pixels, dataset.resized(8).pixels)


def test_synthetic_as_asked_for():
    loaded = load_source("synthetic", 35, FEW)
    assert loaded.runs is None
    assert loaded.dataset.pixels.shape[1:] == (35, 35)
    assert loaded.dataset.source == "synthetic"
    assert len(loaded.dataset.alphabet_names) == 3
    characters = torch.bincount(loaded.dataset.class_alphabets)
    assert 2 <= characters.min() <= characters.max() <= 4
    assert loaded.dataset.drawers.unique().tolist() == [0, 1]
    (warning,) = loaded.warnings
    assert "not Omniglot" in warning
    assert load_source("synthetic", 35, FEW).dataset.digest == loaded.dataset.digest
    other = load_source("synthetic", 35, SyntheticConfig(3, (2, 4), 2, seed=6))
    assert other.dataset.digest != loaded.dataset.digest


@pytest.mark.usefixtures("nothing_there")
def test_the_fallback_is_loud(caplog):
    with caplog.at_level(logging.WARNING):
        loaded = load_source("omniglot", 35, FEW, root="here", on_missing="synthetic")
    assert loaded.dataset.source == "synthetic"
    assert loaded.runs is None
    (warning,) = loaded.warnings
    assert "OMNIGLOT COULD NOT BE HAD" in warning
    assert warning in caplog.messages
    assert "looked in here, download=True" in caplog.messages
    assert loaded.dataset.digest == load_source("synthetic", 35, FEW).dataset.digest


@pytest.mark.usefixtures("nothing_there")
def test_without_a_fallback_it_stops():
    with pytest.raises(OmniglotUnavailable, match="looked in None, download=False"):
        load_source("omniglot", 35, FEW, download=False)


def test_other_failures_are_no_reason_to_fall_back(monkeypatch):
    def load_omniglot(root, download):
        raise UserError("damaged")

    monkeypatch.setattr(source, "load_omniglot", load_omniglot)
    with pytest.raises(UserError, match="damaged"):
        load_source("omniglot", 35, FEW, on_missing="synthetic")


def test_unknown_names_are_errors():
    with pytest.raises(UserError, match=r"data.source=omnigolt is unknown.* omniglot, glyphs"):
        load_source("omnigolt", 35, FEW)
    with pytest.raises(UserError, match=r"data.on_missing=mnist is unknown"):
        load_source("synthetic", 35, FEW, on_missing="mnist")


def test_a_folder_may_be_called_by_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data\.root=2024: "):
        load_source("omniglot", 35, FEW, root=2024)


def test_a_folder_of_ones_own(tmp_path):
    for name in ("a/x", "a/y", "b/z"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            ink = Image.new("L", (40, 40), 255)
            ImageDraw.Draw(ink).line([5, 5, 30, 10 + 9 * number], fill=0, width=3)
            ink.save(tmp_path / name / f"{number}.png")
    for number in range(5):
        (tmp_path / "a" / "y" / f"notes{number}.txt").write_text("no image")
    loaded = load_source("folder", 52, FEW, root=tmp_path)
    assert loaded.dataset.class_names == ("a/x", "a/y", "b/z")
    assert loaded.dataset.pixels.shape == (6, 52, 52)
    assert loaded.runs is None
    assert "not Omniglot" in loaded.warnings[0]
    (told,) = loaded.warnings[1:]  # one, however many there are
    assert told.startswith(f"5 left out of {tmp_path}: a/y/notes0.txt: it is text")
    assert "notes2.txt" in told
    assert "notes3.txt" not in told
    assert told.endswith("; and 2 more")
    with pytest.raises(UserError, match=r"notes4\.txt"):
        load_source("folder", 52, FEW, root=tmp_path, on_error="stop")
    with pytest.raises(UserError, match=r"data\.root"):
        load_source("folder", 52, FEW)


def test_the_digest_is_of_the_dataset_in_their_own_size():
    digests = {load_source("synthetic", size, FEW).digest for size in (20, 52)}
    assert len(digests) == 1
    assert digests != {load_source("synthetic", 20, FEW).dataset.digest}


def test_generated_alphabets_are_mixed_in_and_are_not_those_of_the_fallback(dataset):
    both, indices = mix_in_synthetic(dataset, FEW)
    assert torch.equal(both.pixels[: len(dataset)], dataset.pixels)
    assert torch.equal(indices, torch.arange(len(dataset), len(both)))
    assert both.alphabet_names[-3:] == ("Generated_1000", "Generated_1001", "Generated_1002")
    own = load_source("synthetic", dataset.pixels.shape[-1], FEW).dataset
    again, _ = mix_in_synthetic(own, FEW)
    seen = {image.numpy().tobytes() for image in own.pixels}
    assert not any(image.numpy().tobytes() in seen for image in again.pixels[len(own) :])
    assert mix_in_synthetic(dataset, SyntheticConfig(n_alphabets=0)) == (dataset, None)
