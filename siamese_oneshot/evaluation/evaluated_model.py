"""A network or a baseline as the evaluation sees it, and what networks share but their seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torch import nn

from siamese_oneshot.evaluation.embeddings import PairScorer
from siamese_oneshot.models.trained import TrainedModel
from siamese_oneshot.utils.text import bare_key


@dataclass(frozen=True)
class Setting:
    """Everything that networks share which differ in their seed alone.

    Attributes:
        experiment: Name of the experiment.
        overrides: Command-line overrides that affect training; None if unknown.
        data: Split, validation alphabets, synthetic alphabets, source and digest.
        network: Description of the network without its seed, as JSON.
    """

    experiment: str
    overrides: tuple[str, ...] | None
    data: tuple[str, ...]
    network: str

    @classmethod
    def of(cls, trained: TrainedModel) -> Setting | None:
        """The setting of a network; None if its experiment is unknown."""
        metadata, overrides = trained.metadata, trained.metadata.get("overrides")
        if not metadata.get("experiment"):
            return None
        network = {key: value for key, value in trained.description.items() if key != "seed"}
        keys = "split", "val_alphabets", "n_extra_synthetic", "data_source", "data_digest"
        return cls(
            str(metadata["experiment"]),
            None if overrides is None else tuple(sorted(overrides)),
            tuple(str(metadata.get(key)) for key in keys),
            json.dumps(network, sort_keys=True, default=str),
        )

    def __str__(self) -> str:
        """The experiment and its overrides."""
        changes = [one for one in self.overrides or () if bare_key(one) != "experiment"]
        return " ".join([self.experiment, *changes])


@dataclass(frozen=True)
class EvaluatedModel:
    """A network or a baseline.

    Attributes:
        name: Name in tables.
        scorer: Embeds and scores.
        size: Side length of its input images in pixels.
        trained: The trained network; None for a baseline. Of an ensemble, the first network.
        max_episodes: Evaluate only the first so many episodes of a list.
        skip_series: Series of lists that are left out.
        n_networks: Number of networks in an ensemble.
        finished: Whether training finished, as far as is known.
    """

    name: str
    scorer: PairScorer
    size: int
    trained: TrainedModel | None = None
    max_episodes: int | None = None
    skip_series: tuple[str, ...] = ()
    n_networks: int = 1
    finished: bool = True

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata of the training; empty for a baseline."""
        return {} if self.trained is None else self.trained.metadata

    @property
    def trained_on(self) -> str:
        """The training data in words."""
        if self.trained is None:
            return "nothing"
        return self.metadata.get("trained_on") or f"unknown ({self.metadata.get('data_source')})"

    @property
    def parameters(self) -> int:
        """Number of learned parameters of all networks."""
        module = self.scorer if self.n_networks > 1 else self.trained and self.trained.network
        if not isinstance(module, nn.Module):
            return 0
        return sum(weight.numel() for weight in module.parameters())

    @property
    def setting(self) -> Setting | None:
        """The setting that this network is one seed of; None for baselines and ensembles."""
        if self.trained is None or self.n_networks > 1:
            return None
        return Setting.of(self.trained)
