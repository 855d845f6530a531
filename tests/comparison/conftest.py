"""Desks for every test here; what sits at them is in ``comparing``."""

from __future__ import annotations

import pytest
from comparing import MORE, SIZE, digits_like

from siamese_oneshot.comparison.desk import Desk
from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.source import Loaded


@pytest.fixture
def desk(drawings: Drawings) -> Desk:
    """Without digits."""
    return Desk(Loaded(drawings, None), None, "shares", None, SIZE, MORE)


@pytest.fixture
def desk_with_digits(drawings: Drawings) -> Desk:
    """With ten classes that look like digits to a machine."""
    return Desk(Loaded(drawings, None), digits_like(), "shares", None, SIZE, MORE)
