"""OneShotClassifier: scores as the slow, obvious way computes them, threads, files, inputs."""

from __future__ import annotations

import io
import logging
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from siamese_oneshot import OneShotClassifier
from siamese_oneshot.classifier import rank
from siamese_oneshot.data.image_input import ImageError, read_input
from siamese_oneshot.evaluation.metrics import choose
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.utils.errors import ArgumentError, UserError

SIZE = 21


class Pixels(nn.Module):
    """Embeds an image as its pixels; the score is minus their mean distance, times ten."""

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        self.encoder = SimpleNamespace(image_size=SIZE)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.embedded, self.tta = 0, False

    def embed(self, images: Tensor) -> Tensor:
        assert images.shape[1:] == (1, SIZE, SIZE)
        self.embedded += len(images)
        return images.flatten(1)

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        return -self.scale * (one - other).abs().mean(-1)


class Constant(Pixels):
    """Finds everything alike."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def score(self, one: Tensor, other: Tensor) -> Tensor:
        return torch.full(torch.broadcast_shapes(one.shape, other.shape)[:-1], self.value)


def build(network: nn.Module | None = None, below: float | None = None) -> OneShotClassifier:
    return OneShotClassifier(TrainedModel("pixels", network or Pixels(), {}), below)  # type: ignore[arg-type]


def symbol(kind: str, side: int = 60, shift: int = 0) -> Image.Image:
    """A cross, a ring, a bar or a hook in black on white."""
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    low, high, middle = side // 5 + shift, 4 * side // 5, side // 2
    for line in {
        "cross": [(low, low, high, high), (low, high, high, low)],
        "bar": [(middle, low, middle + 3 * shift, high)],
        "hook": [(low, low, low, high), (low, high, high, high)],
        "ring": [],
    }[kind]:
        draw.line(line, 0, 4)
    if kind == "ring":
        draw.ellipse((low, low, high, high), outline=0, width=4)
    return image


KINDS = ("cross", "ring", "bar", "hook")


def with_symbols(below: float | None = None) -> OneShotClassifier:
    classifier = build(below=below)
    for kind in KINDS:
        classifier.add_class(kind, symbol(kind))
    return classifier


def test_symbols_are_recognized_however_they_are_drawn(tmp_path: Path) -> None:
    paths = [tmp_path / f"{kind} ü.png" for kind in KINDS]
    for kind, path in zip(KINDS, paths, strict=True):
        plain = symbol(kind, 300, 2).rotate(4, fillcolor=255)
        Image.merge("RGB", [plain, plain.point(lambda v: 255 - v // 2), plain]).save(path)
    predictions = with_symbols().predict(paths)
    assert [prediction.best.name for prediction in predictions] == list(KINDS)
    assert [prediction.image.path for prediction in predictions] == paths
    for prediction, path in zip(predictions, paths, strict=True):
        assert np.array_equal(
            prediction.image.normalized.strokes, read_input(path).normalized.strokes
        )
        scores = [one.score for one in prediction.classes]
        assert scores == sorted(scores, reverse=True)
        total = sum(math.exp(score) for score in scores)
        for one in prediction.classes:
            assert one.probability == pytest.approx(math.exp(one.score) / total)
    colder = with_symbols()
    colder.model = replace(colder.model, temperature=0.5)
    for prediction in colder.predict(paths):
        total = sum(math.exp(2 * one.score) for one in prediction.classes)
        assert prediction.best.probability == pytest.approx(
            math.exp(2 * prediction.best.score) / total
        )


def test_a_score_is_the_soft_maximum_over_the_images_of_a_class() -> None:
    """Classes have different numbers of images, added in any order."""
    classifier = build()
    classifier.add_class("one", symbol("cross"))
    classifier.add_class("two", symbol("ring"))
    classifier.add_class("one", [symbol("bar"), symbol("hook")])
    assert classifier.classes == ("one", "two")
    queries = [symbol(kind, shift=3) for kind in KINDS]
    images = [read_input(one) for one in [*queries, *map(symbol, KINDS)]]
    seen = classifier.network_input(images).numpy().astype(float)
    for prediction, query in zip(classifier.predict(queries), seen, strict=False):
        cross, ring, bar, hook = (-10 * np.abs(query - other).mean() / 255 for other in seen[4:])
        got = {one.name: one.score for one in prediction.classes}
        pooled = 4 * math.log(sum(math.exp(score / 4) for score in (cross, bar, hook)) / 3)
        expected = {"one": pooled, "two": ring}
        assert got == pytest.approx(expected, rel=1e-5)


def test_probabilities_are_sharper_with_more_images_of_a_class() -> None:
    classifier = build()
    for kind in KINDS:
        classifier.add_class(kind, [symbol(kind), symbol(kind, shift=2), symbol(kind, shift=4)])
    (prediction,) = classifier.predict(symbol("hook", shift=3))
    weights = [math.exp(one.score * 3**0.3) for one in prediction.classes]
    assert prediction.best.probability == pytest.approx(weights[0] / sum(weights))


def test_the_threshold_follows_how_alike_the_classes_are(tmp_path: Path) -> None:
    """By hand: half the way from the usual 2.8 below the network's threshold to the gallery's."""
    trained = TrainedModel("pixels", Pixels(), {}, reject_threshold=-0.5)  # type: ignore[arg-type]
    apart, alike = OneShotClassifier(trained), OneShotClassifier(trained)
    for classifier, shifts in ((apart, {}), (alike, {"again": 1, "more": 2})):
        for kind in KINDS:
            classifier.add_class(kind, symbol(kind))
        assert classifier.reject_threshold == -0.5  # four classes say too little
        for name, shift in (shifts or {"dot": 0}).items():
            classifier.add_class(name, symbol("bar", 20 if name == "dot" else 60, shift))
        images = classifier._gallery.supports
        scores = -10 * (images[:, None] - images).abs().mean(-1).fill_diagonal_(math.inf)
        expected = -0.5 + 0.5 * (float(scores.amax(1).mean()) - (-0.5 - 2.8))
        assert classifier.reject_threshold == pytest.approx(expected, rel=1e-5)
        classifier.save(tmp_path / "gallery.safetensors")
        loaded = OneShotClassifier.load(tmp_path / "gallery.safetensors", trained)
        assert loaded.reject_threshold == pytest.approx(expected, rel=1e-5)
    assert alike.reject_threshold > apart.reject_threshold  # type: ignore[operator]
    assert OneShotClassifier(trained, 3.0).reject_threshold == 3


def test_images_added_between_two_predictions_count_and_each_is_embedded_once() -> None:
    classifier = with_symbols()
    network = classifier.model.network
    given = read_input(symbol("ring"))
    (before,) = classifier.predict(given)
    assert network.embedded == 4 + 1
    classifier.add_class("cross", symbol("ring"))
    (after,) = classifier.predict(symbol("ring"))
    assert network.embedded == 4 + 1 + 1 + 1
    scores = [{one.name: one.score for one in prediction.classes} for prediction in (before, after)]
    pooled = 4 * math.log((1 + math.exp(scores[0]["cross"] / 4)) / 2)  # the new image scores 0
    assert scores[1]["cross"] == pytest.approx(pooled)
    assert scores[1]["ring"] == scores[0]["ring"]
    assert before.image is given  # not read again
    blocks = given.normalized.strokes.reshape(SIZE, 5, SIZE, 5).mean((1, 3)).round()
    assert np.array_equal(classifier.network_input([given])[0].numpy(), blocks)  # areas averaged
    assert "ClassScore(name='ring'" in repr(before)
    assert "array" not in repr(before)


def test_a_removed_class_is_as_one_that_was_never_added() -> None:
    classifier, other = with_symbols(), build()
    classifier.add_class("ring", symbol("ring", shift=3))
    for kind in ("cross", "bar", "hook"):
        other.add_class(kind, symbol(kind))
    classifier.remove_class("ring")
    assert classifier.classes == other.classes == ("cross", "bar", "hook")
    query = symbol("ring", shift=2)
    assert classifier.predict(query)[0].classes == other.predict(query)[0].classes
    with pytest.raises(ArgumentError, match=r"name=rign: .*no such class"):
        classifier.remove_class("rign")
    with pytest.raises(ArgumentError, match="Did you mean cross"):
        classifier.remove_class("crosss")
    for kind in other.classes:
        classifier.remove_class(kind)
    with pytest.raises(UserError, match="there are no classes yet"):
        classifier.predict(query)
    classifier.add_class("ring", query)
    assert classifier.predict(query)[0].best.name == "ring"


def test_similarity_is_the_calibrated_probability_of_same(tmp_path: Path) -> None:
    classifier = build()
    with pytest.raises(UserError, match="pixels has no threshold for pairs"):
        classifier.similarity(symbol("bar"), symbol("bar"))
    classifier.model = replace(classifier.model, threshold=-1.5, temperature=0.5)
    symbol("hook").save(tmp_path / "hook.png")
    images = [read_input(symbol("ring")), read_input(tmp_path / "hook.png")]
    ring, hook = classifier.network_input(images).double() / 255
    logit = -10 * float((ring - hook).abs().mean())
    expected = 1 / (1 + math.exp(-(logit + 1.5) / 0.5))
    assert classifier.similarity(symbol("ring"), tmp_path / "hook.png") == pytest.approx(expected)
    assert classifier.similarity(tmp_path / "hook.png", symbol("ring")) == pytest.approx(expected)
    assert classifier.similarity(*[symbol("bar")] * 2) == pytest.approx(1 / (1 + math.exp(-3)))
    with pytest.raises(ImageError, match=r"gone\.png: there is no such file"):
        classifier.similarity(symbol("bar"), tmp_path / "gone.png")


@pytest.mark.parametrize("name", ["pretrained", "dense"])
def test_the_packaged_networks_tell_pairs_apart(name: str) -> None:
    classifier = OneShotClassifier.from_pretrained(name)
    for kind in KINDS:
        assert (
            classifier.similarity(symbol(kind), symbol(kind, 100, 3).rotate(3, fillcolor=255)) > 0.8
        )
        assert classifier.similarity(symbol(kind), symbol(KINDS[KINDS.index(kind) - 1])) < 0.5


def test_known_is_what_scores_above_the_threshold() -> None:
    query = symbol("cross", shift=3)
    (prediction,) = with_symbols().predict(query)
    assert prediction.known is None
    best = prediction.best.score
    assert with_symbols(best).predict(query)[0].known is False
    assert with_symbols(best - 1e-4).predict(query)[0].known is True
    trained = TrainedModel("pixels", Pixels(), {}, reject_threshold=-3.0)  # type: ignore[arg-type]
    assert OneShotClassifier(trained).reject_threshold == -3
    assert OneShotClassifier(trained, 0.0).reject_threshold == 0
    for wrong in (math.nan, math.inf, "high", True):
        with pytest.raises(ValueError, match="reject_threshold="):
            build(below=wrong)  # type: ignore[arg-type]
    # A single class is certain, but may be unknown.
    classifier = build(below=-0.5)
    classifier.add_class("cross", symbol("cross"))
    same, other = classifier.predict([symbol("cross"), symbol("ring")])
    assert (same.best.probability, same.known) == (1, True)
    assert (other.best.probability, other.known) == (1, False)


def test_ties_are_broken_at_random_as_choose_does() -> None:
    scores = torch.randint(3, (200, 6), generator=torch.Generator().manual_seed(1)).float()
    order = rank(scores, 7)
    picks = choose(scores, torch.Generator().manual_seed(7))
    assert [row[0] for row in order] == picks.tolist()
    for row, values in zip(order, scores, strict=True):
        assert sorted(row) == list(range(6))
        assert values[row].tolist() == sorted(values.tolist(), reverse=True)
    classifier = build(Constant())
    for kind in KINDS:
        classifier.add_class(kind, symbol(kind))
    given = read_input(symbol("ring"))
    bests = [prediction.best.name for prediction in classifier.predict([given] * 200)]
    assert min(bests.count(kind) for kind in KINDS) > 25


def test_what_cannot_be_added(tmp_path: Path) -> None:
    classifier = build()
    with pytest.raises(UserError, match="there are no classes yet"):
        classifier.predict(symbol("cross"))
    with pytest.raises(UserError, match=r"images=.*one or more images of alef"):
        classifier.add_class("alef", [])
    with pytest.raises(UserError, match=r"name=.*a text"):
        classifier.add_class("  ", symbol("cross"))
    blank = Image.new("L", (50, 50), 255)
    with pytest.raises(ImageError, match=r"image 2: no strokes"):
        classifier.add_class("alef", [symbol("cross"), blank])
    with pytest.raises(UserError, match=r"(?s)2 images.*image 1.*gone\.png: there is no such"):
        classifier.add_class("alef", [blank, tmp_path / "gone.png"])
    assert classifier.classes == ()  # a good image among bad ones is not added
    classifier = build(Constant(math.nan))
    classifier.add_class("cross", symbol("cross"))
    with pytest.raises(UserError, match="not finite"):
        classifier.predict(symbol("cross"))


def test_composed_and_decomposed_names_are_one_class() -> None:
    classifier = build()
    classifier.add_class("e\u0301", symbol("cross"))
    classifier.add_class("\u00e9", symbol("cross"))
    assert classifier.classes == ("\u00e9",)


def test_a_folder_is_added_and_skipped_files_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        symbol(kind).save(tmp_path / kind / "1.png")
    classifier = build()
    assert classifier.add_folder(tmp_path) == ()
    assert classifier.classes == tuple(sorted(KINDS))
    assert classifier.predict(tmp_path / "bar" / "1.png")[0].best.name == "bar"
    (tmp_path / "bar" / "2.png").write_text("no image")
    with caplog.at_level(logging.WARNING):
        (fault,) = build().add_folder(tmp_path)
    assert fault.path == tmp_path / "bar" / "2.png"
    assert "2.png: its format is unknown" in caplog.text
    classifier = build()
    with pytest.raises(UserError, match=r"2\.png: its format is unknown"):
        classifier.add_folder(tmp_path, "stop")
    assert classifier.classes == ()
    with pytest.raises(UserError, match="on_error=maybe: it must be"):
        classifier.add_folder(tmp_path, "maybe")


def test_images_may_be_files_bytes_file_objects_and_arrays(tmp_path: Path) -> None:
    classifier = with_symbols()
    (expected,) = classifier.predict(symbol("ring"))
    path = tmp_path / "ring.png"
    symbol("ring").save(path)
    with open(path, "rb") as file:
        sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), file,
                   symbol("ring"), np.asarray(symbol("ring"))]  # fmt: skip
        for prediction in classifier.predict(sources):
            assert prediction.classes == expected.classes
    for alone in (path.read_bytes(), io.BytesIO(path.read_bytes())):
        (prediction,) = classifier.predict(alone)
        assert prediction.classes == expected.classes
    with open(path, encoding="latin-1") as text, pytest.raises(ImageError, match="text mode"):
        classifier.predict(text)  # type: ignore[arg-type]


def test_saved_classes_are_loaded_without_images(tmp_path: Path) -> None:
    classifier, path = with_symbols(below=-2.5), tmp_path / "symbols.safetensors"
    classifier.add_class("cross", symbol("cross", shift=3))
    before = classifier.predict([symbol(kind, shift=2) for kind in KINDS])
    classifier.save(path)
    loaded = OneShotClassifier.load(path, classifier.model)
    assert (loaded.classes, loaded.reject_threshold) == (classifier.classes, -2.5)
    after = loaded.predict([symbol(kind, shift=2) for kind in KINDS])
    assert [(one.classes, one.known) for one in after] == [(o.classes, o.known) for o in before]
    assert path.stat().st_size < 5 * SIZE * SIZE * 4 + 2000  # five embeddings and their names
    loaded.add_class("new", symbol("bar"))
    assert loaded.classes == (*KINDS, "new")
    with pytest.raises(UserError, match="other weights than those of pixels"):
        OneShotClassifier.load(path, build(Pixels(scale=2.0)).model)
    classifier.model.network.tta = True
    with pytest.raises(UserError, match="or with other test-time augmentation"):
        OneShotClassifier.load(path, classifier.model)
    path.write_bytes(path.read_bytes()[:-9])
    for damaged in (path, tmp_path / "none.safetensors"):
        with pytest.raises(UserError, match=r"is not a file of OneShotClassifier\.save"):
            OneShotClassifier.load(damaged, classifier.model)


def test_a_packaged_network_is_found_again_by_the_name_in_the_file(tmp_path: Path) -> None:
    classifier = OneShotClassifier.from_pretrained("dense", reject_threshold=0.5)
    for kind in KINDS:
        classifier.add_class(kind, symbol(kind))
    classifier.save(tmp_path / "a.safetensors")
    loaded = OneShotClassifier.load(tmp_path / "a.safetensors")
    query = symbol("hook", shift=2)
    assert loaded.predict(query)[0].classes == classifier.predict(query)[0].classes
    assert (loaded.model.name, loaded.reject_threshold) == ("dense", 0.5)


def test_threads_may_add_and_predict_at_once() -> None:
    classifier = with_symbols()
    expected = [one.classes for one in classifier.predict([symbol(kind) for kind in KINDS])]

    def work(number: int) -> bool:
        kind = KINDS[number % 4]
        if number % 3 == 0:
            classifier.add_class(f"more {number}", symbol(kind))
        classes = classifier.predict(symbol(kind))[0].classes
        old = {one.name: one.score for one in classes if one.name in KINDS}
        assert sum(one.probability for one in classes) == pytest.approx(1)
        return old == {one.name: one.score for one in expected[number % 4]}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(48)))
    assert set(classifier.classes) == {*KINDS, *(f"more {number}" for number in range(0, 48, 3))}


def test_blocks_of_queries_and_classes_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = with_symbols()
    classifier.add_class("cross", symbol("cross", shift=3))
    queries = [symbol(kind, shift=2) for kind in KINDS]
    expected = classifier.predict(queries)
    largest = []
    score = classifier.model.network.score

    def watched(one: Tensor, other: Tensor) -> Tensor:
        largest.append(torch.broadcast_shapes(one.shape, other.shape).numel())
        return score(one, other)

    monkeypatch.setattr(classifier.model.network, "score", watched)
    for elements in (1, 2 * SIZE**2, 6 * SIZE**2):
        monkeypatch.setattr("siamese_oneshot.classifier.ELEMENTS", elements)
        largest.clear()
        for prediction, wanted in zip(classifier.predict(queries), expected, strict=True):
            scores = {one.name: one.score for one in prediction.classes}
            assert scores == pytest.approx({one.name: one.score for one in wanted.classes})
        assert max(largest) <= max(elements, SIZE**2)
        assert sum(largest) == len(queries) * (len(KINDS) + 1) * SIZE**2  # each support once


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    classifier = build()
    image = read_input(symbol("cross"))
    classifier.add_class("cross", [image] * 201)
    classifier.predict([image] * 201)
    classifier.model = replace(classifier.model, threshold=0.0)
    classifier.similarity(image, image)
    classifier.remove_class("cross")
    assert capfd.readouterr() == ("", "")


def test_control_characters_of_names_stay_out_of_messages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "a\x1b[31m\x07"
    with pytest.raises(UserError) as caught:
        build().add_class(name, [])
    (tmp_path / name).mkdir()
    symbol("bar").save(tmp_path / name / "1.png")
    (tmp_path / name / "2\x9b.png").write_text("words")
    classifier = build()
    (error,) = classifier.add_folder(tmp_path)
    assert classifier.classes == (name,)
    for text in (str(caught.value), caplog.text, str(error)):
        assert "a\ufffd[31m\ufffd" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_a_classification_loads_only_what_it_needs() -> None:
    heavy = {
        "hydra", "omegaconf", "wandb", "pytorch_lightning", "matplotlib", "sympy", "torch._dynamo",
    }  # fmt: skip
    code = (
        "import sys, siamese_oneshot; assert 'torch' not in sys.modules\n"
        "classifier = siamese_oneshot.OneShotClassifier.from_pretrained('pretrained')\n"
        "assert 'torch' in sys.modules\n"
        "from PIL import Image, ImageDraw\n"
        "for number in range(2):\n"
        "    image = Image.new('L', (105, 105), 255)\n"
        "    ImageDraw.Draw(image).line([(20, 20), (80, 20 + 60 * number)], 0, 5)\n"
        "    classifier.add_class(str(number), image)\n"
        "classifier.predict(image)\n"
        f"print({heavy!r} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
    import siamese_oneshot

    with pytest.raises(AttributeError, match="no attribute 'Recognizer'"):
        _ = siamese_oneshot.Recognizer  # type: ignore[attr-defined]


def test_a_process_forked_after_the_network_was_used_predicts() -> None:
    # In a process of its own: its threads would stay with the tests that follow.
    script = """
import multiprocessing, torch
from PIL import Image, ImageDraw
from siamese_oneshot import OneShotClassifier

def image(slope):
    drawing = Image.new("L", (105, 105), 255)
    ImageDraw.Draw(drawing).line([(20, 20), (80, slope), (30, 80)], fill=0, width=3)
    return drawing

torch.set_num_threads(2)
classifier = OneShotClassifier.from_pretrained()
classifier.add_class("a", image(30))
classifier.add_class("b", image(70))
assert classifier.predict([image(30)] * 20)[0].best.name == "a"

def ask():
    assert classifier.predict([image(70)] * 20)[0].best.name == "b"
    assert torch.get_num_threads() == 1

child = multiprocessing.get_context("fork").Process(target=ask, daemon=True)
child.start()
child.join(120)
assert child.exitcode == 0, child.exitcode
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "forked after the network had been used, so it computes with one" in done.stderr
