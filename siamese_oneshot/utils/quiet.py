"""Less noise from Lightning and from logging."""

from __future__ import annotations

import logging
import warnings


def quieten() -> None:
    """Silence what Lightning tells everyone and nobody here can act on."""
    logging.raiseExceptions = False  # a log that cannot be written prints no stack trace each line
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*could not find the monitored key.*",  # a training may end within its first epoch
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.*",
        ".*The number of training sampler.*",
        ".*sync_dist=True.*",  # every process examines the same, see gathered
        ".*checkpoint that ended before the epoch ended.*",  # batches are counted over epochs
        ".*You're using the WeightAveraging callback, but loading a checkpoint outside.*",
    ):
        warnings.filterwarnings("ignore", message=message)
