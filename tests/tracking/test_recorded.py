from __future__ import annotations

from siamese_oneshot.tracking.recorded import of_training

LINE = [
    "optim.lr=1", "+experiment=paper", "seed=3", "logger=none", "logger.mode=offline",
    "optim.lr=1e-3", "data.root=here", "~callbacks.averaging", "callbacks.album=null",
    "hydra/launcher=joblib", "hydra.run.dir=x", "++test=false", "callbacks.watch.x=1",
    "data.rooted=1",
]  # fmt: skip
LEARNED = ["optim.lr=1e-3", "+experiment=paper", "~callbacks.averaging", "data.rooted=1"]


def test_what_says_what_is_learned() -> None:
    assert of_training(LINE) == LEARNED
