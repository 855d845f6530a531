"""Decode one set of Omniglot images and say what is missing, extra or wrong."""

from __future__ import annotations

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from siamese_oneshot.data.cache import pack
from siamese_oneshot.data.omniglot.edition import DRAWERS, SIDE, ImageSet
from siamese_oneshot.data.omniglot.files import Members, OmniglotFaulty

_IMAGE = re.compile(r"\d{4}_(\d\d)\.png")
_TOLD = 8  # faults told in one message

ClassIndex = dict[str, dict[str, dict[int, list[str]]]]  # alphabet, character, drawer: member names


def decode_image(members: Members, name: str) -> NDArray[np.bool_]:
    """One image, bool (105, 105), True where there is ink.

    Raises:
        OmniglotFaulty: it is not a 105×105 PNG of black and white alone.
    """
    data = members.read(name)
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                size = f"{image.width}×{image.height}"
                raise OmniglotFaulty(f"{name} has {size} pixels, not {SIDE}×{SIDE}")
            if image.mode == "1":
                return ~np.asarray(image)
            gray = np.asarray(image.convert("L"))  # a packer may have changed the mode
    except Image.DecompressionBombError as fault:
        raise OmniglotFaulty(f"{name} claims far more pixels than {SIDE}×{SIDE}") from fault
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as fault:
        raise OmniglotFaulty(f"{name} is not a whole PNG image ({fault})") from fault
    ink: NDArray[np.bool_] = gray == 0
    if not (ink | (gray == 255)).all():
        raise OmniglotFaulty(f"{name} has gray pixels; every one must be black or white")
    return ink


def decode_set(members: Members, expected: ImageSet) -> NDArray[np.uint8]:
    """All images of one set, verified.

    Args:
        members: the files; alphabet, character and drawer are read from the end of their names
            (``Greek/character03/0396_07.png``), so a zip packed again with other folders above
            these is welcome.
        expected: what must come out.

    Returns:
        uint8 ``(count, 1379)``: bit-packed, by alphabet, character and drawer.

    Raises:
        OmniglotFaulty: what is missing, extra or wrong.
    """
    class_index, faults = _class_index(members.names)
    faults += _faults(class_index, expected)
    if faults:
        raise OmniglotFaulty(_told(faults))
    packed = np.empty((expected.count, (SIDE * SIDE + 7) // 8), np.uint8)
    place = 0
    for alphabet in sorted(class_index):
        for character in sorted(class_index[alphabet]):
            for drawer in range(1, DRAWERS + 1):
                try:
                    ink = decode_image(members, class_index[alphabet][character][drawer][0])
                    packed[place] = pack(ink[None])[0]
                except OmniglotFaulty as fault:
                    faults.append(str(fault))
                place += 1
    if faults:
        raise OmniglotFaulty(_told(faults))
    digest = sha256(packed)
    if digest != expected.digest:
        raise OmniglotFaulty(
            "all names and sizes are right, but the pixels are not those of Omniglot: "
            f"their digest is {digest[:16]}…, not {expected.digest[:16]}…"
        )
    return packed


def sha256(array: NDArray[Any]) -> str:
    """The hexadecimal SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _class_index(names: Iterable[str]) -> tuple[ClassIndex, list[str]]:
    """Who drew what, by the names; and a fault where names are no image's."""
    class_index: ClassIndex = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    odd = []
    for name in names:
        pieces = PurePosixPath(name).parts
        match = _IMAGE.fullmatch(pieces[-1])
        if match and len(pieces) >= 3:
            class_index[pieces[-3]][pieces[-2]][int(match[1])].append(name)
        elif pieces[-1].endswith(".png"):
            odd.append(name)
    return class_index, [
        f"not named Alphabet/characterNN/NNNN_DD.png: {_listed(odd)}"
    ] if odd else []


def _faults(class_index: ClassIndex, expected: ImageSet) -> list[str]:
    faults = [
        f"alphabet {name} is missing ({expected.characters[name]} characters)"
        for name in expected.characters
        if name not in class_index
    ]
    faults += [
        f"alphabet {name} does not belong to {expected.part}"
        for name in sorted(class_index)
        if name not in expected.characters
    ]
    for alphabet, count in expected.characters.items():
        if alphabet not in class_index:
            continue
        found = class_index[alphabet]
        wanted = {f"character{number:02d}" for number in range(1, count + 1)}
        faults += _compared(
            f"{alphabet} has {len(found)} characters, not {count}", wanted, found.keys()
        )
        for character in sorted(wanted & found.keys()):
            drawers = found[character]
            faults += _compared(
                f"{alphabet}/{character} has {len(drawers)} drawers, not {DRAWERS}",
                {f"{number:02d}" for number in range(1, DRAWERS + 1)},
                {f"{number:02d}" for number in drawers},
            )
            faults += [f"two files for one image: {_listed(n)}" for n in drawers.values() if n[1:]]
    return faults


def _compared(what: str, wanted: Collection[str], found: Collection[str]) -> list[str]:
    lacking, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    notes = [f"missing {_listed(lacking)}"] if lacking else []
    notes += [f"extra {_listed(extra)}"] if extra else []
    return [f"{what}: {'; '.join(notes)}"] if notes else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _told(faults: list[str]) -> str:
    more = f"; and {len(faults) - _TOLD} more faults" if len(faults) > _TOLD else ""
    return "; ".join(faults[:_TOLD]) + more
