"""Which settings of a command say how a network was trained."""

from __future__ import annotations

from collections.abc import Sequence

from siamese_oneshot.utils.text import bare_key

_ELSEWHERE = (
    "seed", "resume", "test", "sweep", "hydra", "logger", "data.root", "data.download",
    "data.num_workers", "trainer.log_every_n_steps", "callbacks.validation_plots", "callbacks.last_checkpoint",
    "callbacks.progress", "callbacks.lr_monitor", "callbacks.throughput",
)  # fmt: skip


def of_training(overrides: Sequence[str]) -> list[str]:
    """Those that say what is learned: not the seed, where files lie or what is logged.

    Args:
        overrides: in Hydra's grammar; of several of a key the last one counts.
    """
    keyed = {bare_key(one): one for one in overrides}
    return [one for key, one in keyed.items() if is_of_training(key)]


def is_of_training(key: str) -> bool:
    """Whether a setting says what is learned; ``hydra/launcher`` and the like are Hydra's."""
    path = key.replace("/", ".") + "."
    return not any(path.startswith(f"{one}.") for one in _ELSEWHERE)
