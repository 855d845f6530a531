"""Lake's runs that are refused, and why."""

import io
import shutil

import pytest
from PIL import Image

from siamese_oneshot.data.omniglot import OmniglotFaulty, load_omniglot


def foreign_image():
    buffer = io.BytesIO()
    Image.new("1", (105, 105), 1).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run03/test/item05.png", lambda old: None, "it has no run03/test/item05.png"),
        (
            "run03/test/item05.png",
            lambda old: foreign_image(),
            "no image of the evaluation set",
        ),
        ("run20/class_labels.txt", lambda old: old[:-40], "does not pair item01"),
        (
            "run20/class_labels.txt",
            lambda old: old.replace(b"class01", b"class02"),
            "does not pair item01",
        ),
        (
            "run20/class_labels.txt",
            lambda old: (
                old.replace(b"class01", b"class99")
                .replace(b"class02", b"class01")
                .replace(b"class99", b"class02")
            ),
            "not those of Lake's runs",
        ),
    ],
)
def test_wrong_runs_are_named(lookalike, tmp_path, name, change, message):
    root = tmp_path / "root"
    shutil.copytree(lookalike.folder, root)
    path = root / "all_runs" / name
    new = change(path.read_bytes())
    if new is None:
        path.unlink()
    else:
        path.write_bytes(new)
    with pytest.raises(OmniglotFaulty, match=message):
        load_omniglot(root, download=False)
