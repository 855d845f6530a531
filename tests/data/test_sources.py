"""Where images come from, and what is said when they are not what was asked for."""

import logging
from dataclasses import replace

import pytest
import torch
from generated import made_up_templates
from PIL import Image, ImageDraw

from siamese_oneshot.data import recombined, sources
from siamese_oneshot.data.omniglot import LoadedData, OmniglotUnavailable
from siamese_oneshot.data.sources import load_source, mix_in_synthetic
from siamese_oneshot.data.synthetic import SyntheticConfig
from siamese_oneshot.utils.errors import ArgumentError, UserError

FEW = SyntheticConfig(n_alphabets=3, n_characters=(2, 4), n_drawers=2, seed=5)


@pytest.fixture
def nothing_there(monkeypatch):
    def load_omniglot(root, download):
        raise OmniglotUnavailable(f"looked in {root}, download={download}")

    monkeypatch.setattr(sources, "load_omniglot", load_omniglot)


def load(source, **settings):
    return load_source(source, **{"synthetic": FEW, **settings})


def test_omniglot_comes_with_its_runs_and_without_a_warning(dataset, monkeypatch):
    runs, calls = object(), []

    def load_omniglot(root, download):
        calls.append((root, download))
        return LoadedData(dataset, runs)

    monkeypatch.setattr(sources, "load_omniglot", load_omniglot)
    loaded = load("omniglot", root="here", download=False, on_missing="synthetic")
    assert calls == [("here", False)]
    assert loaded.dataset is dataset
    assert loaded.runs is runs
    assert loaded.warnings == ()


def test_synthetic():
    loaded = load("synthetic")
    assert loaded.runs is None
    assert loaded.dataset.source == "synthetic"
    assert len(loaded.dataset.alphabet_names) == 3
    characters = torch.bincount(loaded.dataset.class_alphabets)
    assert 2 <= characters.min() <= characters.max() <= 4
    assert loaded.dataset.drawers.unique().tolist() == [0, 1]
    (warning,) = loaded.warnings
    assert "not Omniglot" in warning
    other = load("synthetic", synthetic=SyntheticConfig(3, (2, 4), 2, 6))
    assert load("synthetic").dataset.digest == loaded.dataset.digest != other.dataset.digest


@pytest.mark.usefixtures("nothing_there")
def test_generated_alphabets_replace_omniglot_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        loaded = load("omniglot", root="here", on_missing="synthetic")
    assert loaded.dataset.source == "synthetic"
    assert loaded.runs is None
    (warning,) = loaded.warnings
    assert "OMNIGLOT IS NOT AVAILABLE" in warning
    assert warning in caplog.messages
    assert "looked in here, download=True" in caplog.messages
    assert loaded.dataset.digest == load("synthetic").dataset.digest


@pytest.mark.usefixtures("nothing_there")
def test_a_missing_omniglot_can_be_an_error():
    with pytest.raises(OmniglotUnavailable, match="looked in None, download=False"):
        load("omniglot", download=False)


def test_damaged_files_are_not_replaced(monkeypatch):
    def load_omniglot(root, download):
        raise UserError("damaged")

    monkeypatch.setattr(sources, "load_omniglot", load_omniglot)
    with pytest.raises(UserError, match="damaged"):
        load("omniglot", on_missing="synthetic")


def test_unknown_names_are_errors():
    with pytest.raises(ArgumentError, match=r"source=omnigolt: .* omniglot, synthetic, folder"):
        load("omnigolt")
    with pytest.raises(ArgumentError, match=r"on_missing=mnist: .* synthetic, null"):
        load("synthetic", on_missing="mnist")


def test_a_folder_may_be_named_by_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="root=2024: "):
        load("omniglot", root=2024)


def test_a_folder_of_images(tmp_path):
    for k, name in enumerate(("a/x", "a/y", "b/z")):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            image = Image.new("L", (40, 40), 255)
            ImageDraw.Draw(image).line([5, 5, 30, 10 + 9 * number + 4 * k], fill=0, width=3)
            image.save(tmp_path / name / f"{number}.png")
    for number in range(5):
        (tmp_path / "a" / "y" / f"notes{number}.txt").write_text("no image")
    loaded = load("folder", root=tmp_path)
    assert loaded.dataset.class_names == ("a/x", "a/y", "b/z")
    assert len(loaded.dataset) == 6
    assert loaded.runs is None
    assert "not Omniglot" in loaded.warnings[0]
    (skipped,) = loaded.warnings[1:]  # one warning, however many files
    assert skipped.startswith(f"5 skipped in {tmp_path}: a/y/notes0.txt: ")
    assert "notes2.txt" in skipped
    assert "notes3.txt" not in skipped
    assert skipped.endswith("; and 2 more")
    with pytest.raises(UserError, match=r"notes4\.txt"):
        load("folder", root=tmp_path, on_error="stop")
    with pytest.raises(ArgumentError, match="root=null: it must be the folder"):
        load("folder")


def test_a_dataset_a_function_or_a_target_is_a_source(dataset):
    named = replace(dataset, source="blobs")
    for source in (named, lambda: named):
        loaded = load(source)
        assert loaded.dataset is named
        assert loaded.warnings == (
            "images of blobs, not Omniglot: no score is comparable with a published one",
        )
    target = {"_target_": "blobs.make_dataset", "characters": [3, 2]}
    assert load(target).dataset.class_alphabets.tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(ArgumentError, match=r"source=int: .* CharacterDataset"):
        load(lambda: 3)


def test_generated_alphabets_are_appended_and_are_not_those_of_the_synthetic_source(dataset):
    both, indices, _ = mix_in_synthetic(dataset, FEW)
    assert torch.equal(both.pixels[: len(dataset)], dataset.pixels)
    assert torch.equal(indices, torch.arange(len(dataset), len(both)))
    assert both.alphabet_names[-3:] == ("Generated_1000", "Generated_1001", "Generated_1002")
    own = load("synthetic").dataset
    again, *_ = mix_in_synthetic(own, FEW)
    seen = {image.numpy().tobytes() for image in own.pixels}
    assert not any(image.numpy().tobytes() in seen for image in again.pixels[len(own) :])
    assert mix_in_synthetic(dataset, SyntheticConfig(n_alphabets=0)) == (dataset, None, ())


def test_a_repeated_drawing_is_not_mixed_in(dataset, monkeypatch):
    monkeypatch.setattr(recombined, "templates", made_up_templates)
    config = SyntheticConfig(1, (3, 3), 20, 0, "recombined", ("Latin", "Greek"))
    both, indices, strokes_of = mix_in_synthetic(dataset, config)
    assert strokes_of == ("Latin", "Greek")
    assert len(both) - len(dataset) == 60
    assert len(indices) == 57  # two of the twenty people write alike
    left_out = set(range(len(dataset), len(both))).difference(indices.tolist())
    assert len({int(both.drawers[k]) for k in left_out}) == 1  # the same person in all three
