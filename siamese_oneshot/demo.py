"""A page to draw on: ``python -m siamese_oneshot.demo``.

Draw or upload symbols with names, draw one of them again, and see what the network thinks and
where it looks. The page is served to this machine only, and asks nothing of any other.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from siamese_oneshot.classifier import OneShotClassifier
from siamese_oneshot.data.image_folder import class_name, load_supports
from siamese_oneshot.data.image_input import ImageInput, list_errors, read_input
from siamese_oneshot.onnx_export import page
from siamese_oneshot.utils import check
from siamese_oneshot.utils.entry_point import entry_point
from siamese_oneshot.utils.errors import ArgumentError, UserError

_HOSTS = r"(127\.0\.0\.1|localhost|\[::1\])"  # no other name, whoever says that it is this machine
_MAX_BYTES = 64 * 1024**2  # of a request


class Demo:
    """A classifier without classes, and images to begin with, each with its class."""

    def __init__(
        self, classifier: OneShotClassifier, supports: Sequence[tuple[str, ImageInput]] = ()
    ) -> None:
        self.classifier = classifier
        self.supports: dict[str, list[ImageInput]] = {}
        if supports:
            classifier.add_images(*zip(*supports, strict=True))
        for name, image in supports:
            self.supports.setdefault(name, []).append(image)

    def classes(self) -> list[dict[str, Any]]:
        """Name and images of each class, as the network sees them."""
        return [
            {"name": name, "images": [self._seen(image) for image in images]}
            for name, images in self.supports.items()
        ]

    def add(self, name: str, images: Sequence[str]) -> list[dict[str, Any]]:
        """Add images, ``data:`` URLs, of a class; returns all classes."""
        read = [_read(image) for image in images]
        self.classifier.add_class(name, read)
        self.supports.setdefault(class_name(name), []).extend(read)
        return self.classes()

    def remove(self, name: str) -> list[dict[str, Any]]:
        """Remove a class; returns the others."""
        self.classifier.remove_class(name)
        del self.supports[name]
        return self.classes()

    def rank(self, image: str) -> dict[str, Any]:
        """The classes of an image, best first, and where it looks in the best two."""
        (prediction,) = self.classifier.predict(_read(image))
        found = prediction.image
        removed = [f"Without {part}." for part in found.normalized.removed]
        return {
            "classes": [asdict(one) for one in prediction.classes],
            "known": prediction.known,
            "seen": self._seen(found),
            "notes": [*found.notes, *removed],
            "attention": self._attention(found, [one.name for one in prediction.classes[:2]]),
        }

    @torch.no_grad()
    def _attention(self, query: ImageInput, names: list[str]) -> str | None:
        """None for networks without cross-attention."""
        from siamese_oneshot.plots.episode_plots import draw_looks
        from siamese_oneshot.plots.style import GREEN, ORANGE

        network = self.classifier.model.network
        seen = self.classifier.network_input([query, *(self.supports[one][0] for one in names)])
        embedded = network.embed(seen[:, None].float() / 255)
        if (looks := network.attention(embedded[0], embedded[1:])) is None:
            return None
        shown = list(zip(seen[1:], looks, ("best", "second"), (GREEN, ORANGE), strict=False))
        return _url(partial(draw_looks(seen[0], shown).savefig, dpi=80))

    def _seen(self, image: ImageInput) -> str:
        pixels = 255 - self.classifier.network_input([image])[0].numpy()
        return _url(Image.fromarray(pixels).save)


def _url(save: Callable[..., None]) -> str:
    save(stream := io.BytesIO(), format="png")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _read(url: str) -> ImageInput:
    return read_input(base64.b64decode(url.partition(",")[2]))


class _Page(RequestHandler):
    def initialize(self, text: str) -> None:
        self.text = text

    def get(self) -> None:
        self.write(self.text)


class _Action(RequestHandler):
    def initialize(self, act: Callable[..., Any]) -> None:
        self.act = act

    def post(self) -> None:
        # Pages of others may not send this type without asking.
        if self.request.headers.get("Content-Type") != "application/json":
            self.send_error(415)
            return
        try:
            self.write(json.dumps(self.act(**json.loads(self.request.body))))
        except (UserError, ValueError, TypeError) as error:
            self.set_status(400)
            self.write({"error": str(error)})


def application(demo: Demo) -> Application:
    """The page and its actions."""
    text = page({"server": True, "name": demo.classifier.model.name}, {})
    acts = {"classes": demo.classes, "add": demo.add, "remove": demo.remove, "rank": demo.rank}
    app = Application()  # answers no other host's name
    actions = [(f"/{name}", _Action, {"act": act}) for name, act in acts.items()]
    app.add_handlers(_HOSTS, [("/", _Page, {"text": text}), *actions])
    return app


async def serve(demo: Demo, port: int) -> None:
    """Serve the page on the loopback interface until the task is cancelled."""
    try:
        sockets = bind_sockets(check.integer("port", port, 0, 65535), "127.0.0.1")
    except OSError as error:
        message = f"{error.strerror}: choose another --port, or 0 for any that is free"
        raise ArgumentError("port", port, message=message) from error
    HTTPServer(application(demo), max_buffer_size=_MAX_BYTES).add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    print(f"Open {url} in a browser; Ctrl-C ends it", flush=True)
    await asyncio.Event().wait()


@entry_point()
def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    weights = "pretrained (the default), dense, a run's folder or a file of weights"
    parser.add_argument("weights", nargs="?", default="pretrained", help=weights)
    parser.add_argument("--support", type=Path, help="a folder of symbols to begin with")
    parser.add_argument("--port", type=int, default=7860, help="0 for any that is free")
    text = "a module outside the package whose classes the weights may reference; repeatable"
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=text)
    given = parser.parse_args()
    try:
        classifier = OneShotClassifier.from_pretrained(given.weights, trust=given.trust)
        supports: list[tuple[str, ImageInput]] = []
        if given.support:
            found = load_supports(given.support)
            supports = [(str(name), image) for name, image in found.images]
            if found.errors:
                print(f"Skipped {len(found.errors)}:\n{list_errors(found.errors)}", file=sys.stderr)
        demo = Demo(classifier, supports)
        asyncio.run(serve(demo, given.port))
    except KeyboardInterrupt:
        pass
    except (UserError, OSError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
