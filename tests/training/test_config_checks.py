"""What is refused before anything is begun."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from siamese_oneshot.training.config_checks import check_split
from siamese_oneshot.utils.errors import UserError

LAST: dict[str, Any] = {"checkpoint": None, "early_stopping": None}


@pytest.mark.parametrize(
    ("callbacks", "remedy"),
    [
        ({"checkpoint": {"save_top_k": 1}}, "callbacks=last"),
        ({"early_stopping": {"patience": 1}}, "callbacks=last"),
        ({"pruning": {"folder": "x"}}, "callbacks.pruning=null"),
    ],
)
def test_nothing_is_chosen_by_what_is_trained_on(callbacks: dict[str, Any], remedy: str) -> None:
    blind, other = (SimpleNamespace(blind=one, name="background") for one in (True, False))
    chosen = OmegaConf.create({**LAST, **callbacks})
    with pytest.raises(UserError, match=remedy):
        check_split(blind, chosen)
    check_split(other, chosen)
    check_split(blind, OmegaConf.create({**LAST, "pruning": None}))
    check_split(blind, OmegaConf.create(LAST))
