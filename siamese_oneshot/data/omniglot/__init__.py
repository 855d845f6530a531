"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): found, fetched, verified, cached, loaded."""

from siamese_oneshot.data.omniglot.edition import (
    BACKGROUND,
    EVALUATION,
    RUN_ALPHABETS,
    SMALL1,
    SMALL2,
)
from siamese_oneshot.data.omniglot.files import OmniglotFaulty, OmniglotUnavailable
from siamese_oneshot.data.omniglot.loader import Omniglot, load_omniglot
from siamese_oneshot.data.omniglot.official_runs import OfficialRuns

__all__ = [
    "BACKGROUND",
    "EVALUATION",
    "RUN_ALPHABETS",
    "SMALL1",
    "SMALL2",
    "OfficialRuns",
    "Omniglot",
    "OmniglotFaulty",
    "OmniglotUnavailable",
    "load_omniglot",
]
