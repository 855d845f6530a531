from __future__ import annotations

from siamese_oneshot.utils.run_info import of_training

LINE = [
    "optimizer.lr=1", "+experiment=paper", "seed=3", "logger=none", "logger.wandb.mode=offline",
    "optimizer.lr=1e-3", "data.root=here", "~callbacks.ema", "callbacks.validation_plots=null",
    "hydra/launcher=joblib", "hydra.run.dir=x", "++test=false", "callbacks.throughput.x=1",
    "data.rooted=1",
]  # fmt: skip
LEARNED = ["optimizer.lr=1e-3", "+experiment=paper", "~callbacks.ema", "data.rooted=1"]


def test_what_says_what_is_learned() -> None:
    assert of_training(LINE) == LEARNED
