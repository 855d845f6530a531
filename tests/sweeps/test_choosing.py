"""Whether validation has a say."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.sweeps.search import blind_split, refuse_blind_search
from siamese_oneshot.utils.errors import UserError


def of(source: str, split: str) -> DictConfig:
    return OmegaConf.create({"data": {"source": source, "split": split}})


@pytest.mark.parametrize(
    ("split", "instead"), [("background", "lake"), ("minimal1", "small1"), ("minimal2", "small2")]
)
def test_a_split_that_trains_on_its_validation_is_refused(split: str, instead: str) -> None:
    assert blind_split(of("omniglot", split)) == split
    with pytest.raises(UserError, match=f"data.split={split} .*search with data.split={instead}"):
        refuse_blind_search(of("omniglot", split))


@pytest.mark.parametrize("cfg", [of("omniglot", "lake"), of("synthetic", "background")])
def test_others_are_not(cfg: DictConfig) -> None:
    """Only Omniglot is divided by a split of that name."""
    assert blind_split(cfg) is None
    refuse_blind_search(cfg)
