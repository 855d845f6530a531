import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from siamese_oneshot.data.omniglot.archive import (
    MAX_MEMBER_BYTES,
    Archive,
    OmniglotFaulty,
    decode_image,
    decode_set,
)
from siamese_oneshot.data.omniglot.edition import ImageSet

CHARACTERS = {"Ant": 2, "Bee_(low)": 3}


def png(ink, mode="1"):
    buffer = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def drawn():
    """Files of a tiny set by name, and the images in the order the decoder must give them."""
    rng = np.random.default_rng(3)
    files, images = {}, []
    for alphabet, count in CHARACTERS.items():
        for character in range(1, count + 1):
            for drawer in range(1, 21):
                images.append(rng.random((105, 105)) < 0.02)
                name = f"images/{alphabet}/character{character:02d}/0{character:03d}_{drawer:02d}"
                files[f"{name}.png"] = png(images[-1])
    return files, np.stack(images)


def expected(images):
    rows = b"".join(np.packbits(image).tobytes() for image in images)
    return ImageSet("images", CHARACTERS, hashlib.sha256(rows).hexdigest())


def decoded(tmp_path, files, images):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files, reverse=True):  # the order inside a zip must not matter
            archive.writestr(name, files[name])
    with Archive(path) as archive:
        return decode_set(archive, expected(images))


def test_a_whole_set(tmp_path, drawn):
    files, images = drawn
    packed = decoded(tmp_path, files, images)
    assert packed.shape == (100, 1379)
    bits = np.unpackbits(packed, axis=1)[:, : 105 * 105].reshape(-1, 105, 105)
    assert np.array_equal(bits, images)


def test_other_folders_above_hidden_files_and_another_png_mode_are_welcome(tmp_path, drawn):
    files, images = drawn
    moved = {f"once/more/{name}": data for name, data in files.items()}
    moved["__MACOSX/images/Ant/character01/._0001_01.png"] = b"junk"
    moved["images/.DS_Store"] = b"junk"
    moved["once/more/images/Ant/character01/0001_01.png"] = png(images[0], "RGB")
    assert len(decoded(tmp_path, moved, images)) == 100


def without(files, part):
    return {name: data for name, data in files.items() if part not in name}


FIRST = "images/Ant/character01/0001_01.png"
SPOILED = {
    "a lost alphabet": (
        lambda files, first: without(files, "/Ant/"),
        "images has 1 alphabets, not 2: missing Ant",
    ),
    "a foreign alphabet": (
        lambda files, first: files | {"images/Cow/character01/0009_01.png": png(first)},
        "images has 3 alphabets, not 2: extra Cow",
    ),
    "a lost character": (
        lambda files, first: without(files, "(low)/character02"),
        r"Bee_\(low\) has 2 characters, not 3: missing character02",
    ),
    "an extra character": (
        lambda files, first: files | {"images/Ant/character03/0003_01.png": png(first)},
        "Ant has 3 characters, not 2: extra character03",
    ),
    "a lost drawer": (
        lambda files, first: without(files, "Ant/character02/0002_07.png"),
        "Ant/character02 has 19 drawers, not 20: missing 07",
    ),
    "an extra drawer": (
        lambda files, first: files | {"images/Ant/character02/0002_21.png": png(first)},
        "Ant/character02 has 21 drawers, not 20: extra 21",
    ),
    "two files for one image": (
        lambda files, first: files | {"images/Ant/character01/9999_01.png": png(first)},
        "two files for one image: images/Ant/character01/0001_01.png, .*9999_01.png",
    ),
    "a damaged name": (
        lambda files, first: without(files, "0001_01") | {"images/Ant/character01/01.png": b""},
        r"not named .*: images/Ant/character01/01.png; .*missing 01",
    ),
    "another size": (
        lambda files, first: files | {FIRST: png(first[:, :100])},
        f"{FIRST} has 100×105 pixels, not 105×105",
    ),
    "no image": (
        lambda files, first: files | {FIRST: b"<html></html>"},
        f"{FIRST} is not an intact PNG",
    ),
    "half an image": (
        lambda files, first: files | {FIRST: png(first)[:-60]},
        f"{FIRST} is not an intact PNG",
    ),
    "a huge member": (
        lambda files, first: files | {FIRST: bytes(MAX_MEMBER_BYTES + 1)},
        f"{FIRST} is larger than",
    ),
    "ink and paper exchanged": (
        lambda files, first: files | {FIRST: png(~first)},
        "the pixels are not those of Omniglot",
    ),
    "two images exchanged": (
        lambda files, first: files | {FIRST: files[FIRST.replace("_01.p", "_02.p")]},
        "the pixels are not those of Omniglot",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_wrong_is_named(tmp_path, drawn, how):
    files, images = drawn
    spoil, message = SPOILED[how]
    with pytest.raises(OmniglotFaulty, match=message):
        decoded(tmp_path, spoil(files, images[0]), images)


def test_gray_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (105, 105), 128).save(buffer, "PNG")
    (tmp_path / "gray.png").write_bytes(buffer.getvalue())
    with pytest.raises(OmniglotFaulty, match=r"gray.png has gray pixels"):
        decode_image(Archive(tmp_path), "gray.png")


def test_many_faults_are_counted_not_listed(tmp_path, drawn):
    files, images = drawn
    with pytest.raises(OmniglotFaulty, match="and 12 more faults"):
        decoded(tmp_path, files | {n: b"" for n in files if "Ant/character01" in n}, images)


def test_a_web_page_saved_as_a_zip_is_named(tmp_path):
    path = tmp_path / "images.zip"
    path.write_bytes(b"\n<!DOCTYPE html><html><body>Sign in</body></html>")
    with pytest.raises(OmniglotFaulty, match=r"not a zip file: .* \(it is a web page\)"):
        Archive(path)


def test_a_damaged_zip_member_is_named(tmp_path, drawn):
    files, images = drawn
    decoded(tmp_path, files, images)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo(FIRST).header_offset + 30 + len(FIRST) + 20
    data = bytearray(path.read_bytes())
    data[place] ^= 255
    path.write_bytes(data)
    with Archive(path) as archive, pytest.raises(OmniglotFaulty, match=FIRST):
        decode_set(archive, expected(images))
