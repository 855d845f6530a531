"""Overrides of a training on generated alphabets that takes a second, shared by tests."""

from __future__ import annotations

SYNTHETIC = [  # few characters and episodes
    "data=synthetic", "logger=none", "data.synthetic.n_alphabets=5",
    "data.synthetic.n_characters=[8,10]",
    "data.synthetic.n_drawers=6", "data.eval.way=5", "data.eval.n_pairs=200",
    "data.eval.val_runs=4", "data.eval.test_runs=4", "data.eval.koch_runs=4",
    "data.eval.n_cross_episodes=40",
]  # fmt: skip
NETWORK = [
    "model.encoder.image_size=24", "model.encoder.filters=[8,8,8]",
    "model.encoder.embedding_dim=16",
]  # fmt: skip
TINY = [*SYNTHETIC, *NETWORK, "trainer.log_every_n_steps=1"]
BATCHES = ["sampler.n_alphabets=2", "sampler.n_way=6", "sampler.n_drawers=2"]
FULL_PRECISION = "trainer.precision=32-true"
