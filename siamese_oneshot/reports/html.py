"""Self-contained HTML: templates with everything escaped; style, scripts and plots inline."""

from __future__ import annotations

import base64
import io
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siamese_oneshot.utils.io import atomic_write, open_regular
from siamese_oneshot.utils.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_PLOTS = 3_000_000  # characters of all plots of a page together
_MAX_CAPTION = 1000  # characters
_MAX_PIXELS = 50_000_000


def write_page(path: Path, template: str, **content: Any) -> None:
    """Render a page and write it as UTF-8.

    Texts from a run's folder may hold anything: the templates escape all of them, and the page's
    policy allows only its own two scripts, by their hashes.
    """
    bokeh = [_bokeh()] if content.get("charts") else []
    scripts = [*bokeh, template_text("page.js")]
    digests = [base64.b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    page = _environment().get_template(template)
    style = template_text("style.css")
    text = page.render(**content, digests=digests, scripts=scripts, style=style)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(__package__ or ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_plain,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """A text without control characters; of what is markup already, all are escaped."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(map(printable, value.split("\n")))


@cache
def _bokeh() -> str:
    """BokehJS without widgets, tables, WebGL and maps; minified (BSD license)."""
    from bokeh.resources import Resources

    bundle = Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]
    if "</script" in bundle.lower():
        raise ValueError("BokehJS contains </script and cannot stand within a page")
    return bundle.replace("\r\n", "\n")


@cache
def template_text(name: str) -> str:
    """The content of a file of ``templates/``."""
    path = files(__package__ or "").joinpath("templates", name)
    return path.read_text(encoding="utf-8")


def embed_png(path: Path, limit: int, inside: Path | None = None) -> dict[str, Any]:
    """Pack a PNG into a ``data:`` address of at most ``limit`` characters.

    With ``inside``, it must lie in that folder.

    Returns:
        The ``address``, ``width`` and ``height``, and the ``caption`` that `plots.style.save` wrote
        into the file; empty if there is none.

    Raises:
        OSError: If it cannot be read, is not a PNG or is damaged.
        ValueError: If it has too many pixels or does not fit.
    """
    from PIL import Image

    with open_regular(path, MAX_PLOTS, inside) as file:
        content = file.read()
    address = "data:image/png;base64," + base64.b64encode(content).decode()
    if len(address) > limit:
        raise ValueError("there is no room left for it on the page")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise ValueError(f"it has {width * height:,} pixels")
            image.load()
            caption = str(image.info.get("Description", ""))[:_MAX_CAPTION]
            return {"address": address, "width": width, "height": height, "caption": caption}
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
