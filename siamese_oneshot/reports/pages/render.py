"""Pages as HTML: templates with everything escaped, and all that a page needs within it."""

from __future__ import annotations

import base64
import json
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from siamese_oneshot.reports.pages.colours import dark_of_light

if TYPE_CHECKING:
    from jinja2 import Environment

LARGEST = 5_000_000  # bytes of a page
GENERATOR = "siamese_oneshot.report"  # in every page: by it an older page is known as ours
_HERE = "siamese_oneshot.reports.pages"


def render(template: str, **content: Any) -> bytes:
    """A page of ``templates/<template>`` in UTF-8.

    Names and texts of folders may hold anything: the templates escape all of them, and the page's
    policy lets no script run but the two that are meant, known by their digests.
    """
    scripts = [_bokeh(), _script()] if content.get("charts") else [_script()]
    page = (
        _environment()
        .get_template(template)
        .render(
            **content,
            generator=GENERATOR,
            policy=_policy(scripts),
            style=_text("style.css"),
            scripts=scripts,
            dark=json.dumps(dark_of_light()),
        )
    )
    return page.encode("utf-8", "replace")


def _policy(scripts: list[str]) -> str:
    """Nothing from anywhere. Styles are free, as Bokeh makes them as it draws."""
    sources = " ".join(f"'sha256-{_digest(one)}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _bokeh() -> str:
    """BokehJS without widgets, tables, WebGL and maps; minified, under its own licence (BSD)."""
    from bokeh.resources import Resources

    bundle = Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]
    if "</script" in bundle.lower():
        raise ValueError("BokehJS cannot stand within a page: it holds </script")
    return bundle.replace("\r\n", "\n")


@cache
def _script() -> str:
    return _text("page.js")


def _text(name: str) -> str:
    return files(_HERE).joinpath("templates", name).read_text(encoding="utf-8")
