"""The page to draw on: its actions, who may ask for them, and real mouse strokes."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from drawn import SYMBOLS, draw, opened, shows
from PIL import Image, ImageDraw

from siamese_oneshot import OneShotClassifier
from siamese_oneshot.data.image_input import read_input
from siamese_oneshot.demo import Demo, main, serve
from siamese_oneshot.utils.errors import UserError


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of the command, in a process of its own."""
    line = [sys.executable, "-m", "siamese_oneshot.demo", "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1] + "/"
        process.terminate()


def test_a_port_that_is_taken_or_none_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port={taken}: .* choose another --port"):
            asyncio.run(serve(None, taken))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="port=65536: it must be an integer from 0 to 65535"):
        asyncio.run(serve(None, 65536))  # type: ignore[arg-type]


def test_modules_of_ones_own_are_trusted_where_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def load(name: str, trust: list[str]) -> None:
        asked.append((name, trust))
        raise UserError("no need to serve it")

    monkeypatch.setattr(OneShotClassifier, "from_pretrained", load)
    monkeypatch.setattr("sys.argv", ["demo", "run", "--trust", "my_models", "--trust", "others"])
    with pytest.raises(SystemExit, match="no need to serve it"):
        main()
    assert asked == [("run", ["my_models", "others"])]


def test_supports_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Demo] = []

    async def keep(demo: Demo, _: int) -> None:
        begun.append(demo)

    (tmp_path / "ring.png").write_bytes(content_of(drawing("ring")))
    (tmp_path / "tee.heic").write_bytes(b"no image")
    monkeypatch.setattr("siamese_oneshot.demo.serve", keep)
    monkeypatch.setattr("sys.argv", ["demo", "--support", str(tmp_path)])
    main()
    assert begun[0].classifier.classes == ("ring",)
    assert f"Skipped 1:\n  {tmp_path / 'tee.heic'}: its format" in capsys.readouterr().err


def drawing(name: str, shift: int = 0) -> str:
    image = Image.new("L", (280, 280), 255)
    for stroke in SYMBOLS[name]:
        ImageDraw.Draw(image).line([(x + shift, 0.9 * y) for x, y in stroke], 0, 9, "curve")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def content_of(data_url: str) -> bytes:
    return base64.b64decode(data_url.partition(",")[2])


def ask(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **headers}
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        content = error.read()
        return error.code, json.loads(content) if content.startswith(b"{") else None


def test_what_the_page_shows_is_what_the_classifier_says() -> None:
    demo = Demo(OneShotClassifier.from_pretrained("pretrained"))
    for name in SYMBOLS:
        shown = demo.add(name, [drawing(name)])
    assert [one["name"] for one in shown] == list(SYMBOLS)
    demo.add("tee", [drawing("tee", 5)])
    query = drawing("ring", 9)
    found = demo.rank(query)
    (prediction,) = demo.classifier.predict(content_of(query))
    scores = [(one["name"], one["score"], one["probability"]) for one in found["classes"]]
    assert scores == [(one.name, one.score, one.probability) for one in prediction.classes]
    assert (scores[0][0], found["known"]) == ("ring", prediction.known)
    attention = Image.open(io.BytesIO(content_of(found["attention"])))
    assert attention.width > 700
    left = demo.remove("tee")
    assert [one["name"] for one in left] == list(SYMBOLS)[1:] == list(demo.classifier.classes)
    supports = [(name, read_input(content_of(drawing(name)))) for name in ("ring", "tee", "ring")]
    plain = Demo(OneShotClassifier.from_pretrained("dense"), supports)
    assert [(one["name"], len(one["images"])) for one in plain.classes()] == [
        ("ring", 2), ("tee", 1),
    ]  # fmt: skip
    assert plain.classifier.classes == ("ring", "tee")
    assert plain.rank(query)["attention"] is None  # the network has no cross-attention


def test_only_this_machine_and_this_page_are_answered(url: str) -> None:
    assert ask(f"{url}classes", {}) == (200, [])
    for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}):
        assert ask(f"{url}classes", {}, **headers)[0] == 404
    assert ask(f"{url}classes", {}, **{"Content-Type": "text/plain"})[0] == 415
    code, content = ask(f"{url}add", {"name": "a", "images": ["data:image/png;base64,AAAA"]})
    assert code == 400
    assert "its format is unknown" in content["error"]
    code, content = ask(f"{url}rank", {"image": drawing("tee")})
    assert (code, content["error"][:24]) == (400, "there are no classes yet")
    assert ask(f"{url}classes", {}) == (200, [])


@pytest.mark.browser
def test_symbols_are_drawn_and_recognized(browser: Any, url: str) -> None:
    with opened(browser, url, offline=False) as page:
        for name, strokes in SYMBOLS.items():
            draw(page, "#support", strokes)
            page.fill("#name", name)
            page.click("#add")
            shows(page, "#gallery", name)
        for name, strokes in SYMBOLS.items():
            page.click("#clear-query")
            draw(page, "#query", strokes, shift=6, zoom=0.85)
            shows(page, "#verdict", name)
            assert page.inner_text("#ranking tbody tr td") == name
        page.wait_for_selector("#attention")
        page.click("text=remove")
        page.locator("#gallery li", has_text="tee").wait_for(state="detached")
        page.reload()
        shows(page, "#gallery", "ring")
        assert page.locator("#gallery li").count() == len(SYMBOLS) - 1
