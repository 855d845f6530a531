"""Characters from real strokes: where exchanged strokes go, whose they are, what they resemble."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import check_ink_and_size, check_the_config_decides

from siamese_oneshot.data import recombined
from siamese_oneshot.data.omniglot import OmniglotUnavailable, load_omniglot, load_strokes
from siamese_oneshot.data.omniglot.edition import OFFICIAL
from siamese_oneshot.data.sources import mix_in_synthetic
from siamese_oneshot.data.synthetic import SyntheticConfig, draw_alphabets, load_alphabets
from siamese_oneshot.utils.errors import ArgumentError

FEW = SyntheticConfig(3, (5, 7), 6, 3, "recombined")
N = recombined._POINTS
READ = recombined.templates


def line(start, end):
    """One person's straight stroke: complex ``(1, points)``."""
    return np.linspace(start, end, N)[None]


@pytest.fixture(scope="module")
def real():
    """The templates, read once for all tests of this file."""
    try:
        read = READ()
    except OmniglotUnavailable as problem:
        pytest.skip(f"the real strokes are not on this machine: {problem}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recombined, "templates", lambda root: read)
        yield read


@pytest.fixture(scope="module")
def drawn(real):
    return draw_alphabets(FEW)


def test_a_stroke_takes_the_ends_of_the_one_that_it_replaces():
    bent = np.concatenate([np.linspace(0, 20 + 20j, N // 2), np.linspace(20 + 20j, 40, N // 2)])[
        None
    ]
    placed = recombined.exchange(line(10 + 10j, 10 + 90j), bent)
    # A quarter turn would be needed: it keeps its direction, and only its length becomes the same.
    np.testing.assert_allclose(placed[0, [0, -1]], [-30 + 50j, 50 + 50j], atol=1e-9)
    placed = recombined.exchange(line(10 + 10j, 90 + 50j), bent)
    np.testing.assert_allclose(placed[0, [0, -1]], [10 + 10j, 90 + 50j], atol=1e-9)
    np.testing.assert_allclose(placed[0, N // 2], 10 + 10j + (20 + 20j) * (2 + 1j), atol=1e-9)


def test_a_ring_is_put_in_the_middle_and_made_as_large():
    ring = 5 * np.exp(1j * np.linspace(0, 2 * np.pi, N))[None]
    placed = recombined.exchange(line(40 + 30j, 54 + 44j), ring)  # a box of 14 pixels
    box = recombined._box(placed[:, None])
    np.testing.assert_allclose(box[0], 40 + 30j, atol=0.01)
    np.testing.assert_allclose(box[1], 54 + 44j, atol=0.01)


def test_a_stroke_is_joined_by_either_end():
    host, new = line(0, 100), line(5 + 5j, 5 + 25j)
    begins = recombined.join(host, new, 1.0, False)
    np.testing.assert_allclose(begins[0, [0, -1]], [100, 100 + 20j])
    ends = recombined.join(host, new, 0.0, True)
    np.testing.assert_allclose(ends[0, [0, -1]], [-20j, 0], atol=1e-12)


def test_a_stroke_keeps_its_place_within_its_character():
    whole = np.stack([line(0, 40), line(40, 40 + 40j)], 1)  # a box of 40 pixels
    host = np.stack([line(20 + 20j, 80 + 80j)], 1)  # one of 60
    placed = recombined.same_place(host, whole[:, 1], whole)
    np.testing.assert_allclose(placed[0, [0, -1]], [80 + 20j, 80 + 80j])


def test_a_stroke_goes_on_as_another_one_does():
    cut = round(0.5 * (N - 1))
    made = recombined.continue_as(line(0, N - 1), line(7j, 7j + (N - 1) * 1j), 0.5)
    np.testing.assert_allclose(made[0, : cut + 1], np.arange(cut + 1))
    np.testing.assert_allclose(made[0, -1], cut + (N - 1 - cut) * 1j)


@pytest.mark.omniglot
def test_templates_are_the_strokes_of_the_files_in_one_order(real):
    assert {name: len(characters) for name, characters in real.items()} == {
        "Balinese": 24, "Early_Aramaic": 22, "Greek": 24, "Japanese_(katakana)": 47,
        "Korean": 40, "Latin": 26, "Sanskrit": 42, "Tagalog": 17,
    }  # fmt: skip
    dataset, strokes = load_omniglot(download=False).dataset, load_strokes()
    first = 20 * dataset.class_names.index("Greek/character01")
    own = 0
    for person, mine in enumerate(real["Greek"][0]):
        files = strokes[first + person]
        ends = {complex(*stroke[k, :2]) for stroke in files for k in (0, -1)}
        own += {end for stroke in mine for end in stroke[[0, -1]]} == ends
    assert own >= 15  # the others wrote other strokes, and someone else's are taken
    for character in real["Latin"]:  # the same stroke of everyone lies at about one place
        middle = character.mean(-1)
        assert np.abs(middle - np.median(middle, 0)).max() < 45


@pytest.mark.omniglot
def test_one_drawing_is_by_one_person(real):
    as_the_next = [*range(5), 6, *range(6, 20)]  # person 5 writes as person 6 does
    script = recombined.Recombiner(
        np.random.default_rng(0), [[c[as_the_next] for c in real["Latin"]]]
    )
    for _ in range(20):
        lines = script.character()  # (strokes, people, points)
        np.testing.assert_array_equal(lines[:, 5], lines[:, 6])
        assert len(np.unique(lines[0, :, 0])) > 8


@pytest.mark.omniglot
def test_most_characters_are_new(real, monkeypatch):
    kept = []

    def see(self, lines, base):
        kept.append(np.array_equal(lines, base.swapaxes(0, 1)))
        return lines

    monkeypatch.setattr(recombined.Recombiner, "_set", see)
    for seed in range(40):
        script = recombined.Recombiner(np.random.default_rng(seed), list(real.values()))
        for _ in range(25):
            script.character()
    assert 0.1 < np.mean(kept) < 0.2


@pytest.mark.omniglot
def test_the_config_decides_and_the_number_of_alphabets_does_not(drawn):
    check_the_config_decides(FEW, drawn, "51a4d0728808624d")
    latin = draw_alphabets(replace(FEW, stroke_alphabets=("Latin",)))
    assert not torch.equal(latin.pixels[0], drawn.pixels[0])


@pytest.mark.omniglot
def test_no_drawing_is_a_real_one(drawn, real):
    dataset = load_omniglot(download=False).dataset
    pixels = dataset.pixels[dataset.indices(list(real))].flatten(1)
    seen = {image.numpy().tobytes() for image in pixels}
    assert not any(image.numpy().tobytes() in seen for image in drawn.pixels.flatten(1))


@pytest.mark.omniglot
def test_few_drawings_repeat_another(real):
    drawn = draw_alphabets(SyntheticConfig(20, (30, 30), 12, 1, "recombined"))
    kept = len(drawn.distinct(torch.arange(len(drawn))))
    assert len(drawn) / (len(drawn) - kept) == pytest.approx(14, abs=1)


@pytest.mark.omniglot
def test_statistics_are_near_those_of_omniglot(real):
    pixels = draw_alphabets(SyntheticConfig(12, (20, 20), 3, 1, "recombined")).pixels > 0
    check_ink_and_size(pixels, width=56, height=61, within=8)


@pytest.mark.omniglot
def test_strokes_of_alphabets_that_are_not_trained_on_are_not_used(tmp_path, real):
    dataset = load_omniglot(download=False).dataset.resized(28)
    config = SyntheticConfig(2, (3, 3), 2, 0, "recombined")
    extra, indices, strokes_of = mix_in_synthetic(dataset, config, ["Latin", "Bengali", "Greek"])
    assert strokes_of == ("Greek", "Latin")
    own = load_alphabets(replace(config, stroke_alphabets=("Greek", "Latin")), first=999)
    assert torch.equal(extra.pixels[indices], own.resized(28).pixels)
    with pytest.raises(ArgumentError, match="Korean: not trained on"):
        mix_in_synthetic(dataset, replace(config, stroke_alphabets=("Latin", "Korean")), ["Latin"])
    with pytest.raises(ArgumentError, match=r"Balinese, .*: not trained on"):
        mix_in_synthetic(dataset, config, ["Bengali"])


def test_templates_are_not_kept(monkeypatch):
    rng, made = np.random.default_rng(0), []
    template = recombined._template

    def see(drawings):
        made.append(weakref.ref(one := template(drawings)))
        return one

    first = 20 * sum(n for name, n in OFFICIAL.background.characters.items() if name < "Tagalog")
    rows = range(first, first + 20 * 17)
    strokes = {row: [rng.uniform(10, 95, (5, 3))] for row in rows}
    monkeypatch.setattr(recombined, "templates", READ)
    monkeypatch.setattr(recombined, "load_strokes", lambda root: strokes)
    monkeypatch.setattr(recombined, "_template", see)
    draw_alphabets(replace(FEW, stroke_alphabets=("Tagalog",)))
    assert [one() for one in made] == [None] * 17


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_drawers": 21}, "n_drawers=21"),
        ({"stroke_alphabets": ("Bengali",)}, r"stroke_alphabets=Bengali: .*Balinese"),
        ({"stroke_alphabets": ()}, r"stroke_alphabets=\[\]"),
        ({"stroke_alphabets": "Latin"}, r"stroke_alphabets=Latin: .*a list of names, as in \["),
        ({"stroke_alphabets": 5}, r"stroke_alphabets=5: .*a list of names"),
        (
            {"style": "splines", "stroke_alphabets": ("Latin",)},
            "splines takes no strokes: set style=rec",
        ),
        (
            {"style": "parts", "stroke_alphabets": ("Latin",)},
            "parts takes no strokes: set style=recomb",
        ),
    ],
)
def test_what_the_files_do_not_have_is_refused(wrong, says):
    with pytest.raises(ArgumentError, match=says):
        replace(FEW, **wrong)
