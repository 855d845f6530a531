"""The pages of a report, read back: structure, numbers, links, escaping, size, damage."""

from __future__ import annotations

import base64
import json
import os
import re
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from made_jobs import make_job, result_of, scores_of
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from reading import Element, read_page, table_of

from siamese_oneshot.evaluation.published import PROTOCOLS
from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.report import main
from siamese_oneshot.reports import html
from siamese_oneshot.reports.html import embed_png
from siamese_oneshot.reports.pages import make_report
from siamese_oneshot.runs.evaluation_record import EvaluationRecord, ModelRecord, write_evaluation

WITHIN = PROTOCOLS["within_alphabet_20way"]
MAX_PAGE = 5_000_000  # bytes
LATER = "Scores of the evaluation, on {} (split lake)"
EVIL = "<script>alert(1)</script>\"'&<b>"


def report(*folders: Path, output: Path) -> Path:
    main([*map(str, folders), "--output", str(output)])
    return output


def draw(path: Path, width: int = 300, height: int = 200, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    about = PngInfo()
    about.add_itxt("Description", f"{path.stem} of a set")
    Image.fromarray(pixels).save(path, pnginfo=about)
    return path


def write_metrics(folder: Path, header: str, *lines: str) -> None:
    path = folder / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")


def add_evaluation(run: Path, scores: list[Score], source: str = "omniglot") -> None:
    model = ModelRecord("run", "network", f"data={source}", "lake", scores, [], 0.0, 0.0)
    record = EvaluationRecord([model], source, "drawn" if source == "omniglot" else "other")
    write_evaluation(run / "evaluation", record)


def score_of(key: str, right: int, n: int, name: str = "", **fields: Any) -> Score:
    return Score.from_counts(key, "test", name or f"{key} list", "how", right, n, "d", **fields)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings by two seeds, one of them with everything; an unfinished job; damage."""
    folder = tmp_path_factory.mktemp("pages") / "my sweep"
    rows = ((0.1, 0, 850), (0.1, 1, 870), (0.01, 0, 950), (0.01, 1, 970))
    for number, (lr, seed, right) in enumerate(rows):
        scores = scores_of({"validation/one_shot": right - 100, "test/lake_runs": right})
        result = result_of((right - 100) / 1000, seed, scores=scores, warnings=["on few images"])
        config = {"seed": seed, "optimizer": {"lr": lr, "own": 7}}
        make_job(folder, number, {"optimizer.lr": lr, "seed": seed}, result, config=config,
                 logged=[0.2, (right - 100) / 1000])  # fmt: skip
    full = folder / "0_job"
    write_metrics(
        full,
        "epoch,step,lr/a,lr/b,momentum,train/loss,gradient_norm/all,"
        "speed/images_per_second,speed/data_wait,val/one_shot_accuracy,val/one_shot_ci_low,"
        "val/one_shot_ci_high,val/verification_accuracy,val/verification_auroc",
        "0,9,,,,,,,,0.25,0.2242,0.2778,0.5,0.5125",
        "0,9,0.5,0.25,0.9,2.5,1.5,100,0.01,,,,,",
        "1,19,0.4,0.2,0.9,1.5,1.25,90,0.02,,,,,",
        "1,19,,,,,,,,0.75,0.7222,0.7758,0.875,0.9375",
    )
    for step in (10, 20):
        for name in ("verification_scores", "mistakes", "episode"):
            draw(full / "plots" / f"step_{step:06d}" / f"{name}.png", seed=step)
    draw(full / "evaluation" / "plots" / "accuracy_vs_way.png")
    for place in ("evaluation/plots", "plots/step_000020"):  # the same image: shown once
        draw(full / place / "filters.png")
    curve = score_of("way_curve_test_02", 3, 4, way=2, series="way_curve_test")
    add_evaluation(full, [curve, score_of("few_shot_5way_1shot", 3, 4, "5-way 1-shot")])
    make_job(folder, 4, {"optimizer.lr": 2.0}, None, logged=[0.5])
    (make_job(folder, 5, {"optimizer.lr": 3.0}, None) / "result.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def pages(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(sweep, output=tmp_path_factory.mktemp("report"))


def check_page(path: Path) -> Element:
    """What holds of every page: whole in itself, sound, small, and open to everybody."""
    assert path.stat().st_size <= MAX_PAGE
    page = read_page(path)
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    assert page.all("title")[0].text
    assert "width=device-width" in str([one.attributes for one in page.all("meta")])
    levels = [int(one.name[1]) for one in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), "no script in an attribute"
            if name == "src" or (name == "href" and element.name == "link"):
                assert value.startswith("data:")
            if name == "href" and element.name == "a" and not value.startswith("#"):
                assert re.match(r"[a-z]+:", value) is None, "relative"
                assert (path.parent / unquote(value)).is_file()
            if name == "href" and value.startswith("#"):
                assert value[1:] in ids
    for image in page.all("img"):
        assert image.attributes["alt"]
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert all(cell.attributes["scope"] in ("row", "col") for cell in table.all("th"))
    for plot in page.all("div"):
        if plot.attributes.get("class") == "plot":
            assert plot.attributes["role"] == "img"
            assert re.search(r"\d", plot.attributes["aria-label"])
            key = plot.attributes["id"].removeprefix("chart-")
            assert json.loads(page.one("script", "id", f"data-{key}").text)["root_id"]
    _check_policy(page)
    return page


def _check_policy(page: Element) -> None:
    policy = page.one("meta", "http-equiv", "Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    assert "unsafe-inline" not in policy.partition("style-src")[0]
    assert "unsafe-eval" not in policy
    running = [s for s in page.all("script") if "type" not in s.attributes]
    texts = ["".join(map(str, one.children)) for one in running]
    assert {base64.b64encode(sha256(one.encode()).digest()).decode() for one in texts} == allowed
    for style in page.all("style"):
        assert "url(" not in style.text
        assert "@import" not in style.text


def verdict_of(page: Element) -> str:
    (text,) = [p.text for p in page.all("p") if p.attributes.get("class", "")[:7] == "verdict"]
    return text


def test_every_page_is_sound_and_links_lead_through_the_sweep(pages: Path) -> None:
    assert len([check_page(path) for path in pages.rglob("*.html")]) == 7
    index = read_page(pages / "index.html")
    rows = [a.attributes["href"] for a in index.all("a") if "runs/" in a.attributes["href"]]
    best_first = ["3", *"32104", "5"]  # after the link to the best
    assert rows == [f"runs/{number}.html" for number in best_first]
    path: Path | None = (pages / "runs" / "0.html").resolve()
    walked = []
    while path is not None:
        walked.append(path.name)
        nav = read_page(path).one("nav", "aria-label", "Runs of the sweep")
        links = {a.attributes.get("rel", "up"): a.attributes["href"] for a in nav.all("a")}
        assert (path.parent / links["up"]).resolve() == (pages / "index.html").resolve()
        path = (path.parent / unquote(links["next"])).resolve() if "next" in links else None
    assert walked == [f"{number}.html" for number in range(6)]
    nav = read_page(pages / "runs" / "3.html").one("nav", "aria-label", "Runs of the sweep")
    assert [a.attributes["href"] for a in nav.all("a")][1] == "2.html"


def test_the_numbers_of_a_run_are_those_of_its_result(pages: Path, sweep: Path) -> None:
    page = read_page(pages / "runs" / "0.html")
    assert page.all("h1")[0].text == "default: 0_job"
    scores = json.loads((sweep / "0_job" / "result.json").read_text())["scores"]
    rows = table_of(page, "Scores at the end of training").rows()
    assert rows[1:] == [
        [s["split"], s["name"], f"{100 * s['value']:.2f}",
         f"{100 * s['low']:.1f}-{100 * s['high']:.1f}", f"{s['n']:,}", "-", "-", s["protocol"]]
        for s in scores
    ]  # fmt: skip
    assert rows[2][2:5] == ["85.00", "82.7-87.1", "1,000"], "Wilson's interval of 850 in 1,000"
    assert table_of(page, LATER.format("omniglot")).rows()[1:] == [
        ["test", "5-way 1-shot", "75.00", "30.1-95.4", "4", "-", "-", "how"]
    ]
    beside = [row[:3] for row in table_of(page, WITHIN).rows()]
    assert ["here: this run, lake_runs list", "85.00 (82.7-87.1)", "1,000"] in beside
    verdict = verdict_of(page)
    assert verdict.startswith("85.00% (95% interval 82.7-87.1) on lake_runs list, test set, 1,000")
    assert "below the paper's 92.0%, and below humans' 95.5%" in verdict
    for words in ("on few images", "drawn", "32-true", "1 min 15 s", str(sweep / "0_job")):
        assert words in page.text


@pytest.mark.parametrize(
    ("trained_on", "evaluated_on", "expected"),
    [
        ("omniglot", "omniglot", "99.00 (98.2-99.5)"),  # replaces the run's own score
        ("omniglot", "folder", "50.00 (46.9-53.1)"),  # other data stay apart
        ("synthetic", "omniglot", "99.00 (98.2-99.5)"),  # only the evaluation compares
    ],
)
def test_a_later_evaluation(
    tmp_path: Path, trained_on: str, evaluated_on: str, expected: str
) -> None:
    own = scores_of({("test/lake_runs" if trained_on == "omniglot" else "test/other"): 500})
    result = result_of(0.5, scores=own, data_source=trained_on)
    run = make_job(tmp_path, 0, {"a": 1}, result)
    protocol = "within_alphabet_20way" if evaluated_on == "omniglot" else None
    later = score_of("lake_runs", 990, 1000, comparable_with=protocol)
    add_evaluation(run, [later], evaluated_on)
    page = check_page(report(run, output=tmp_path / "out") / "index.html")
    (row,) = [row for row in table_of(page, WITHIN).rows() if row[0].startswith("here")]
    assert row[:2] == ["here: this run, lake_runs list", expected]
    assert verdict_of(page).startswith(expected[:5])
    assert table_of(page, LATER.format(evaluated_on)).rows()
    written = (tmp_path / "out" / "report.md").read_text().splitlines()
    assert verdict_of(page) in written
    for table in page.all("table"):
        if table.rows()[0][0] in ("set", "method"):
            lines = ["| " + " | ".join(row).replace("&", "&amp;") + " |" for row in table.rows()]
            assert {*lines} <= {*written}


def test_the_curves_of_a_run(pages: Path) -> None:
    page = read_page(pages / "runs" / "0.html")
    keys = [d.attributes["id"] for d in page.all("div") if d.attributes.get("class") == "plot"]
    assert keys == [
        f"chart-{key}"
        for key in ("validation", "verification", "loss", "learning-rate", "gradient-norm",
                    "speed", "data-wait")
    ]  # fmt: skip
    assert "Highest: 75.00% at step 20." in page.text, "counted as the terminal does"
    assert "VArea" in page.one("script", "id", "data-validation").text, "the 95% interval"
    plain = read_page(pages / "runs" / "1.html")
    assert "VArea" not in plain.one("script", "id", "data-validation").text, "none was logged"


def test_results_and_curves_come_before_the_plots(pages: Path) -> None:
    page = read_page(pages / "runs" / "0.html")
    ids = [element.attributes["id"] for element in page.all("h2")]
    assert ids == ["results", "curves", "figures", "settings", "files"]
    links = [element.attributes.get("href") for element in page.all("a")]
    assert [link for link in links if link in [f"#{one}" for one in ids]] == [f"#{i}" for i in ids]


def test_the_plots_of_a_run_say_which_set_they_show(pages: Path) -> None:
    """Each with the caption that its file holds; mistakes first."""
    page = read_page(pages / "runs" / "0.html")
    headings = [element.text for element in page.all("h3") if "Plots" in element.text]
    where = ["Plots of the evaluation", "Plots of the validation at step 20"]
    assert headings == where
    names = ("Accuracy vs way", "Filters", "Mistakes", "Episode", "Verification scores")
    captions = [one.text for one in page.all("figcaption")]
    plots = ("accuracy_vs_way", "filters", "mistakes", "episode", "verification_scores")
    assert captions == [
        f"{name}. {name_of_file} of a set" for name, name_of_file in zip(names, plots, strict=True)
    ]
    alts = [one.attributes["alt"] for one in page.all("img")]
    assert alts == [f"{name} of a set" for name in plots]


def test_a_note_on_the_training_stands_with_its_scores(pages: Path) -> None:
    """The verdict may be on an evaluation with other data, of which it says nothing."""
    text = read_page(pages / "runs" / "0.html").text
    note, scores = "Note on the training: on few images", "Scores at the end of training"
    assert text.rindex(" Results ", 0, text.index(note)) < text.index(note) < text.rindex(scores)


def test_the_title_of_a_sweep_of_models_does_not_list_them(tmp_path: Path) -> None:
    for number, model in enumerate(("conv4", "relation")):
        make_job(tmp_path / "s", number, {"model": model}, result_of(0.5))
    out = report(tmp_path / "s", output=tmp_path / "out")
    assert read_page(out / "index.html").all("h1")[0].text == "default: sweep of model"
    assert read_page(out / "runs" / "1.html").all("h1")[0].text == "default, relation: 1_job"


def test_the_table_of_jobs(pages: Path) -> None:
    page = read_page(pages / "index.html")
    assert page.all("h1")[0].text == "default: sweep of lr"
    (table,) = [one for one in page.all("table") if one.attributes.get("class") == "sortable"]
    rows = table.rows()
    assert rows[0] == [
        "job", "validation %", "lr", "seed", "lake_runs list %", "training, s", "status", "error",
    ]  # fmt: skip
    assert rows[2] == [
        "2", "85.00 (82.7-87.1)", "0.01", "0", "95.00 (93.5-96.2)", "75.0", "finished", "",
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == [*"321045"], "best first"
    assert rows[5][:3] == ["4", "50.00", "2"]


def test_the_answer_of_a_sweep_comes_first(pages: Path, sweep: Path) -> None:
    page = read_page(pages / "index.html")
    text = page.text
    assert "The best job of these settings: job 3 , seed 1; seeds of the same settings" in text
    assert text.index("The best job") < text.index("Jobs, highest validation")
    contents = page.one("nav", "aria-label", "Contents")
    assert [a.text for a in contents.all("a")][:2] == ["Jobs", "Curves"]


def test_files_of_a_run_are_linked_and_nothing_outside_it(tmp_path: Path) -> None:
    result = result_of(0.5, checkpoint="../secret.ckpt")
    run = make_job(tmp_path / "s", 0, {"a": 1}, result, logged=[0.5])
    (tmp_path / "s" / "secret.ckpt").write_text("")
    page = check_page(report(run, output=tmp_path / "out") / "index.html")
    links = {a.text: a.attributes["href"] for a in page.all("a")}
    assert links["csv/version_0/metrics.csv"] == "../s/0_job/csv/version_0/metrics.csv"
    assert "result.json" in links
    assert not [name for name in links if "secret" in name]
    assert not [one for one in page.all("meta") if "refresh" in str(one.attributes)]
    (run / "wandb_id.txt").write_text("abc\nhttps://wandb.ai/me/p/runs/abc\n")
    make_report([run], tmp_path / "out", refresh=30)
    page = read_page(tmp_path / "out" / "index.html")
    assert "https://wandb.ai/me/p/runs/abc" in [a.attributes["href"] for a in page.all("a")]
    assert page.one("meta", "http-equiv", "refresh").attributes["content"] == "30"


@pytest.mark.parametrize(
    ("overrides", "steps", "status", "expected"),
    [
        (["+experiment=quick"], 350, "finished", "350 steps, 1 min 15 s with validation"),
        (["+experiment=quick", "trainer.max_steps=60"], 60, "finished",
         "60 steps, 1 min 15 s with validation"),
        (["+experiment=quick", "trainer.max_steps=90"], 60, "interrupted",
         "60 of the 90 steps, 1 min 15 s with validation"),
        (["+experiment=gone"], 1, "finished", "1 step, 1 min 15 s with validation"),
    ],
)  # fmt: skip
def test_the_length_of_a_training(
    tmp_path: Path, overrides: list[str], steps: int, status: str, expected: str
) -> None:
    settings = dict(text.split("=") for text in overrides)
    asked = int(settings.get("trainer.max_steps", 350))
    config = {"trainer": {"max_steps": asked}}
    result = result_of(0.5, steps=steps, status=status, overrides=overrides)
    make_job(tmp_path / "s", 0, settings, result, config=config)
    page = read_page(report(tmp_path / "s" / "0_job", output=tmp_path) / "index.html")
    assert f"{expected}, on omniglot, split lake" in page.text


def test_seeds_are_one_row_and_stand_beside_published_results(pages: Path) -> None:
    page = read_page(pages / "index.html")
    caption = "Settings by validation score: mean ± 95% interval over seeds"
    caption += " (default, omniglot, split lake)"
    # 85 and 87: t(1) = 12.7062 standard errors of 1
    assert table_of(page, caption).rows()[1] == [
        "lr=0.01", "86 ± 13", "2", "2, 3", "96 ± 13",
    ]  # fmt: skip
    beside = table_of(page, WITHIN).rows()
    values = {row[0]: row[1] for row in beside}
    assert values["here: job 3 (lr=0.01), lake_runs list"] == "97.00 (95.7-97.9)"
    assert values["convolutional Siamese net"] == "92.0"
    first_hand = [row for row in beside[1:] if "second hand" not in row[-1]]
    numbers = [float(row[1].split()[0]) for row in first_hand]
    assert numbers == sorted(numbers, reverse=True)
    own = [tr for tr in page.all("tr") if tr.attributes.get("class") == "own"]
    assert len(own) == 4, "ours are marked"
    assert "too few jobs to rank settings: 4 finished, 10 needed" in page.text


def test_the_settings_of_a_run(pages: Path) -> None:
    page = read_page(pages / "runs" / "2.html")
    rows = table_of(page, "Settings of the command line").rows()
    assert rows[1:] == [["optimizer.lr", "0.01"], ["seed", "0"]]
    assert "own" in page.one("pre", "aria-label", "Full configuration").text


def test_damaged_and_unfinished_runs(pages: Path, sweep: Path) -> None:
    four, five = (read_page(pages / "runs" / f"{n}.html") for n in (4, 5))
    assert "has not ended" in four.text
    assert "result.json is damaged" in five.text
    assert f"python -m siamese_oneshot.train 'resume={sweep}/4_job'" in four.text
    assert "the best validation score so far is 50.00%" in four.text
    assert "siamese_oneshot.evaluate" in read_page(pages / "runs" / "1.html").text
    left_out = table_of(read_page(pages / "index.html"), "Left out").rows()
    assert left_out[1][0] == "5_job"


def test_the_command_that_continues_is_the_sweeps(tmp_path: Path) -> None:
    alone = result_of(0.5, command="python -m siamese_oneshot.train resume=s/0_job")
    make_job(tmp_path / "s", 0, {"seed": 0}, alone)
    make_job(tmp_path / "s", 1, {"seed": 1}, None)
    content = {"version": 1, "arguments": ["seed=0,1"], "params": {}}
    command = "python -m siamese_oneshot.train -m seed=0,1"
    (tmp_path / "s" / "sweep.json").write_text(json.dumps(content | {"command": command}))
    page = read_page(report(tmp_path / "s", output=tmp_path / "out") / "index.html")
    assert page.one("pre", "aria-label", "The next command").text == command
    make_job(tmp_path / "s", 2, {"seed": 2}, alone)
    (tmp_path / "s" / "1_job" / "result.json").write_bytes(
        (tmp_path / "s" / "0_job" / "result.json").read_bytes()
    )
    page = read_page(report(tmp_path / "s", output=tmp_path / "out") / "index.html")
    assert page.one("pre", "aria-label", "The command of this sweep").text == command


def test_each_of_two_sweeps_names_its_own_command(tmp_path: Path) -> None:
    """Also where their parent is named, and the one that is not complete is to be continued."""
    commands = [f"python -m siamese_oneshot.train -m {one}=0,1" for one in "ab"]
    for name, command, result in zip("ab", commands, (result_of(0.5), None), strict=True):
        make_job(tmp_path / name, 0, {"seed": 0}, result)
        content = {"version": 1, "arguments": [], "params": {}, "command": command}
        (tmp_path / name / "sweep.json").write_text(json.dumps(content))
    for folders in ([tmp_path], [tmp_path / "a", tmp_path / "b"]):
        page = read_page(report(*folders, output=tmp_path / "out") / "index.html")
        assert page.one("pre", "aria-label", "The next command").text == commands[1]
        label = f"The command of {tmp_path / 'a'}"
        assert page.one("pre", "aria-label", label).text == commands[0]
    make_job(tmp_path / "a", 1, {"seed": 1}, None)
    page = read_page(report(tmp_path, output=tmp_path / "out") / "index.html")
    assert page.one("pre", "aria-label", "The next command").text == " ".join(commands)


def test_what_to_run_after_a_sweep(tmp_path: Path) -> None:
    """The best settings with the test set; and a job's page has the command of it alone."""
    for number, (lr, seed, percent) in enumerate(((1, 0, 50), (1, 1, 60), (2, 0, 40))):
        settings = {"lr": lr, "x": "a b", "seed": seed}
        result = result_of(percent / 100, seed, commit="abc+", command="the sweep")
        make_job(tmp_path / "s", number, settings, result)
    out = report(tmp_path / "s", output=tmp_path / "out")
    train = "python -m siamese_oneshot.train lr=1 'x=a b' seed=1"
    command = read_page(out / "index.html").one("pre", "aria-label", "The next command").text
    assert command == f"{train} test=true hydra.mode=RUN"
    page = read_page(out / "runs" / "1.html")
    assert f"command of this job alone {train} hydra.mode=RUN" in page.text
    assert "commit abc, with uncommitted changes" in page.text


def test_nothing_of_a_folder_is_markup(tmp_path: Path) -> None:
    folder = tmp_path / "a <b>&amp; sweep"
    for number in range(2):
        scores = [
            Score.from_counts("lake_runs", "test", EVIL, EVIL, number + 1, 9, EVIL,
                              comparable_with="within_alphabet_20way"),
            Score.from_counts("one_shot", "validation", EVIL, EVIL, 1, 9, EVIL),
        ]  # fmt: skip
        result = result_of(
            0.1 * number, 0, scores=scores, warnings=[EVIL], command=EVIL, hardware=EVIL,
            packages={EVIL: EVIL}, commit=EVIL, checkpoint=EVIL, python=EVIL, precision=EVIL,
            experiment=EVIL, data_split=EVIL, trained_on=EVIL,
        )  # fmt: skip
        settings = {"optimizer.lr": number, f"model.{EVIL}": f"{EVIL}{number}"}
        run = make_job(folder, number, settings, result, error=EVIL, config={EVIL: {EVIL: EVIL}})
        header = f'epoch,step,"train/{EVIL.replace(chr(34), chr(34) * 2)}",val/one_shot_accuracy'
        write_metrics(run, header, "0,1,0.5,0.5", "0,2,0.25,0.75")
        draw(run / "plots" / "step_000002" / "a'\"&<b>.png")
        (run / "train.log").write_text(EVIL)
    run.rename(folder / "1_<img src=x onerror=alert(1)>")
    out = report(folder, output=tmp_path / "out")
    for path in out.rglob("*.html"):
        page = check_page(path)
        assert EVIL in page.text
        assert not page.all("b")
        running = [one for one in page.all("script") if "type" not in one.attributes]
        assert len(running) == 2
        for data in page.all("script"):
            assert "type" not in data.attributes or "<" not in data.text
    assert "onerror" in read_page(out / "runs" / "1.html").all("h1")[0].text


def test_a_page_resolves_nothing_of_this_environment(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PAGES_SECRET", "hunter2")
    config = {"a": "${oc.env:PAGES_SECRET}", "b": "${a}"}
    make_job(tmp_path / "s", 0, {"a": 1, "b": 2}, result_of(0.5), config=config)
    make_job(tmp_path / "s", 1, {"a": 3, "b": 2}, result_of(0.6), config={**config, "a": 3})
    out = report(tmp_path / "s", output=tmp_path / "out")
    assert not [p for p in out.rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]
    assert "${oc.env:PAGES_SECRET}" in read_page(out / "index.html").text


def test_a_page_stays_small_whatever_is_in_the_folder(tmp_path: Path) -> None:
    run = make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5), config={"x": ["y" * 100] * 9000})
    names = [f"{kind}/{n}" for kind in ("train", "gradient_norm", "lr") for n in range(26)]
    numbers = np.random.default_rng(0).random((600, len(names)))
    lines = [f"{n},0.5," + ",".join(map("{:.9f}".format, row)) for n, row in enumerate(numbers)]
    write_metrics(run, ",".join(["step", "val/one_shot_accuracy", *names]), *lines)
    for number in range(2):
        draw(run / "plots" / "step_000001" / f"{number}.png", 500, 500, seed=number)
    (run / "train.log").write_text("z" * 10_000_000)
    out = report(tmp_path / "s", output=tmp_path / "out")
    page = check_page(out / "runs" / "0.html")
    letters = sum(len(image.attributes["src"]) for image in page.all("img"))
    assert letters > 400_000
    rest = (out / "runs" / "0.html").stat().st_size - letters
    assert rest + html.MAX_PLOTS < MAX_PAGE, "with as many plots as there is room for"
    assert "The first 24 of 26 lines" in page.text


