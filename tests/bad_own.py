"""Damaged images, networks and digits, and what the error message must say.

Each function writes into the working folder, in which ``support``, ``query`` and ``symbols`` are
good folders of images, and gives the command that must be refused.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bad_omniglot import vast_png
from PIL import Image, ImageDraw
from tiny_network import checkpoint, header, state_dict

Make = Callable[[], list[str]]  # the command and its settings
FOLDER = ["train", "data.source=folder", "data.split=ratio_60_20_20", "data.root=symbols"]
PREDICT = ["predict", "support=support", "query=query"]


def draw(path: str, slope: int) -> None:
    """A line on white."""
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).line((5, 5 + slope, 35, 35 - slope), 0, 4)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def good() -> None:
    """The folders that are spoilt afterwards."""
    for kind in range(3):
        draw(f"support/class{kind}/a.png", 8 * kind)
        draw(f"query/q{kind}.png", 8 * kind)
        for number in range(27):
            alphabet, character = divmod(number // 3, 3)
            draw(f"symbols/alphabet{alphabet}/class{character}/{number}.png", number)


def empty(path: str) -> None:
    shutil.rmtree(path)
    Path(path).mkdir()


def emptied(root: str, command: list[str]) -> Make:
    return lambda: [empty(root), command][1]


def only(path: str, data: bytes, command: list[str]) -> Make:
    """The folder of that file holds nothing else."""

    def make() -> list[str]:
        top = Path(path).parts[0]
        empty(top)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)
        return command

    return make


def many_empty_classes() -> list[str]:
    empty("symbols")
    for number in range(1_000):
        os.mkdir(f"symbols/class{number}")
    return FOLDER


def truncated() -> list[str]:
    draw("query/x.png", 3)
    data = Path("query/x.png").read_bytes()
    return only("query/x.png", data[: len(data) // 2], PREDICT)()


def links_in_a_circle() -> list[str]:
    empty("query")
    os.symlink("..", "query/up")
    os.symlink("self", "query/self")
    return PREDICT


def pipe() -> list[str]:
    empty("query")
    os.mkfifo("query/pipe.png")
    return PREDICT


def odd_names() -> list[str]:
    """Names that are no text, and images that are none."""
    empty("query")
    Path(os.fsdecode(b"query/\xff\xfe.png")).write_bytes(b"\0")
    return PREDICT


def one_image_a_class() -> list[str]:
    for folder in Path("symbols").glob("*/*"):
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()
    return FOLDER


def few_classes() -> list[str]:
    for name in ("alphabet0", "alphabet1", "alphabet2/class2"):
        shutil.rmtree(f"symbols/{name}")
    return FOLDER


def run(edit: Callable[[dict[str, Any]], Any] = lambda content: None) -> list[str]:
    """A run whose checkpoint is edited before it is written."""
    content = copy.deepcopy(checkpoint())
    edit(content)
    Path("run/checkpoints").mkdir(parents=True)
    torch.save(content, "run/checkpoints/best.ckpt")
    return [*PREDICT, "weights=run"]


def edited_run(edit: Callable[[dict[str, Any]], Any]) -> Make:
    return lambda: run(edit)


def spoilt_run(spoil: Callable[[bytes], bytes]) -> Make:
    def make() -> list[str]:
        line = run()
        path = Path("run/checkpoints/best.ckpt")
        path.write_bytes(spoil(path.read_bytes()))
        return line

    return make


class Payload:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def spoilt_export(spoil: Callable[[bytes], bytes]) -> Make:
    def make() -> list[str]:
        from safetensors.torch import save

        whole = save(state_dict(), {"siamese_oneshot": json.dumps(header())})
        Path("net.safetensors").write_bytes(spoil(whole))
        return [*PREDICT, "weights=net.safetensors"]

    return make


def mnist(images: bytes, labels: bytes = b"", suffix: str = "") -> Make:
    def make() -> list[str]:
        Path("mnist").mkdir()
        Path(f"mnist/t10k-images-idx3-ubyte{suffix}").write_bytes(images)
        Path(f"mnist/t10k-labels-idx1-ubyte{suffix}").write_bytes(labels)
        return ["evaluate", "models=chance", "mnist=mnist"]

    return make


def idx(magic: int, *shape: int, data: bytes = b"") -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in (magic, *shape)) + data


def foreign(content: dict[str, Any]) -> None:
    content["siamese_oneshot"]["network"]["encoder"]["_target_"] = "os.mkdir"


def larger(content: dict[str, Any]) -> None:
    content["siamese_oneshot"]["network"]["encoder"]["filters"] = [3]


HTML = b"<!DOCTYPE html><html>log in</html>"
BOMB = 257 * gzip.compress(bytes(2**20))  # a member a mebibyte

BAD_OWN: list[tuple[str, Make, list[str]]] = [
    ("no folder of images", lambda: [*FOLDER[:-1], "data.root=nowhere"],
     ["nowhere", "no such folder"]),
    ("no root at all", lambda: [*FOLDER[:-1], "data.root=null"], ["data.root="]),
    ("a file as root", lambda: [*FOLDER[:-1], "data.root=query/q0.png"], ["not a folder"]),
    ("an empty folder", emptied("symbols", FOLDER), ["symbols", "no usable image"]),
    ("texts as images", only("symbols/a/x.png", b"some words", FOLDER),
     ["a/x.png", "its format is unknown"]),
    ("an alphabet without characters", only("symbols/a/b/c/d.png", b"x", FOLDER), ["too deep"]),
    ("images in no class", lambda: [draw("symbols/x.png", 3), FOLDER][1], ["x.png", "no class"]),
    ("1,000 empty classes", many_empty_classes, ["empty", "and 980 more"]),
    ("one image a class", one_image_a_class, ["fewer than two different images"]),
    ("too few classes to divide", few_classes, ["alphabet2", "2 characters", "at least 3"]),
    ("more ways than classes", lambda: [*FOLDER, "data.eval.way=9"],
     ["no alphabet has 9 characters", "data.eval.way"]),
    ("bad images under stop",
     lambda: [Path("symbols/alphabet1/class1/x.png").write_bytes(b""),
              [*FOLDER, "data.on_error=stop"]][1],
     ["alphabet1/class1/x.png", "on_error=skip"]),
    ("no supports", lambda: [*PREDICT, "support=nowhere"], ["nowhere", "no such folder"]),
    ("an image as folder of supports", lambda: [*PREDICT, "support=query/q0.png"],
     ["it is a file, not a folder"]),
    ("an empty folder of supports", emptied("support", PREDICT), ["support", "no usable image"]),
    ("no query", lambda: [*PREDICT, "query=nowhere"], ["nowhere", "no such file or folder"]),
    ("an empty folder of queries", emptied("query", PREDICT), ["query", "no usable image"]),
    ("a truncated image", truncated,
     ["x.png", "damaged or incomplete"]),
    ("an empty image", only("query/x.png", b"", PREDICT), ["x.png", "the file is empty"]),
    ("an image of nothing",
     lambda: [empty("query"), Image.new("L", (30, 30), 200).save("query/x.png"), PREDICT][2],
     ["x.png", "no strokes are visible"]),
    ("a decompression bomb", only("query/x.png", vast_png(), PREDICT), ["x.png", "megapixels"]),
    ("links in a circle", links_in_a_circle, ["query/up", "not followed", "query/self"]),
    ("a pipe, which would never end", pipe, ["pipe.png", "it is not a file"]),
    ("a name that is no text", odd_names, ["no usable image"]),
    ("results into a file", lambda: [*PREDICT, "output_dir=query/q0.png"],
     ["output_dir=query/q0.png"]),
    ("no such run", lambda: [*PREDICT, "weights=nowhere"], ["no network nowhere", "pretrained"]),
    ("a folder that is no run", lambda: [*PREDICT, "weights=query"], ["query has no checkpoints"]),
    ("an image as network", lambda: [*PREDICT, "weights=query/q0.png"], ["neither a .ckpt nor"]),
    ("a truncated checkpoint", spoilt_run(lambda data: data[: len(data) // 2]),
     ["best.ckpt", "damaged"]),
    ("an empty checkpoint", spoilt_run(lambda data: b""), ["best.ckpt", "damaged"]),
    ("a web page as checkpoint", spoilt_run(lambda data: HTML), ["best.ckpt", "damaged"]),
    ("a pickle that runs code", edited_run(lambda c: c.update(x=Payload())),
     ["best.ckpt", "not a plain checkpoint"]),
    ("a bare pickle that runs code", spoilt_run(lambda data: pickle.dumps(Payload())),
     ["best.ckpt", "not a plain checkpoint"]),
    ("a checkpoint of another package", edited_run(lambda c: c.pop("siamese_oneshot")),
     ["best.ckpt", "no checkpoint of this package"]),
    ("a checkpoint of another version",
     edited_run(lambda c: c["siamese_oneshot"].update(version=7)),
     ["best.ckpt", "version 7", "reads version 2"]),
    ("a checkpoint of another architecture", edited_run(larger), ["best.ckpt", "size mismatch"]),
    ("a checkpoint that is a list", spoilt_run(lambda data: pickle.dumps([1])), ["best.ckpt"]),
    ("a checkpoint whose header is text", edited_run(lambda c: c.update(siamese_oneshot="x")),
     ["best.ckpt"]),
    ("a checkpoint that calls something else", edited_run(foreign),
     ["best.ckpt", "references os.mkdir"]),
    ("truncated weights", spoilt_export(lambda data: data[:-40]), ["net.safetensors"]),
    ("a web page as weights", spoilt_export(lambda data: HTML), ["net.safetensors", "be read"]),
    ("weights with a vast header", spoilt_export(lambda data: b"\xff" * 8 + data[8:]),
     ["net.safetensors", "be read"]),
    ("weights without a header", spoilt_export(lambda data: data.replace(b"siamese_o", b"x" * 9)),
     ["net.safetensors"]),
    ("no digits", lambda: ["evaluate", "models=chance", "mnist=nowhere"], ["MNIST", "nowhere"]),
    ("digits of another kind", mnist(idx(7, 1)), ["t10k-images", "no IDX file of images"]),
    ("truncated digits", mnist(idx(2051, 10, 28, 28, data=b"x")), ["[10, 28, 28]", "1 bytes"]),
    ("a gzip bomb as digits", mnist(BOMB, BOMB, ".gz"), ["larger than any of MNIST's"]),
    ("no gzip as digits", mnist(b"x", b"x", ".gz"), ["t10k-images", "cannot be read"]),
]  # fmt: skip
