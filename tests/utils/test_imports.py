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


def test_a_module_that_is_loaded_stays() -> None:
    import json

    with stand_in("json", dumps=None):
        from json import dumps
    assert dumps is json.dumps
