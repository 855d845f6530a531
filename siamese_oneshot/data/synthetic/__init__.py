"""Generated alphabets, for tests and for machines without Omniglot."""

from siamese_oneshot.data.synthetic.generator import (
    MAX_ALPHABETS,
    SyntheticConfig,
    draw_alphabets,
    load_alphabets,
)

__all__ = ["MAX_ALPHABETS", "SyntheticConfig", "draw_alphabets", "load_alphabets"]
