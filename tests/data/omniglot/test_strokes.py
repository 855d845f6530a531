"""The reader of strokes: the real files, and what is said of missing and damaged ones."""

from __future__ import annotations

import hashlib
import itertools
import struct
import zipfile

import numpy as np
import pytest
from scipy.spatial import cKDTree

from siamese_oneshot.data.omniglot import (
    SMALL1,
    SMALL2,
    OmniglotFaulty,
    OmniglotUnavailable,
    load_strokes,
    strokes,
)


@pytest.fixture(scope="module")
def real():
    try:
        return load_strokes()
    except OmniglotUnavailable as problem:
        pytest.skip(f"the real strokes are not on this machine: {problem}")


@pytest.mark.omniglot
def test_real_counts(real, omniglot):
    dataset = omniglot.dataset
    drawn = {dataset.alphabet_names[k] for k in dataset.alphabets[list(real)].unique().tolist()}
    assert drawn == set(SMALL1) | set(SMALL2)
    assert list(real) == sorted(real)
    assert list(real) == dataset.indices(drawn).tolist()  # each drawing of these alphabets
    assert sum(map(len, real.values())) == 12_821
    assert sum(len(stroke) for drawing in real.values() for stroke in drawing) == 722_053
    some = next(iter(real.values()))
    assert {(stroke.dtype.name, stroke.ndim, stroke.shape[1]) for stroke in some} == {
        ("float32", 2, 3)
    }


@pytest.mark.omniglot
def test_one_real_drawing_by_hand(real, omniglot):
    """Greek/character01/0394_01.txt has one stroke of 104 points."""
    dataset = omniglot.dataset
    index = 20 * dataset.class_names.index("Greek/character01")
    (stroke,) = real[index]
    assert len(stroke) == 104
    np.testing.assert_allclose(stroke[0], [65.188679, 19.405622, 0], rtol=1e-6)
    np.testing.assert_allclose(stroke[-1], [76.188679, 54.405622, 1529], rtol=1e-6)


@pytest.mark.omniglot
def test_real_strokes_lie_on_their_ink(real, omniglot):
    """Docs: in 5 drawings more than a quarter of the points have no ink within 3 pixels."""
    away = beyond = 0
    for index, drawing in real.items():
        points = np.concatenate(drawing)[:, :2]
        beyond += not ((points > -0.5) & (points < 104.5)).all()
        ink = omniglot.dataset.pixels[index].nonzero().flip(1).numpy()  # x, y
        away += (cKDTree(ink).query(points)[0] > 3).mean() > 0.25
    assert (away, beyond) == (5, 38)


def _digest_by_hand():
    """Of the drawings below: the lengths of their two strokes, then their points."""
    digest = hashlib.sha256()
    for c, d in itertools.product(range(1, 18), range(1, 21)):
        points = [1.5, 2, 0, 3, 2.25, 20 * c + d, 4, 5, 900]
        digest.update(struct.pack("<2q9f", 2, 1, *points))
    return digest.hexdigest()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A set of one alphabet, Tagalog, whose drawings are alike but for the time."""
    monkeypatch.setattr(strokes, "SETS", {"strokes_small": ("Tagalog",)})
    monkeypatch.setattr(strokes, "DIGESTS", {"strokes_small": _digest_by_hand()})
    files = {
        f"strokes_small/Tagalog/character{c:02d}/0900_{d:02d}.txt":
            f"START\n1.5,-2,0\n3,-2.25,{20 * c + d}\nBREAK\n4,-5,900\nBREAK\n".encode()
        for c in range(1, 18) for d in range(1, 21)
    }  # fmt: skip

    def load(change):
        with zipfile.ZipFile(tmp_path / "strokes_small.zip", "w") as archive:
            for name, data in (files | {"__MACOSX/._0900_01.txt": b"junk"} | change).items():
                if data is not None:
                    archive.writestr(name, data)
        return load_strokes(tmp_path)

    return load


def test_strokes_are_found_by_the_index_of_their_image(small):
    drawings = small({})
    first = 20 * sum(
        count for name, count in strokes.OFFICIAL.background.characters.items() if name < "Tagalog"
    )
    assert list(drawings) == list(range(first, first + 340))
    for k, (line, dot) in enumerate(drawings.values()):
        assert line.tolist() == [[1.5, 2, 0], [3, 2.25, 21 + k]]
        assert dot.tolist() == [[4, 5, 900]]


NAME = "strokes_small/Tagalog/character03/0900_07.txt"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "missing: Tagalog/character03/07"),
        (b"", "0900_07.txt is no file of strokes"),
        (b"START\n", "cut off"),
        (b"START\n1,2,3\n", "cut off"),
        (b"START\nBREAK\n", "cut off"),
        (b"1,2,3\nBREAK\n", "no file of strokes"),
        (b"START\n1,2\nBREAK\n", "no file of strokes"),
        (b"START\n1,2,3\n1,2\nBREAK\n", "no file of strokes"),
        (b"START\n1,2,x\nBREAK\n", "0900_07.txt is no file of strokes: could not convert"),
        (b"START\n1,nan,2\nBREAK\n", "no file of strokes"),
        (b"START\n1,2,3\nBREAK\n", "the strokes are not those of Omniglot"),
        (b"START\n" + 20_000 * b"1,2,3\n" + b"BREAK\n", "0900_07.txt is larger than"),
    ],
)
def test_damaged_files_are_named(small, data, says):
    with pytest.raises(OmniglotFaulty, match=rf"not usable: .*strokes_small.zip: .*{says}"):
        small({NAME: data})


def test_missing_sets(tmp_path):
    with pytest.raises(OmniglotUnavailable, match=r"no usable strokes_background_small1") as error:
        load_strokes(tmp_path)
    searched, where, todo = str(error.value).splitlines()[1:]
    assert searched.startswith(f"  root ({tmp_path}): it has no strokes_background_small1.zip or ")
    assert where == "  it is not downloaded"
    assert todo == (
        "What to do: put strokes_background_small1.zip, strokes_background_small2.zip (from "
        "https://github.com/brendenlake/omniglot/tree/master/python) into ./data/omniglot, or give "
        "their folder as root or in OMNIGLOT_ROOT, or use generated alphabets that need no strokes "
        "(style=splines)."
    )
