"""What happens where something is missing: errors and downloads."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from siamese_oneshot.data.omniglot import OmniglotFaulty, OmniglotUnavailable, load_omniglot, loader
from siamese_oneshot.utils.errors import UserError

PARTS = ("images_background", "images_evaluation", "all_runs")


def test_what_is_missing_from_files_at_hand_is_an_error_not_an_absence(lookalike):
    folder = lookalike.zips(Path("data/omniglot"), PARTS[:2])
    with pytest.raises(OmniglotFaulty, match=r"no usable all_runs\.zip") as caught:
        load_omniglot()
    assert "./data/omniglot" in str(caught.value)
    assert "Name or service not known" in str(caught.value)
    with zipfile.ZipFile(folder / "all_runs.zip", "w") as archive:
        archive.writestr("run01/test/item01.png", b"")
    with pytest.raises(OmniglotFaulty, match=r"item01\.png is not an intact PNG"):
        load_omniglot(download=False)


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


def test_everything_is_downloaded_where_nothing_is(lookalike, tmp_path, monkeypatch):
    asked = serve(lookalike, monkeypatch, tmp_path / "server")
    assert lookalike.matches(load_omniglot())
    assert asked == [f"{part}.zip" for part in PARTS]
    assert sorted(file.name for file in (tmp_path / "cache" / "omniglot").iterdir()) == sorted(
        asked
    )
    load_omniglot()
    assert len(asked) == 3


def test_a_download_that_stops_midway_is_an_absence_and_is_taken_up_again(
    lookalike, tmp_path, monkeypatch
):
    serve(lookalike, monkeypatch, tmp_path / "server", PARTS[:1])
    with pytest.raises(OmniglotUnavailable, match=r"images_evaluation\.zip: HTTP Error 404"):
        load_omniglot()
    asked = serve(lookalike, monkeypatch, tmp_path / "server")
    assert lookalike.matches(load_omniglot())
    assert asked == ["images_evaluation.zip", "all_runs.zip"]


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
