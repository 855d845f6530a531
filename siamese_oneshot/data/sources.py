"""Data sources by name, and what happens if Omniglot is not available.

A source of your own is a function that returns a `CharacterDataset`. Give it as ``source`` (in YAML
a ``_target_``), or add it to `SOURCES` under a name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder import OnError, load_folder
from siamese_oneshot.data.omniglot import LakeRuns, OmniglotUnavailable, load_omniglot
from siamese_oneshot.data.synthetic import MAX_ALPHABETS, SyntheticConfig, load_alphabets
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import instantiate_plain
from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.text import some_of

log = logging.getLogger(__name__)

_MAX_NAMED = 3  # skipped files that a warning names; the log has more
_NOT_COMPARABLE = "no score is comparable with a published one"

Source = str | CharacterDataset | Callable[[], CharacterDataset] | Mapping[str, Any]


@dataclass(frozen=True)
class LoadedData:
    """A loaded source.

    Attributes:
        dataset: The images.
        runs: Lake's runs, or None.
        warnings: What a reader of results must know, one sentence each.
        digest: Hash of the images in their original size.
    """

    dataset: CharacterDataset
    runs: LakeRuns | None
    warnings: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class SourceConfig:
    """Settings of the sources; each reads those that concern it.

    Attributes:
        root: Folder of Omniglot's files (None searches, see `load_omniglot`) or of your images.
        download: Download Omniglot if it is nowhere.
        on_missing: ``synthetic`` uses generated alphabets if Omniglot is not available, with a
            warning; None raises an error.
        on_error: What a bad file in a folder of images does, see `load_folder`.
        synthetic: Generated alphabets.
    """

    root: str | Path | None = None
    download: bool = True
    on_missing: str | None = None
    on_error: OnError = "skip"
    synthetic: SyntheticConfig = SyntheticConfig()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        """Check the values."""
        check.choice("on_missing", self.on_missing, ("synthetic", None))
        check.boolean("download", self.download)
        if self.root is not None:  # a folder may be named 2024, a number in YAML
            object.__setattr__(self, "root", str(self.root))


def _omniglot(config: SourceConfig) -> LoadedData:
    try:
        loaded = load_omniglot(config.root, config.download)
    except OmniglotUnavailable as problem:
        if config.on_missing is None:
            raise
        log.warning("%s", problem)
        warning = f"OMNIGLOT IS NOT AVAILABLE: generated alphabets are used; {_NOT_COMPARABLE}"
        log.warning("%s", warning)
        return LoadedData(load_alphabets(config.synthetic), None, (warning,))
    return LoadedData(loaded.dataset, loaded.runs)


def _synthetic(config: SourceConfig) -> LoadedData:
    warning = f"generated alphabets, not Omniglot: {_NOT_COMPARABLE}"
    return LoadedData(load_alphabets(config.synthetic), None, (warning,))


def _folder(config: SourceConfig) -> LoadedData:
    if config.root is None:
        raise ArgumentError("root", None, "the folder of your images")
    root, folder = config.root, load_folder(config.root, config.on_error)
    warnings = [f"images of {root}, not Omniglot: {_NOT_COMPARABLE}"]
    if skipped := folder.skipped:
        named = some_of(skipped, _MAX_NAMED)
        warnings.append(f"{len(skipped):,} skipped in {root}: {named}")
    return LoadedData(folder.dataset, None, tuple(warnings))


SOURCES: dict[str, Callable[[SourceConfig], LoadedData]] = {
    "omniglot": _omniglot,
    "synthetic": _synthetic,
    "folder": _folder,
}


def load_source(source: Source, config: SourceConfig | None = None) -> LoadedData:
    """Load a data source.

    Args:
        source: Name in `SOURCES`; a dataset; a function without arguments that returns one; or a
            mapping with the ``_target_`` of such a function and its arguments.
        config: Settings of the named sources.

    Raises:
        OmniglotUnavailable: If Omniglot is not available and ``on_missing`` is None.
        ArgumentError: If the source is unknown or returns no dataset, or a folder has no root.
    """
    if isinstance(source, Mapping) and "_target_" in source:
        source = instantiate_plain(source)
    if isinstance(source, str):
        check.choice("source", source, SOURCES)
        loaded = SOURCES[source](config or SourceConfig())
    else:
        dataset = source() if callable(source) else source
        if not isinstance(dataset, CharacterDataset):
            expected = f"one of {', '.join(SOURCES)}, or a function that returns a CharacterDataset"
            raise ArgumentError("source", type(dataset).__name__, expected)
        warning = f"images of {dataset.source}, not Omniglot: {_NOT_COMPARABLE}"
        loaded = LoadedData(dataset, None, () if dataset.source == "omniglot" else (warning,))
    return replace(loaded, digest=loaded.dataset.digest)


def mix_in_synthetic(
    dataset: CharacterDataset, config: SyntheticConfig
) -> tuple[CharacterDataset, Tensor | None]:
    """Append generated alphabets to a dataset; never those of the ``synthetic`` source.

    Returns all images, and the indices of the generated ones; None if ``config.n_alphabets`` is 0.
    """
    if not config.n_alphabets:
        return dataset, None
    extra = load_alphabets(config, first=MAX_ALPHABETS).resized(dataset.pixels.shape[-1])
    return dataset.joined(extra), torch.arange(len(dataset), len(dataset) + len(extra))
