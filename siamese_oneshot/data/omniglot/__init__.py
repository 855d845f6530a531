"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015): located or downloaded, verified and cached."""
# ruff: noqa: F401

from siamese_oneshot.data.omniglot.archive import OmniglotFaulty
from siamese_oneshot.data.omniglot.edition import (
    BACKGROUND,
    DUPLICATE_CLASSES,
    EVALUATION,
    RUN_ALPHABETS,
    RUN_DRAWERS,
    SIDE,
    SMALL1,
    SMALL2,
)
from siamese_oneshot.data.omniglot.loader import (
    LoadedData,
    OmniglotUnavailable,
    load_omniglot,
)
from siamese_oneshot.data.omniglot.strokes import load_strokes
