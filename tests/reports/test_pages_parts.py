"""What pages are made of: curves, images, colors, verdicts and captions."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from made_jobs import make_job, result_of, scores_of
from PIL import Image

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.reports.groups import group_jobs
from siamese_oneshot.reports.job import Data
from siamese_oneshot.reports.pages import colors, images
from siamese_oneshot.reports.pages.captions import Known, words_for
from siamese_oneshot.reports.pages.metrics import Curve, merged, read_curves
from siamese_oneshot.reports.pages.verdict import literature, sweep_verdict, verdict
from siamese_oneshot.reports.sweep import read_sweep

LAKE, KOCH = (Data("default", "omniglot", "d", split) for split in ("lake", "koch"))


def write(folder: Path, version: int, text: str) -> None:
    place = folder / "csv" / f"version_{version}"
    place.mkdir(parents=True)
    (place / "metrics.csv").write_text(text)


def test_a_resumed_run_is_one_history(tmp_path: Path) -> None:
    write(tmp_path, 0, "step,a,b\n1,0.1,\n2,0.2,5\n3,0.3,\n4,0.4,6\n")
    write(tmp_path, 2, "step,a\n3,0.7\n9,0.9\n")
    write(tmp_path, 10, "step,a\n9,1.5\n")
    curves, complaints = read_curves(tmp_path)
    assert complaints == []
    assert curves == {
        "a": Curve([1, 2, 3, 9], [0.1, 0.2, 0.7, 1.5]),
        "b": Curve([2], [5.0]),
    }, "what was taken back is not shown"


def test_curves_of_files_that_were_being_written(tmp_path: Path) -> None:
    write(tmp_path, 0, "step,a\n1,nan\n2,inf\n3,x\n,4\n-1,4\n5,0.5\n1e99,3\n6")
    write(tmp_path, 1, "")
    write(tmp_path, 2, "no,steps\n1,2\n")
    assert read_curves(tmp_path) == ({"a": Curve([5], [0.5])}, [])


def test_thinning_keeps_ends_and_extremes() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(10_007).tolist()
    values[4321], values[8765] = 7.0, -7.0
    curve = Curve(list(range(10_007)), values)
    thin = curve.thinned(500)
    assert 300 < len(thin.steps) <= 500
    assert thin.steps == sorted(set(thin.steps))
    assert (thin.steps[0], thin.steps[-1]) == (0, 10_006)
    assert (max(thin.values), min(thin.values)) == (7.0, -7.0)
    assert all(values[step] == value for step, value in zip(thin.steps, thin.values, strict=True))
    assert curve.thinned(20_000) is curve


def test_curves_that_are_the_same_share_a_line() -> None:
    one, other = Curve([1], [0.5]), Curve([1], [0.25])
    assert merged({"a": one, "b": other, "c": one}) == [("a, c", one), ("b", other)]
    assert merged({"a": one, "b": one, "c": one}) == [("all 3", one)]
    assert merged({"a": one, "b": one, "c": one, "d": one, "e": other})[0][0] == "a and 3 more"


def luminance(color: str) -> float:
    """Of WCAG 2."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colors_can_be_seen_on_light_and_dark_pages() -> None:
    assert math.isclose(contrast("#000000", "#ffffff"), 21)
    for side in (0, 1):
        page = colors.PAGE[side]
        assert contrast(colors.TEXT[side], page) >= 7
        for pair in (*colors.LINES, *colors.RAMP, colors.BEST, colors.AXIS):
            assert contrast(pair[side], page) >= 3, pair
    table = colors.dark_of_light()
    assert not set(table) & set(table.values()), "what was made dark is not made dark again"


def test_the_style_sheet_can_be_read_in_light_and_dark() -> None:
    folder = Path(images.__file__).parent / "templates"
    light, _, rest = (folder / "style.css").read_text().partition("@media")
    dark = rest.partition("* {")[0]
    for text in (light, dark):
        found = dict(
            line.split(":")
            for line in text.replace("\n", " ")
            .split("{")[-1]
            .split("}")[0]
            .replace(" ", "")
            .split(";")
            if line.startswith("--")
        )
        for name in ("text", "soft", "link", "good", "bad", "level"):
            for ground in ("page", "box"):
                assert contrast(found[f"--{name}"], found[f"--{ground}"]) >= 4.5, (name, ground)
        for ground in ("warn", "own"):
            assert contrast(found["--text"], found[f"--{ground}"]) >= 4.5


