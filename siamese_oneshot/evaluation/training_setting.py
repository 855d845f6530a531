"""What several networks have in common that are seeds of one setting."""

from __future__ import annotations

import json
from dataclasses import dataclass

from siamese_oneshot.runs.checkpoint import TrainedModel


@dataclass(frozen=True)
class Setting:
    """All that networks have in common which differ in nothing but the seed.

    Attributes:
        experiment: its name.
        overrides: of its command line, as far as they say what is learned; None where unknown.
        data: split, alphabets held out, generated ones and digest.
        network: its description, without the seed of its first weights.
    """

    experiment: str
    overrides: tuple[str, ...] | None
    data: tuple[str, ...]
    network: str

    @classmethod
    def of(cls, trained: TrainedModel) -> Setting | None:
        """The setting of a network; None where its experiment is not known."""
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
        """The experiment and what was changed of it."""
        changes = [one for one in self.overrides or () if not one.startswith("+experiment=")]
        return " ".join([self.experiment, *changes])
