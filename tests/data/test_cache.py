import logging

import numpy as np
import pytest

from siamese_oneshot.data import cache
from siamese_oneshot.utils.io import atomic_write

FACTS = {"data": "test", "digests": ["a", "b"]}


def arrays():
    rng = np.random.default_rng(0)
    return {
        "bits": rng.integers(0, 256, (300, 7), dtype=np.uint8),
        "runs": np.arange(12, dtype=np.int64).reshape(3, 2, 2),
    }


def must_not_build():
    raise AssertionError("a valid cache was not used")


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and np.array_equal(found[name], expected[name])
        for name in expected
    )


def test_pack_then_unpack_gives_0_and_255():
    ink = np.random.default_rng(1).random((600, 7, 7)) < 0.3  # 49 bits: the last byte is padded
    packed = cache.pack(ink)
    assert packed.shape == (600, 7)
    assert np.array_equal(cache.unpack(packed, 7), np.where(ink, 255, 0))


def test_read_gives_back_what_was_written(tmp_path):
    path = tmp_path / "new" / "cache.bits"
    cache.write(path, FACTS, arrays())
    assert same(cache.read(path, FACTS), arrays())
    assert same(cache.load_or_build(path, FACTS, must_not_build), arrays())
    assert [file.name for file in path.parent.iterdir()] == ["cache.bits"]


@pytest.mark.parametrize("view", [np.asfortranarray, lambda array: array[:, ::2]])
def test_arrays_that_are_not_contiguous_keep_their_values(tmp_path, view):
    array = view(np.arange(24.0).reshape(4, 6))
    cache.write(tmp_path / "c", {}, {"a": array})
    assert np.array_equal(cache.read(tmp_path / "c", {})["a"], array)


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "cache.bits"
    cache.write(path, FACTS, arrays())
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(cache.CacheFault):
            cache.read(path, FACTS)


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-100], lambda data: b"", lambda data: data + b"x", lambda data: b"<html>"],
)
def test_a_damaged_cache_is_rebuilt_and_the_log_says_so(tmp_path, caplog, damage):
    path = tmp_path / "cache.bits"
    cache.write(path, FACTS, arrays())
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        found = cache.load_or_build(path, FACTS, arrays)
    assert same(found, arrays())
    assert "is not used" in caplog.text
    assert same(cache.read(path, FACTS), arrays())  # mended on disk too


def test_another_version_or_other_metadata_are_not_trusted(tmp_path, monkeypatch):
    path = tmp_path / "cache.bits"
    monkeypatch.setattr(cache, "FORMAT", 0)
    cache.write(path, FACTS, arrays())
    monkeypatch.undo()
    with pytest.raises(cache.CacheFault, match="other data"):
        cache.read(path, FACTS)
    cache.write(path, {"data": "other"}, arrays())
    with pytest.raises(cache.CacheFault, match="other data"):
        cache.read(path, FACTS)
    assert same(cache.load_or_build(path, FACTS, arrays), arrays())
    assert same(cache.read(path, FACTS), arrays())


def test_a_failing_build_leaves_no_file(tmp_path):
    def broken():
        raise RuntimeError("no source")

    path = tmp_path / "cache.bits"
    with pytest.raises(RuntimeError, match="no source"):
        cache.load_or_build(path, FACTS, broken)
    assert not path.exists()
    assert same(cache.load_or_build(path, FACTS, arrays), arrays())  # and no lock is held


def test_a_write_that_breaks_off_keeps_the_old_file(tmp_path):
    path = tmp_path / "cache.bits"
    path.write_bytes(b"old")

    def break_off():
        with atomic_write(path) as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["cache.bits"]


def test_without_a_writable_folder_it_builds_in_memory_and_warns(tmp_path, caplog):
    (tmp_path / "file").write_text("a file where the folder should be")
    path = tmp_path / "file" / "cache.bits"
    with caplog.at_level(logging.WARNING):
        found = cache.load_or_build(path, FACTS, arrays)
    assert same(found, arrays())
    assert "cannot write the cache" in caplog.text


def test_a_read_only_folder_is_the_same(tmp_path, caplog, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(cache, "atomic_write", refuse)
    with caplog.at_level(logging.WARNING):
        found = cache.load_or_build(tmp_path / "cache.bits", FACTS, arrays)
    assert same(found, arrays())
    assert "Permission denied" in caplog.text
