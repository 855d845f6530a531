"""Omniglot's files, spoilt, each in a way of its own; and what the answer must say.

Each function takes the folder ``root`` with the three good zips in it.
"""

from __future__ import annotations

import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

BACKGROUND, EVALUATION, RUNS = "images_background.zip", "images_evaluation.zip", "all_runs.zip"
IMAGE = "images_background/Dog/character01/0000_01.png"
ITEM, LABELS = "run02/test/item05.png", "run02/class_labels.txt"
Spoil = Callable[[Path], None]


def change(path: Path, edit: Callable[[dict[str, bytes]], None]) -> None:
    """Write a zip anew with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def edited(edit: Callable[[dict[str, bytes]], None], part: str = BACKGROUND) -> Spoil:
    """Spoils by changing the members of a zip."""
    return lambda root: change(root / part, edit)


def without(start: str) -> Callable[[dict[str, bytes]], None]:
    """Members less those whose names begin so."""

    def edit(members: dict[str, bytes]) -> None:
        for name in [name for name in members if name.startswith(start)]:
            del members[name]

    return edit


def png(mode: str, size: tuple[int, int]) -> bytes:
    """An image of the middle of its range."""
    buffer = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else 0).save(buffer, "PNG")
    return buffer.getvalue()


def vast_png(side: int = 60_000) -> bytes:
    """A PNG that claims to have 3.6 gigapixels and has almost no bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def cut(root: Path) -> None:
    data = (root / BACKGROUND).read_bytes()
    (root / BACKGROUND).write_bytes(data[: len(data) // 2])


def damaged_inside(root: Path) -> None:
    """One flipped byte in a member's data, which the checksum finds."""
    data = bytearray((root / BACKGROUND).read_bytes())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    (root / BACKGROUND).write_bytes(bytes(data))


def locked(root: Path) -> None:
    """The flag of an encrypted member, set everywhere."""
    data = bytearray((root / BACKGROUND).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 4)
    (root / BACKGROUND).write_bytes(bytes(data))


def linked_in_a_circle(root: Path) -> None:
    (root / BACKGROUND).unlink()
    (root / BACKGROUND).symlink_to(root / BACKGROUND)


def unpacked(root: Path) -> None:
    """A folder in place of the zip, with a link that leads back up."""
    with zipfile.ZipFile(root / BACKGROUND) as archive:
        archive.extractall(root)
    (root / BACKGROUND).unlink()
    shutil.rmtree(root / "images_background" / "Dog" / "character02")
    (root / "images_background" / "Dog" / "character02").symlink_to(root, True)


def outside(members: dict[str, bytes]) -> None:
    """Names that lead out of the folder, with the images of an alphabet that is then missing."""
    for name in [name for name in members if "/Dog/" in name]:
        members[f"../../../escaped/{name.rpartition('/')[2]}"] = members.pop(name)
    members["/tmp/escaped.txt"] = b"x"


def half(members: dict[str, bytes]) -> None:
    members[IMAGE] = members[IMAGE][:-60]


def by_another_drawer(members: dict[str, bytes]) -> None:
    members[IMAGE] = members[IMAGE.replace("_01.png", "_02.png")]


def renamed(members: dict[str, bytes]) -> None:
    members[IMAGE.replace("0000_01", "01")] = members.pop(IMAGE)


def relabeled(*changes: tuple[bytes, bytes]) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        for old, new in changes:
            members[LABELS] = members[LABELS].replace(old, new)

    return edit


def put(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.__setitem__(name, data)


# what is wrong, how it is made so, what the answer must say
BAD_OMNIGLOT: list[tuple[str, Spoil, list[str]]] = [
    ("no such folder", shutil.rmtree, ["root=", "no such folder"]),
    ("a file in place of the folder", lambda root: (shutil.rmtree(root), root.write_bytes(b"")),
     ["root=", "not a folder"]),
    ("a zip is missing", lambda root: (root / EVALUATION).unlink(), ["no images_evaluation.zip"]),
    ("random bytes as zip", lambda root: (root / BACKGROUND).write_bytes(bytes(range(256)) * 9),
     [BACKGROUND, "it is not a zip file"]),
    ("an empty zip file", lambda root: (root / BACKGROUND).write_bytes(b""),
     [BACKGROUND, "it is not a zip file"]),
    ("a truncated zip", cut, [BACKGROUND, "it is not a zip file"]),
    ("a web page saved as zip",
     lambda root: (root / BACKGROUND).write_bytes(b"<!DOCTYPE html><html>log in</html>"),
     [BACKGROUND, "it is not a zip file"]),
    ("a damaged member", damaged_inside, [IMAGE]),
    ("an encrypted zip", locked, ["cannot be read", "encrypted"]),
    ("a link to itself as zip", linked_in_a_circle, ["no images_background.zip"]),
    ("an unpacked folder with a link back up", unpacked, ["missing: Dog/character02/01"]),
    ("zip-slip names", edited(outside), ["missing: Dog/character01/01"]),
    ("a zip bomb", edited(put(IMAGE, bytes(20 * 2**20))), [IMAGE, "larger than 65536"]),
    ("a decompression bomb as image", edited(put(IMAGE, vast_png())),
     [IMAGE, "far more pixels than 105×105"]),
    ("an image of another size", edited(put(IMAGE, png("1", (28, 28)))),
     [IMAGE, "28×28", "not 105×105"]),
    ("a gray image", edited(put(IMAGE, png("L", (105, 105)))), [IMAGE, "gray pixels"]),
    ("a text as image", edited(put(IMAGE, b"hello")), [IMAGE, "not an intact PNG"]),
    ("a wrong image", edited(put(IMAGE, png("1", (105, 105)))), ["pixels are not those"]),
    ("a missing drawer", edited(without(IMAGE)), ["missing: Dog/character01/01"]),
    ("a missing character", edited(without("images_background/Dog/character02")),
     ["missing: Dog/character02/01, Dog/character02/02"]),
    ("an empty alphabet", edited(without("images_background/Dog/")),
     ["missing: Dog/character01/01"]),
    ("a strange alphabet", edited(put("images_background/Elf/character01/0000_01.png", b"x")),
     ["extra: Elf/character01/01"]),
    ("a duplicate character", edited(put("images_background/Dog/character01/0001_01.png", b"x")),
     ["two files for one drawing: Dog/character01/01"]),
    ("an extra character", edited(put("images_background/Dog/character03/0003_01.png", b"x")),
     ["extra: Dog/character03/01"]),
    ("an extra drawer", edited(put("images_background/Dog/character02/0001_05.png", b"x")),
     ["extra: Dog/character02/05"]),
    ("a damaged name", edited(renamed),
     ["not named Alphabet/characterNN/NNNN_DD.png: images_background/Dog/character01/01.png"]),
    ("half an image", edited(half), [IMAGE, "not an intact PNG"]),
    ("the image of another drawer", edited(by_another_drawer), ["pixels are not those"]),
    ("runs without labels", edited(without(LABELS), RUNS), ["all_runs", f"it has no {LABELS}"]),
    ("runs with unreadable labels", edited(put(LABELS, b"\xff\xfe"), RUNS),
     [LABELS, "does not pair"]),
    ("a class that is labeled twice", edited(relabeled((b"class01", b"class02")), RUNS),
     [LABELS, "does not pair item01"]),
    ("exchanged labels",
     edited(relabeled((b"ss01", b"ss99"), (b"ss02", b"ss01"), (b"ss99", b"ss02")), RUNS),
     ["not those of Lake's runs"]),
    ("a missing item", edited(without(ITEM), RUNS), [f"it has no {ITEM}"]),
    ("a foreign item", edited(put(ITEM, png("1", (105, 105))), RUNS),
     [ITEM, "no image of the evaluation set"]),
]  # fmt: skip