def test_a_single_run_is_one_page(tmp_path: Path) -> None:
    out = report(make_job(tmp_path, 0, {"a": 1}, result_of(0.5)), output=tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {"index.html", "report.md", "jobs.csv"}
    page = check_page(out / "index.html")
    assert page.all("h1")[0].text == "default: 0_job"
    assert len(page.all("nav")) == 1, "its contents; there is no sweep"


def test_files_that_are_not_plots(tmp_path: Path) -> None:
    run = make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5))
    plots = run / "plots" / "step_000001"
    png = draw(plots / "episode.png").read_bytes()
    (plots / "filters.png").write_bytes(png[:200])
    (plots / "confusions.png").write_bytes(b"<svg onload=alert(1)>")
    (plots / "linked.png").symlink_to(draw(tmp_path / "private.png"))
    os.mkfifo(plots / "pipe.png")
    (run / "evaluation").mkdir()
    (run / "evaluation" / "evaluation.json").write_text("[1")
    page = check_page(report(tmp_path / "s", output=tmp_path / "out") / "runs" / "0.html")
    assert len(page.all("img")) == 1
    for name in ("filters.png", "confusions.png", "linked.png", "pipe.png"):
        assert f"the plot plots/step_000001/{name} is not shown" in page.text
    assert "evaluation.json is dam" in page.text


def test_a_plot_is_on_the_page_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw(tmp_path / "a.png", 40, 30)
    plot = embed_png(path, html.MAX_PLOTS)
    assert base64.b64decode(plot["address"].partition(",")[2]) == path.read_bytes()
    assert (plot["width"], plot["height"], plot["caption"]) == (40, 30, "a of a set")
    with pytest.raises(ValueError, match="no room left"):
        embed_png(path, 500)
    monkeypatch.setattr(html, "_MAX_PIXELS", 1199)
    with pytest.raises(ValueError, match="1,200 pixels"):
        embed_png(path, html.MAX_PLOTS)
