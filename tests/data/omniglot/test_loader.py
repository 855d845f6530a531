"""The loader on a small look-alike of the files."""

import logging
import shutil
from pathlib import Path

import pytest
import torch

from siamese_oneshot.data.omniglot import OmniglotUnavailable, load_omniglot
from siamese_oneshot.utils.errors import ArgumentError

PARTS = ("images_background", "images_evaluation", "all_runs")


def test_names_classes_and_drawers(lookalike):
    found = load_omniglot(lookalike.folder)
    assert lookalike.matches(found)
    dataset = found.dataset
    assert dataset.source == "omniglot"
    assert dataset.alphabet_names == ("Dog", "Bee", "Cat")  # background first
    assert list(dataset.class_names) == lookalike.names
    assert dataset.classes.tolist() == [place // 20 for place in range(840)]
    assert dataset.drawers.tolist() == [place % 20 for place in range(840)]
    assert dataset.class_alphabets.tolist() == [0] * 2 + [1] * 20 + [2] * 20
    assert dataset.pixels.is_contiguous()


def test_every_layout_of_a_root(lookalike, tmp_path):
    zips = lookalike.zips(tmp_path / "zips")
    torchvision = tmp_path / "torchvision"
    shutil.copytree(lookalike.folder, torchvision / "omniglot-py")
    clone = tmp_path / "clone"
    lookalike.zips(clone / "python", PARTS[:2])
    lookalike.zips(clone / "python" / "one-shot-classification", PARTS[2:])
    bare = lookalike.zips(tmp_path / "bare", PARTS[:2])
    for run in (lookalike.folder / "all_runs").iterdir():
        shutil.copytree(run, bare / run.name)
    for number, root in enumerate((zips, torchvision, clone, bare)):
        assert lookalike.matches(load_omniglot(root, False, tmp_path / str(number))), root


@pytest.mark.parametrize("place", ["variable", "data", "shared", "cache"])
def test_every_place_is_looked_in(lookalike, tmp_path, monkeypatch, place):
    folders = {
        "variable": tmp_path / "anywhere",
        "data": Path("data/omniglot"),
        "shared": Path("../shared/omniglot"),
        "cache": tmp_path / "cache" / "omniglot",
    }
    if place == "variable":
        monkeypatch.setenv("OMNIGLOT_ROOT", str(folders[place]))
    lookalike.zips(folders[place])
    assert lookalike.matches(load_omniglot(download=False))


def test_a_warm_start_needs_no_files_and_equals_the_cold_one(lookalike, tmp_path, monkeypatch):
    zips = lookalike.zips(Path("data/omniglot"))
    cold = load_omniglot(download=False)
    shutil.rmtree(zips)
    warm = load_omniglot(download=False)
    assert lookalike.matches(warm)
    assert torch.equal(warm.dataset.pixels, cold.dataset.pixels)
    with pytest.raises(OmniglotUnavailable):  # it did come from the cache
        load_omniglot(download=False, cache_dir=tmp_path / "another")


def test_a_damaged_cache_is_mended_from_the_files(lookalike, tmp_path):
    load_omniglot(lookalike.folder)
    (path,) = (tmp_path / "cache").glob("*.bits")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    assert lookalike.matches(load_omniglot(lookalike.folder))
    assert path.read_bytes() != data


def test_a_given_root_without_images_is_an_error_though_others_would_do(lookalike, tmp_path):
    lookalike.zips(Path("data/omniglot"))
    load_omniglot(download=False)  # even a valid cache is there
    (tmp_path / "empty").mkdir()
    for root, reason in (("empty", "it has no images_background.zip"), ("gone", "no such folder")):
        with pytest.raises(ArgumentError, match=reason) as caught:
            load_omniglot(tmp_path / root)
        assert str(caught.value).startswith(f"root={tmp_path / root}: ")


def test_a_damaged_file_is_passed_over_for_a_whole_one(lookalike, caplog):
    bad = lookalike.zips(Path("data/omniglot"))
    (bad / "images_evaluation.zip").write_text("<html>not found</html>")
    lookalike.zips(Path("../shared/omniglot"))
    with caplog.at_level(logging.WARNING):
        found = load_omniglot(download=False)
    assert lookalike.matches(found)
    assert "images_evaluation.zip is not used: it is not a zip file" in caplog.text