def image(path: Path, width: int, height: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_images_shrink_until_they_fit(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 300, 150)
    large, small = images.load(path, 100_000), images.load(path, 25_000)
    assert len(large.data) > 30_000
    for made, room in ((large, 100_000), (small, 25_000)):
        assert len(made.data) <= room
        raw = base64.b64decode(made.data.partition(",")[2])
        opened = Image.open(io.BytesIO(raw))
        assert opened.size == (made.width, made.height)
        assert made.width / made.height == pytest.approx(2, abs=0.03)
    assert small.width < large.width == 300
    with pytest.raises(ValueError, match="no room left"):
        images.load(path, 500)


def test_images_too_large_to_open_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_MOST_PIXELS", 1199)
    path = image(tmp_path / "a.png", 40, 30)
    with pytest.raises(ValueError, match="pixels"):
        images.load(path, images.ROOM)


def test_a_small_image_is_as_it_was(tmp_path: Path) -> None:
    path = image(tmp_path / "a.png", 40, 30)
    made = images.load(path, images.ROOM)
    assert base64.b64decode(made.data.partition(",")[2]) == path.read_bytes()


def lake_runs(right: int, key: str = "lake_runs") -> Score:
    return Score.from_counts(key, "test", "official 20-way runs", "how", right, 400, "d")


@pytest.mark.parametrize(
    ("right", "tone", "words"),
    [
        (398, "good", "above the paper's 92.0%, above humans' 95.5%"),
        (384, "good", "above the paper's 92.0%, level with humans' 95.5%"),
        (366, "level", "level with the paper's 92.0%, below humans' 95.5%"),
        (300, "bad", "below the paper's 92.0%, below humans' 95.5%"),
    ],
)
def test_verdicts(right: int, tone: str, words: str) -> None:
    told = verdict([lake_runs(right)], LAKE)
    assert told.tone == tone
    assert words in told.text
    assert f"{right / 4:.2f}% (95% interval" in told.text
    assert "400 trials itself: 88.9 to 94.3" in told.text, "Wilson's interval of 368 in 400"
    assert "this run on 27 background alphabets" in told.text
    assert "(split lake)" in told.text
    assert "split" not in verdict([lake_runs(right)], KOCH).text


def test_what_does_not_compare_is_not_compared() -> None:
    synthetic = Data("default", "synthetic", "d", "ratio_60_20_20")
    assert "on glyphs nothing compares" in verdict([lake_runs(400)], synthetic).text
    validation = Score.from_counts("one_shot", "validation", "validation list", "how", 3, 4, "d")
    told = verdict([validation], LAKE)
    assert told.text.startswith("75.00% (95% interval 30.1 to 95.4) on validation list, 4 trials.")
    assert "test lists were not opened" in told.text
    assert "no result yet" in verdict([], None).text
    assert verdict([lake_runs(300, "paper")], LAKE).tone == "none", "drawers are not the paper's"
    assert verdict([lake_runs(300, "paper")], KOCH).tone == "bad"
    assert literature([("x", synthetic, [lake_runs(300)])]) == []


def test_the_verdict_of_a_sweep_is_of_the_best_on_validation(tmp_path: Path) -> None:
    for number, (lr, seed, right) in enumerate(((1, 0, 99), (2, 0, 90), (2, 1, 92))):
        scores = scores_of({"test/lake_runs": 100 - number}, trials=100)
        make_job(tmp_path, number, {"lr": lr, "seed": seed},
                 result_of((200 - right) / 200, seed, scores=scores))  # fmt: skip
    sweep = read_sweep([tmp_path])
    told = sweep_verdict(sweep, group_jobs(sweep)[0])
    # validation 55 and 54, tests 99 and 98: t(1) = 12.7062 standard errors of 0.5
    assert told.text.startswith("Best on validation: jobs 1, 2 with 54.50% ± 6.35 over 2 seeds. ")
    assert "official list is 98.50% ± 6.35 over 2 seeds: above the paper's 92.0%" in told.text


def test_one_tested_seed_of_several_speaks_for_itself(tmp_path: Path) -> None:
    """A mean of one has no interval, and it need not be the first of them."""
    for seed in (0, 1, 2):
        scores = scores_of({"test/lake_runs": 93}, trials=100) if seed == 1 else []
        make_job(tmp_path, seed, {"lr": 2, "seed": seed},
                 result_of(0.5 + seed / 100, seed, scores=scores))  # fmt: skip
    sweep = read_sweep([tmp_path])
    told = sweep_verdict(sweep, group_jobs(sweep)[0])
    assert "over 3 seeds. Job 1: 93.00% (95% interval 86.3 to 96.6)" in told.text
    assert told.tone == "level"


def test_captions_tell_numbers() -> None:
    alphabet = Score.from_counts("within_alphabet/x", "test", "Old_Church", "how", 3, 4, "d")
    known = Known(
        {"val/one_shot_accuracy": Curve([9, 19], [0.25, 0.5])},
        {"lake_runs": lake_runs(300)},
        [alphabet],
    )
    assert "at step 10, 25.00%" in words_for("trial", 10, known), "counted from 0 by the trainer"
    assert "at step 20, 50.00%" in words_for("alphabets", 20, known)
    assert "%" not in words_for("trial", 15, known).replace("95%", "")
    assert "Old Church 75.0%" in words_for("alphabets", None, known)
    assert "Of 400 (official 20-way runs), 75.00%" in words_for("trial_right", None, known)
    validation = Score.from_counts("one_shot", "validation", "validation", "how", 9, 10, "d")
    known.scores = {"one_shot": validation}
    assert "Of 10 (validation), 90.00%" in words_for("confusions", None, known)
    assert words_for("some_thing", None, Known()) == "The image some thing."
