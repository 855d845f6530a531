from __future__ import annotations

import sys
from pathlib import Path

import pytest

from siamese_oneshot.utils.imports import stand_in


def test_a_module_is_replaced_within_the_block_alone() -> None:
    sys.modules.pop("wave", None)
    with stand_in("wave", Error=KeyError):
        from wave import Error as replaced
    from wave import Error

    assert replaced is KeyError
    assert issubclass(Error, Exception)
    assert Error is not KeyError


def test_what_a_stand_in_does_not_hold_comes_from_the_module_itself() -> None:
    sys.modules.pop("wave", None)
    with stand_in("wave", Error=KeyError):
        from wave import Error, Wave_read
    import wave

    assert Error is KeyError
    assert Wave_read is wave.Wave_read
    assert wave.Error is not KeyError


def test_a_module_that_is_loaded_stays() -> None:
    import json

    with stand_in("json", dumps=None):
        from json import dumps
    assert dumps is json.dumps


def test_modules_below_a_stand_in_are_those_of_the_module_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    count = "import sys\nsys.modules['slow'].began = getattr(sys.modules['slow'], 'began', 0) + 1\n"
    (tmp_path / "slow" / "__init__.py").write_text("from . import first\n")
    for name in ("first", "second"):
        (tmp_path / "slow" / f"{name}.py").write_text(count)
    finders = list(sys.meta_path)
    with stand_in("slow", began="stood in"):
        import slow  # type: ignore[import-not-found]
        import slow.first

        assert slow.first is sys.modules["slow.first"]
        import slow.second

        with pytest.raises(ModuleNotFoundError):
            import slow.third
    assert sys.modules["slow"].began == 2  # each of the two was executed once
    assert slow.first.__spec__.origin == str(tmp_path / "slow" / "first.py")
    assert sys.meta_path == finders
