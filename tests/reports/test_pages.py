"""The pages of a report, read back: structure, numbers, links, escapes, size, damage."""

from __future__ import annotations

import base64
import json
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
from reading import Element, read_page, table_of

from siamese_oneshot.evaluation.scores import Score
from siamese_oneshot.report import main
from siamese_oneshot.reports.pages import images
from siamese_oneshot.reports.pages.render import LARGEST

WITHIN = "20-way one-shot within one alphabet, 400 trials: the official runs or the paper's rule"

EVIL = "<script>alert(1)</script>\"'&<b>"


def report(*folders: Path, output: Path) -> Path:
    main([*map(str, folders), "--output", str(output), "--wandb", "disabled"])
    return output


def draw(path: Path, width: int = 300, height: int = 200, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def metrics(folder: Path, header: str, *lines: str) -> None:
    place = folder / "csv" / "version_0"
    place.mkdir(parents=True, exist_ok=True)
    (place / "metrics.csv").write_text("\n".join([header, *lines]) + "\n")


def write_evaluation(run: Path, model: dict[str, Any], source: str = "omniglot") -> None:
    content = {"data_source": source, "data_digest": "drawn" if source == "omniglot" else "other"}
    told = {"kind": "network", "split": "lake", "alphabets": [], "scores": []} | model
    (run / "evaluation").mkdir(exist_ok=True)
    (run / "evaluation" / "evaluation.json").write_text(json.dumps({**content, "models": [told]}))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings by two seeds, one of them with everything; an unfinished job; damage."""
    folder = tmp_path_factory.mktemp("pages") / "my sweep"
    for number, (lr, seed, right) in enumerate(
        ((0.1, 0, 850), (0.1, 1, 870), (0.01, 0, 950), (0.01, 1, 970))
    ):
        scores = scores_of({"validation/one_shot": right - 100, "test/lake_runs": right})
        result = result_of((right - 100) / 1000, seed, scores=scores, warnings=["on few images"])
        config = {"seed": seed, "optim": {"lr": lr, "own": 7}}
        make_job(folder, number, {"optimizer.lr": lr, "seed": seed}, result, config=config,
                 logged=[0.2, (right - 100) / 1000])  # fmt: skip
    full = folder / "0_job"
    metrics(
        full,
        "epoch,step,lr/a,lr/b,momentum/a,train/loss,gradient_norm/all,"
        "speed/images_per_second,speed/data_wait,val/one_shot_accuracy,val/one_shot_ci_low,"
        "val/one_shot_ci_high,val/verification_accuracy,val/verification_auroc",
        "0,9,,,,,,,,0.25,0.2242,0.2778,0.5,0.5125",
        "0,9,0.5,0.25,0.9,2.5,1.5,100,0.01,,,,,",
        "1,19,0.4,0.2,0.9,1.5,1.25,90,0.02,,,,,",
        "1,19,,,,,,,,0.75,0.7222,0.7758,0.875,0.9375",
    )
    for step in (10, 20):
        for name in ("trial", "mistakes", "pairs"):
            draw(full / "pictures" / f"step_{step:06d}" / f"{name}.png", seed=step)
    draw(full / "evaluation" / "pictures" / "ways.png")
    model = {
        "scores": [
            vars(Score.from_counts(key, "test", name, "how", 3, 4, "d"))
            for name, key in (("2-way", "ways_test_02"), ("5-way 1-shot", "few_5_1"))
        ]
    }
    write_evaluation(full, model)
    make_job(folder, 4, {"optimizer.lr": 2.0}, None, logged=[0.5])
    (make_job(folder, 5, {"optimizer.lr": 3.0}, None) / "result.json").write_text("{")
    return folder


@pytest.fixture(scope="module")
def pages(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(sweep, output=tmp_path_factory.mktemp("report"))


def every_page(folder: Path) -> list[Path]:
    return [folder / "index.html", *sorted((folder / "runs").glob("*.html"))]


def check_page(path: Path) -> Element:
    """What holds of every page: whole in itself, sound, small, and open to everybody."""
    assert path.stat().st_size <= LARGEST
    page = read_page(path)
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    assert page.all("title")[0].text
    assert "width=device-width" in str([one.attributes for one in page.all("meta")])
    levels = [int(one.name[1]) for one in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [
        e.attributes["id"]
        for e in page.all(*{e.name for e in _every(page)})
        if "id" in e.attributes
    ]
    assert len(ids) == len(set(ids))
    for element in _every(page):
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
            (data,) = [s for s in page.all("script") if s.attributes.get("id") == f"data-{key}"]
            assert json.loads("".join(map(str, data.children)))["root_id"]
    _check_policy(page)
    return page


def _every(element: Element) -> list[Element]:
    found = []
    for child in element.children:
        if isinstance(child, Element):
            found += [child, *_every(child)]
    return found


def _check_policy(page: Element) -> None:
    (policy,) = [
        one.attributes["content"]
        for one in page.all("meta")
        if one.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
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


def test_every_page_is_sound_and_whole(pages: Path) -> None:
    found = every_page(pages)
    assert [path.name for path in found] == [
        "index.html", *(f"{number}_job.html" for number in range(6)),
    ]  # fmt: skip
    for path in found:
        check_page(path)


def test_links_lead_round_the_sweep(pages: Path) -> None:
    index = read_page(pages / "index.html")
    rows = [a.attributes["href"] for a in index.all("a") if "runs/" in a.attributes["href"]]
    assert rows == [f"runs/{number}_job.html" for number in range(6)]
    place = (pages / rows[0]).resolve()
    walked = []
    while place is not None:
        walked.append(place.name)
        (nav,) = read_page(place).all("nav")
        links = {a.attributes.get("rel", "up"): a.attributes["href"] for a in nav.all("a")}
        assert (place.parent / links["up"]).resolve() == (pages / "index.html").resolve()
        place = (place.parent / unquote(links["next"])).resolve() if "next" in links else None
    assert walked == [f"{number}_job.html" for number in range(6)]
    (nav,) = read_page(pages / "runs" / "3_job.html").all("nav")
    assert [a.attributes["href"] for a in nav.all("a")][1] == "2_job.html"


def test_the_numbers_of_a_run_are_those_of_its_result(pages: Path, sweep: Path) -> None:
    page = read_page(pages / "runs" / "0_job.html")
    told = json.loads((sweep / "0_job" / "result.json").read_text())
    rows = table_of(page, "scores at the end of training").rows()
    assert rows[1:] == [
        [
            score["name"],
            f"{100 * score['value']:.2f}",
            f"{100 * score['low']:.1f}-{100 * score['high']:.1f}",
            f"{score['trials']:,}",
            score["protocol"],
        ]
        for score in told["scores"]
    ]
    assert rows[2][1:4] == ["85.00", "82.7-87.1", "1,000"], "Wilson's interval of 850 in 1,000"
    assert table_of(page, "scores of the evaluation afterwards").rows()[1:] == [
        ["5-way 1-shot", "75.00", "30.1-95.4", "4", "how"]
    ]
    beside = table_of(page, WITHIN).rows()
    assert ["here: this run, official list", "85.00 (82.7-87.1)", "1,000"] in [
        row[:3] for row in beside
    ]
    (verdict,) = [p.text for p in page.all("p") if p.attributes.get("class", "").startswith("verd")]
    assert verdict.startswith("85.00% (95% interval 82.7 to 87.1) on official list, 1,000 trials: ")
    assert "below the paper's 92.0%, below humans' 95.5%" in verdict
    text = page.text
    for words in ("on few images", "drawn", "32-true", "1 min 15 s", str(sweep / "0_job")):
        assert words in text


def evaluated_page(folder: Path, trained_on: str, asked: str) -> Element:
    """A run with 50% on the official runs, of which a later evaluation says 99%."""
    own = scores_of({"test/lake_runs": 500})
    made = make_job(folder, 0, {"a": 1}, result_of(0.5, scores=own, data_source=trained_on))
    later = Score.from_counts(
        "lake_runs", "test", "official list", "20-way", 990, 1000, "d",
        comparable_with="within_alphabet_20way",
    )
    write_evaluation(made, {"scores": [vars(later)]}, asked)
    return check_page(report(made, output=folder / "out") / "index.html")


def test_an_evaluation_of_the_same_data_takes_the_place_of_a_runs_own(tmp_path: Path) -> None:
    page = evaluated_page(tmp_path, "omniglot", "omniglot")
    rows = [row[:2] for row in table_of(page, WITHIN).rows() if row[0].startswith("here")]
    assert rows == [["here: this run, official list", "99.00 (98.2-99.5)"]]


def test_an_evaluation_of_other_data_stays_apart(tmp_path: Path) -> None:
    page = evaluated_page(tmp_path, "omniglot", "folder")
    rows = [row[:2] for row in table_of(page, WITHIN).rows() if row[0].startswith("here")]
    assert rows == [["here: this run, official list", "50.00 (46.9-53.1)"]]
    assert table_of(page, "scores of the evaluation afterwards, on folder (split lake)").rows()


def test_a_run_on_generated_alphabets_is_compared_where_it_was_asked_of_omniglot(
    tmp_path: Path,
) -> None:
    page = evaluated_page(tmp_path, "synthetic", "omniglot")
    (row,) = [row for row in table_of(page, WITHIN).rows() if row[0].startswith("here")]
    assert row[1] == "99.00 (98.2-99.5)"
    assert row[3] == "data=synthetic"
    (told,) = [p.text for p in page.all("p") if p.attributes.get("class", "").startswith("verd")]
    assert told.startswith("99.00% (95% interval 98.2 to 99.5) on official list")


def test_the_curves_of_a_run(pages: Path) -> None:
    page = read_page(pages / "runs" / "0_job.html")
    keys = [d.attributes["id"] for d in page.all("div") if d.attributes.get("class") == "plot"]
    assert keys == [
        f"chart-{key}"
        for key in (
            "validation", "verification", "loss", "rates", "momentum", "gradients", "speed", "wait",
        )
    ]  # fmt: skip
    assert table_of(page, "Every validation").rows()[1:] == [
        ["9", "25.00", "22.42", "27.78", "50.00", "0.5125"],
        ["19", "75.00", "72.22", "77.58", "87.50", "0.9375"],
    ]
    rates = table_of(page, "Learning rate of each layer").rows()[1:]
    assert rates == [["a", "0.5", "0.4", "0.4", "0.5"], ["b", "0.25", "0.2", "0.2", "0.25"]]
    assert table_of(page, "Waiting for data").rows()[1] == ["data wait", "1", "2", "1", "2"]
    (data,) = [s for s in page.all("script") if s.attributes.get("id") == "data-validation"]
    item = "".join(map(str, data.children))
    assert json.loads(item)["doc"]["version"]
    assert '"low"' in item
    assert '"high"' in item


def test_a_chart_without_intervals(tmp_path: Path) -> None:
    run = make_job(tmp_path, 0, {"a": 1}, None, logged=[0.5, 0.75])
    page = check_page(report(run, output=tmp_path / "out") / "index.html")
    rows = table_of(page, "Every validation").rows()
    assert rows[0][:3] == ["step", "one-shot %", "verification %"]
    assert [row[1] for row in rows[1:]] == ["50.00", "75.00"]


def test_the_images_of_a_run(pages: Path) -> None:
    page = read_page(pages / "runs" / "0_job.html")
    headings = [one.text for one in page.all("h3")][-2:]
    assert headings == ["On validation trials, at step 20", "On test trials, from the evaluation"]
    alts = [one.attributes["alt"] for one in page.all("img")]
    assert len(alts) == 4, "the latest album, and the evaluation's"
    assert "at step 20, 75.00% are answered right" in alts[0]
    assert "87.50% of pairs are told right, AUROC 0.9375" in alts[2]
    assert "2 ways 75.0%" in alts[3]


def test_the_table_of_jobs(pages: Path) -> None:
    page = read_page(pages / "index.html")
    (table,) = [one for one in page.all("table") if one.attributes.get("class") == "sortable"]
    rows = table.rows()
    assert rows[0] == [
        "job", "status", "validation %", "official list %", "lr", "seed", "training", "error",
    ]  # fmt: skip
    assert rows[3][:6] == [
        "2", "finished", "85.00 (82.7-87.1, 1,000 trials)", "95.00 (93.5-96.2, 1,000 trials)",
        "0.01", "0",
    ]  # fmt: skip
    assert rows[5][:3] == ["4", "unfinished", "50.00"]
    orders = [[c.attributes.get("data-order") for c in r.all("td", "th")] for r in table.all("tr")]
    assert [row[4] for row in orders[1:]] == ["0.1", "0.1", "0.01", "0.01", "2.0", "3.0"]
    assert orders[6][2] == "", "what is not known"


def test_seeds_are_one_row_and_stand_beside_the_published(pages: Path) -> None:
    page = read_page(pages / "index.html")
    caption = (
        "settings by validation, mean ± 95% interval over seeds (default, omniglot, split lake)"
    )
    # 85 and 87: t(1) = 12.7062 standard errors of 1
    assert table_of(page, caption).rows()[1] == [
        "lr=0.01", "2, 3", "2", "86.00 ± 12.71", "96.00 ± 12.71",
    ]  # fmt: skip
    beside = table_of(page, WITHIN).rows()
    values = {row[0]: row[1] for row in beside}
    assert values["here: job 3 (lr=0.01), official list"] == "97.00 (95.7-97.9)"
    assert values["convolutional Siamese net"] == "92.0"
    numbers = [float(row[1].split()[0]) for row in beside[1:]]
    assert numbers == sorted(numbers, reverse=True)


def test_what_differs_from_the_defaults(pages: Path) -> None:
    page = read_page(pages / "runs" / "2_job.html")
    rows = table_of(page, "settings that differ from the defaults").rows()
    assert ["optimizer.lr", "0.01", "0.002"] in rows
    assert ["optimizer.own", "7", "not set"] in rows
    assert not [row for row in rows if row[0] == "seed"], "0 is the default"


def test_damage_and_what_is_unfinished_are_told(pages: Path, sweep: Path) -> None:
    def warnings(number: int) -> str:
        page = read_page(pages / "runs" / f"{number}_job.html")
        return " ".join(p.text for p in page.all("p") if p.attributes.get("class") == "warning")

    assert "has not ended" in warnings(4)
    assert "result.json is damaged" in warnings(5)
    text = read_page(pages / "runs" / "4_job.html").text
    assert f"python -m siamese_oneshot.train 'resume={sweep}/4_job'" in text
    assert "the best validation score so far is 50.00%" in text
    assert "resume=" not in read_page(pages / "runs" / "0_job.html").text
    left = table_of(read_page(pages / "index.html"), "left out").rows()
    assert left[1][0] == "5_job"


def test_the_command_that_goes_on_is_the_sweeps(tmp_path: Path) -> None:
    by_itself = result_of(0.5, command="python -m siamese_oneshot.train resume=s/0_job")
    make_job(tmp_path / "s", 0, {"seed": 0}, by_itself)
    make_job(tmp_path / "s", 1, {"seed": 1}, None)
    told = {"version": 1, "arguments": ["seed=0,1"], "params": {}}
    for command in ("", "python -m siamese_oneshot.train -m seed=0,1"):
        more = {"command": command} if command else {}
        (tmp_path / "s" / "sweep.json").write_text(json.dumps(told | more))
        page = read_page(report(tmp_path / "s", output=tmp_path / "out") / "index.html")
        label = "The command that goes on with this sweep"
        found = [one for one in page.all("pre") if one.attributes["aria-label"] == label]
        assert [one.text for one in found] == ([command] if command else [])


def test_nothing_of_a_folder_is_markup(tmp_path: Path) -> None:
    folder = tmp_path / "a <b>&amp; sweep"
    for number in range(4):
        scores = [
            Score.from_counts("lake_runs", "test", EVIL, EVIL, number + 1, 9, EVIL),
            Score.from_counts("one_shot", "validation", EVIL, EVIL, 1, 9, EVIL),
        ]
        result = result_of(
            0.1 * number, 0, scores=scores, warnings=[EVIL], command=EVIL, hardware=EVIL,
            packages={EVIL: EVIL}, commit=EVIL, checkpoint=EVIL, python=EVIL, precision=EVIL,
            experiment=EVIL, data_split=EVIL,
        )  # fmt: skip
        settings = {"optimizer.lr": number, f"model.{EVIL}": f"{EVIL}{number}"}
        made = make_job(folder, number, settings, result, error=EVIL, config={EVIL: {EVIL: EVIL}})
        header = f'epoch,step,"train/{EVIL.replace(chr(34), chr(34) * 2)}",val/one_shot_accuracy'
        metrics(made, header, "0,1,0.5,0.5", "0,2,0.25,0.75")
        draw(made / "pictures" / "step_000002" / "a'\"&<b>.png")
        (made / "train.log").write_text(EVIL)
    made.rename(folder / "3_<img src=x onerror=alert(1)>")
    out = report(folder, output=tmp_path / "out")
    for path in every_page(out):
        page = check_page(path)
        assert EVIL in page.text
        assert not page.all("b")
        running = [one for one in page.all("script") if "type" not in one.attributes]
        assert len(running) == 2
        for data in page.all("script"):
            if "type" in data.attributes:
                assert "<" not in data.text
    assert "onerror" in read_page(sorted((out / "runs").glob("3_*"))[0]).all("h1")[0].text


def test_a_page_looks_nothing_up_for_a_stranger(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PAGES_SECRET", "hunter2")
    config = {"a": "${oc.env:PAGES_SECRET}", "b": "${a}", "c": 5, "d": "${c}", "e": ["${c}"]}
    swept = {"a": 1, "b": 2, "c": 5}
    make_job(tmp_path / "s", 0, swept, result_of(0.5), config=config)
    make_job(tmp_path / "s", 1, {**swept, "a": 3}, result_of(0.6), config={**config, "a": 3})
    out = report(tmp_path / "s", output=tmp_path / "out")
    page = read_page(out / "runs" / "0_job.html")
    for written in out.rglob("*"):
        assert not written.is_file() or b"hunter2" not in written.read_bytes()
    (whole,) = [
        p for p in page.all("pre") if p.attributes["aria-label"] == "The whole configuration"
    ]
    assert whole.text == "a: ${oc.env:PAGES_SECRET} b: ${oc.env:PAGES_SECRET} c: 5 d: 5 e: - 5"


def test_a_page_stays_small_whatever_is_in_the_folder(tmp_path: Path) -> None:
    made = make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5), config={"x": ["y" * 100] * 9000})
    names = [f"{kind}/{n}" for kind in ("train", "gradient_norm", "lr") for n in range(60)]
    rng = np.random.default_rng(0)
    lines = [
        f"{step},0.5," + ",".join(map("{:.9f}".format, rng.random(len(names))))
        for step in range(1000)
    ]
    metrics(made, ",".join(["step", "val/one_shot_accuracy", *names]), *lines)
    for number in range(2):
        draw(made / "pictures" / "step_000001" / f"{number}.png", 500, 500, seed=number)
    (made / "train.log").write_text("z" * 10_000_000)
    out = report(tmp_path / "s", output=tmp_path / "out")
    page = check_page(out / "runs" / "0_job.html")
    letters = sum(len(one.attributes["src"]) for one in page.all("img"))
    assert letters > 400_000
    rest = (out / "runs" / "0_job.html").stat().st_size - letters
    assert rest + images.ROOM < LARGEST, "were there as many images as there is room for"
    assert "The first 24 of 60 lines" in page.text


def test_a_run_by_itself_is_one_page(tmp_path: Path) -> None:
    run = make_job(tmp_path, 0, {"a": 1}, result_of(0.5), told=False)
    out = report(run, output=tmp_path / "out")
    assert not (out / "runs").exists()
    page = check_page(out / "index.html")
    assert page.all("h1")[0].text == "0_job"
    assert not page.all("nav")


def test_pages_of_an_older_report_go_and_others_stay(tmp_path: Path) -> None:
    for number in range(2):
        make_job(tmp_path / "s", number, {"a": number}, result_of(0.5))
    out = report(tmp_path / "s", output=tmp_path / "out")
    (out / "runs" / "mine.html").write_text("<html>")
    report(tmp_path / "s" / "1_job", output=out)
    assert [path.name for path in (out / "runs").iterdir()] == ["mine.html"]


def test_images_that_are_none(tmp_path: Path) -> None:
    made = make_job(tmp_path / "s", 0, {"a": 1}, result_of(0.5))
    validation_plots = made / "pictures" / "step_000001"
    draw(validation_plots / "trial.png")
    (validation_plots / "ways.png").write_bytes((validation_plots / "trial.png").read_bytes()[:200])
    (validation_plots / "pairs.png").write_bytes(b"<svg onload=alert(1)>")
    (made / "evaluation").mkdir()
    (made / "evaluation" / "evaluation.json").write_text("[1")
    page = check_page(report(tmp_path / "s", output=tmp_path / "out") / "runs" / "0_job.html")
    assert len(page.all("img")) == 1
    told = " ".join(p.text for p in page.all("p") if p.attributes.get("class") == "warning")
    for name in ("step_000001/ways.png", "step_000001/pairs.png", "evaluation.json is damaged"):
        assert name in told
