"""The loader on a small look-alike of the files: where it looks, what it downloads and refuses.

Damaged files are in ``tests/bad_omniglot.py``.
"""

import hashlib
import io
import logging
import shutil
import zipfile
from pathlib import Path

import pytest
from lookalike import DRAWERS, PARTS, png

from siamese_oneshot.data.omniglot import (
    OmniglotFaulty,
    OmniglotUnavailable,
    load_omniglot,
    loader,
)
from siamese_oneshot.utils.errors import ArgumentError, UserError


def test_names_classes_and_drawers(lookalike):
    found = load_omniglot(lookalike.folder)
    assert lookalike.matches(found)
    dataset = found.dataset
    assert dataset.source == "omniglot"
    assert dataset.alphabet_names == ("Dog", "Bee", "Cat")  # background first
    assert list(dataset.class_names) == lookalike.names
    indices = range(42 * DRAWERS)
    assert dataset.classes.tolist() == [index // DRAWERS for index in indices]
    assert dataset.drawers.tolist() == [index % DRAWERS for index in indices]
    assert dataset.class_alphabets.tolist() == [0] * 2 + [1] * 20 + [2] * 20
    assert dataset.pixels.is_contiguous()


@pytest.mark.parametrize("layout", ["zips", "torchvision", "clone", "bare runs", "other folders"])
def test_every_layout_of_a_root(lookalike, tmp_path, layout):
    root = tmp_path / layout
    if layout == "torchvision":
        shutil.copytree(lookalike.folder, root / "omniglot-py")
    elif layout == "clone":
        lookalike.zips(root / "python", PARTS[:2])
        lookalike.zips(root / "python" / "one-shot-classification", PARTS[2:])
    else:
        lookalike.zips(root)
    if layout == "bare runs":
        (root / "all_runs.zip").unlink()
        for run in (lookalike.folder / "all_runs").iterdir():
            shutil.copytree(run, root / run.name)
    if layout == "other folders":  # and hidden files, another order, another mode of PNG
        with zipfile.ZipFile(root / "images_background.zip") as archive:
            members = {name: archive.read(name) for name in reversed(archive.namelist())}
        first = "images_background/Dog/character01/0000_01.png"
        members[first] = png(lookalike.ink[0], "RGB")
        with zipfile.ZipFile(root / "images_background.zip", "w") as archive:
            archive.writestr("__MACOSX/Dog/character01/._0000_01.png", b"junk")
            archive.writestr("images_background/.DS_Store", b"junk")
            for name, data in members.items():
                archive.writestr(f"once/more/{name}", data)
    assert lookalike.matches(load_omniglot(root, download=False))


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


def test_a_warm_start_needs_no_files_and_a_damaged_cache_does(lookalike, tmp_path):
    zips = lookalike.zips(Path("data/omniglot"))
    load_omniglot(download=False)
    moved = zips.rename(tmp_path / "moved")
    assert lookalike.matches(load_omniglot(download=False))
    with pytest.raises(OmniglotUnavailable):  # it did come from the cache
        load_omniglot(download=False, cache_dir=tmp_path / "another")
    (path,) = (tmp_path / "cache").glob("*.bits")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(OmniglotUnavailable):
        load_omniglot(download=False)
    assert lookalike.matches(load_omniglot(moved))
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


def test_many_faults_are_counted_not_listed(lookalike, tmp_path):
    shutil.copytree(lookalike.folder, tmp_path / "root")
    for path in (tmp_path / "root" / "images_evaluation" / "Bee").glob("character0[1-5]/*"):
        path.write_bytes(b"")
    with pytest.raises(OmniglotFaulty, match="; and 12 more"):
        load_omniglot(tmp_path / "root", download=False)


def test_what_is_missing_from_files_at_hand_is_an_error_not_an_absence(lookalike):
    lookalike.zips(Path("data/omniglot"), PARTS[:2])
    with pytest.raises(OmniglotFaulty, match=r"no usable all_runs\.zip") as caught:
        load_omniglot()
    assert "./data/omniglot" in str(caught.value)
    assert "Name or service not known" in str(caught.value)


def test_unavailable_names_every_place_the_failure_and_what_to_do(lookalike, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNIGLOT_ROOT", str(tmp_path / "wrong"))
    with pytest.raises(OmniglotUnavailable) as caught:
        load_omniglot()
    assert isinstance(caught.value, UserError)
    message = str(caught.value)
    for part in (
        f"$OMNIGLOT_ROOT ({tmp_path / 'wrong'}): no such folder",
        f"./data/omniglot ({tmp_path / 'work' / 'data' / 'omniglot'}): no such folder",
        f"../shared/omniglot ({tmp_path / 'shared' / 'omniglot'}): no such folder",
        f"the user cache ({tmp_path / 'cache' / 'omniglot'}): no such folder",
        "images_background.zip: Name or service not known",
        "give their folder as root",
        "data=synthetic",
    ):
        assert part in message
    with pytest.raises(OmniglotUnavailable, match="downloading is disabled"):
        load_omniglot(download=False)


def serve(lookalike, monkeypatch, folder, parts=PARTS):
    """An official repository that has ``parts``; returns the list of addresses asked for."""
    asked = []
    zips = lookalike.zips(folder)
    for part in PARTS:
        digest = hashlib.md5((zips / f"{part}.zip").read_bytes()).hexdigest()
        monkeypatch.setitem(loader.MD5, part, digest)

    def opener(url):
        asked.append(Path(url).name)
        if Path(url).stem not in parts:
            raise OSError("HTTP Error 404: Not Found")
        answer = io.BytesIO((zips / Path(url).name).read_bytes())
        answer.headers = {}
        return answer

    monkeypatch.setattr(loader, "open_https", opener)
    return asked


def test_a_download_that_stops_midway_is_an_absence_and_is_taken_up_again(
    lookalike, tmp_path, monkeypatch
):
    serve(lookalike, monkeypatch, tmp_path / "server", PARTS[:1])
    with pytest.raises(OmniglotUnavailable, match=r"images_evaluation\.zip: HTTP Error 404"):
        load_omniglot()
    asked = serve(lookalike, monkeypatch, tmp_path / "server")
    assert lookalike.matches(load_omniglot())
    assert asked == ["images_evaluation.zip", "all_runs.zip"]
    downloads = sorted(file.name for file in (tmp_path / "cache" / "omniglot").iterdir())
    assert downloads == sorted(f"{part}.zip" for part in PARTS)


def test_only_the_runs_are_fetched_for_a_root_without_them(lookalike, tmp_path, monkeypatch):
    asked = serve(lookalike, monkeypatch, tmp_path / "server")
    root = lookalike.zips(tmp_path / "root", PARTS[:2])
    with pytest.raises(OmniglotFaulty, match=r"no usable all_runs\.zip"):
        load_omniglot(root, download=False)
    assert lookalike.matches(load_omniglot(root))
    assert asked == ["all_runs.zip"]
    assert sorted(file.name for file in root.iterdir()) == [f"{part}.zip" for part in PARTS[:2]]
    (root / "images_background.zip").write_bytes(b"damaged")
    with pytest.raises(OmniglotFaulty, match="images come from there only"):
        load_omniglot(root, cache_dir=tmp_path / "fresh")
    assert len(asked) == 1
