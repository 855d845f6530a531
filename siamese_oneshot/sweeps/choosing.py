"""Whether a job's validation has a say: some splits train on the alphabets that validate."""

from __future__ import annotations

from omegaconf import DictConfig

from siamese_oneshot.utils.errors import UserError


def blind_split(cfg: DictConfig) -> str | None:
    """The job's split where it trains on its validation alphabets; None where one may choose.

    Args:
        cfg: the job's composed configuration.
    """
    from siamese_oneshot.data.splits import BLIND

    split: str = cfg.data.split
    return split if cfg.data.source == "omniglot" and split in BLIND else None


def refuse_blind_search(cfg: DictConfig) -> None:
    """Refuse to search by the scores of alphabets that are trained on.

    Args:
        cfg: the composed configuration of what all jobs share.

    Raises:
        UserError: which split to search with.
    """
    from siamese_oneshot.data.splits import BLIND

    split = blind_split(cfg)
    if split is not None:
        raise UserError(
            f"data.split={split} trains on its validation alphabets, so a search would choose by "
            f"what is trained on: search with data.split={BLIND[split]} callbacks=default, then "
            "train the best setting with all alphabets"
        )
