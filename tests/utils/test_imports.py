from __future__ import annotations

import sys

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
