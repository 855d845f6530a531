"""Pages as Chromium shows them: no errors, nothing loaded, no sideways scroll, charts, sorting.

``pytest -m browser`` runs it where a Chromium is on the PATH and ``pip install -e ".[browser]"``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import problems_of
from made_jobs import make_job, result_of, scores_of
from PIL import Image

from siamese_oneshot.report import main

pytestmark = pytest.mark.browser
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    for number, right in enumerate((700, 900, 800, 600)):
        scores = scores_of({"validation/one_shot": right, "test/lake_runs": right})
        made = make_job(folder / "s", number, {"optimizer.lr": 10**-number, f"act.{EVIL}": EVIL},
                        result_of(right / 1000, scores=scores))  # fmt: skip
        place = made / "csv" / "version_0"
        place.mkdir(parents=True)
        lines = [f"{step},{right / 2000},{1 / step},{step / 100}" for step in (1, 2, 3)]
        header = f"step,val/one_shot_accuracy,train/loss,train/{EVIL}"
        (place / "metrics.csv").write_text("\n".join([header, *lines]))
        validation_plots = made / "plots" / "step_000003"
        validation_plots.mkdir(parents=True)
        pixels = np.zeros((300, 900, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(validation_plots / "mistakes.png")
    out = folder / "out"
    main([str(folder / "s"), "--output", str(out)])
    return out


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_in_a_browser(browser: Any, pages: Path, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 500,
        offline=True,
    )  # fmt: skip
    page = context.new_page()
    messages = problems_of(page)
    page.on("dialog", lambda one: (messages.append("a script of a folder runs"), one.dismiss()))
    loaded: list[str] = []
    page.on("request", lambda one: loaded.append(one.url.partition(":")[0]))
    page.goto((pages / "index.html").as_uri())
    _check(page, width, scheme, charts=3)
    _check_controls(page)
    numbers = "return [...document.querySelectorAll('table.sortable tbody tr')]"
    numbers += ".map((row) => row.cells[0].textContent.trim()).join()"
    heading = page.locator("table.sortable th button", has_text="validation")
    heading.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(f"(() => {{{numbers}}})()") == "3,0,2,1"
    page.locator("#filter").fill("lr=0.01")
    assert page.locator("table.sortable tbody tr:visible").count() == 1
    page.locator("#filter").fill("")
    heading.click()
    assert page.evaluate(f"(() => {{{numbers}}})()") == "1,2,0,3"
    assert heading.locator("..").get_attribute("aria-sort") == "descending"
    page.locator("table.sortable").get_by_role("link", name="job 1").click()
    _check(page, width, scheme, charts=2)
    _check_heading_below_contents(page)
    page.locator("button.zoom").click()
    assert page.evaluate("document.querySelector('#full img').naturalWidth") == 900
    page.get_by_role("button", name="Close").click()
    assert EVIL in _tooltip(page, "#chart-loss"), "the name of a line, as text"
    page.get_by_role("link", name="job 2 ›").click()
    assert page.title() == "default: 2_job: finished"
    assert messages == []
    assert set(loaded) <= {"file", "data"}
    context.close()


def _check_controls(page: Any) -> None:
    """Two jobs beside each other, smoother curves."""
    page.select_option("#first", "3")
    row = page.locator("#pair tbody tr").first.inner_text()
    assert row.split("\t") == ["job", "3", "2"]
    page.locator("#smoothing").fill("0.9")
    page.locator("#smoothing").dispatch_event("input")


def _check_heading_below_contents(page: Any) -> None:
    page.locator(".contents a", has_text="Curves").click()
    heading, contents = (page.locator(one).bounding_box() for one in ("#curves", ".contents"))
    assert heading["y"] >= contents["y"] + contents["height"] - 1


def _tooltip(page: Any, chart: str) -> str:
    """The tooltip of the lowest line of a chart."""
    place = page.locator(f"{chart} canvas").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    messages = page.locator(".bk-tooltip-row-value")  # Bokeh hangs it below the body
    for part in range(80, 20, -1):
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] * part / 100)
        page.wait_for_timeout(30)
        if messages.count():
            box = page.locator(".bk-Tooltip").first.bounding_box()
            assert 0 <= box["x"] <= page.viewport_size["width"] - box["width"], "all of it is seen"
            return " ".join(messages.all_text_contents())
    return ""


def _check(page: Any, width: int, scheme: str, charts: int) -> None:
    page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".plot canvas").count() >= charts
    for plot in page.locator(".plot").all():
        assert plot.bounding_box()["height"] > 100
        assert plot.bounding_box()["width"] <= width
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
