"""A training on generated alphabets that takes a second: what the tests of whole jobs share."""

from __future__ import annotations

GLYPHS = [  # a few characters, and exams as short
    "data=glyphs", "logger=none", "data.glyphs.alphabets=5", "data.glyphs.characters=[8,10]",
    "data.glyphs.drawers=6", "data.exam.way=5", "data.exam.pairs=200",
    "data.exam.validation_runs=4", "data.exam.test_runs=4", "data.exam.paper_runs=4",
    "data.exam.across=40",
]  # fmt: skip
NETWORK = [
    "model.encoder.size=24", "model.encoder.filters=[8,8,8,8]", "model.encoder.units=16",
]  # fmt: skip
TINY = [*GLYPHS, *NETWORK, "trainer.log_every_n_steps=1"]
BATCHES = ["batches.alphabets=2", "batches.characters=6", "batches.drawers=2"]
FULL_PRECISION = "trainer.precision=32-true"
