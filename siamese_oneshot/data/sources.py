"""Data sources by name, and what happens if Omniglot is not available.

A source of your own is a function that returns a `CharacterDataset`. Give it as ``source`` (in YAML
a ``_target_``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siamese_oneshot.data import recombined
from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder import OnError, load_folder
from siamese_oneshot.data.omniglot import LoadedData, OmniglotUnavailable, load_omniglot
from siamese_oneshot.data.synthetic import MAX_ALPHABETS, SyntheticConfig, load_alphabets
from siamese_oneshot.utils import check
from siamese_oneshot.utils.config import instantiate_plain
from siamese_oneshot.utils.errors import ArgumentError
from siamese_oneshot.utils.text import some_of

log = logging.getLogger(__name__)

_MAX_NAMED = 3  # skipped files that a warning names; the log has more
_NOT_COMPARABLE = "no score is comparable with a published one"

SOURCES = ("omniglot", "synthetic", "folder")
Source = str | CharacterDataset | Callable[[], CharacterDataset] | Mapping[str, Any]


def load_source(
    source: Source,
    root: str | Path | None = None,
    download: bool = True,
    on_missing: str | None = None,
    on_error: OnError = "skip",
    synthetic: SyntheticConfig = SyntheticConfig(),  # noqa: B008 (frozen)
) -> LoadedData:
    """Load a data source.

    Args:
        source: One of `SOURCES`; a dataset; a function without arguments that returns one; or a
            mapping with the ``_target_`` of such a function and its arguments.
        root: Folder of Omniglot's files (None searches, see `load_omniglot`) or of your images.
        download: Download Omniglot if it is nowhere.
        on_missing: ``synthetic`` uses generated alphabets if Omniglot is not available, with a
            warning; None raises an error.
        on_error: What a bad file in a folder of images does, see `load_folder`.
        synthetic: Generated alphabets.

    Raises:
        OmniglotUnavailable: If Omniglot is not available and ``on_missing`` is None.
        ArgumentError: If the source is unknown or returns no dataset, or a folder has no root.
    """
    check.choice("on_missing", on_missing, ("synthetic", None))
    check.boolean("download", download)
    root = None if root is None else str(root)  # a folder may be named 2024, a number in YAML
    if isinstance(source, Mapping) and "_target_" in source:
        source = instantiate_plain(source)
    if not isinstance(source, str):
        dataset = source() if callable(source) else source
        if not isinstance(dataset, CharacterDataset):
            expected = f"one of {', '.join(SOURCES)}, or a function that returns a CharacterDataset"
            raise ArgumentError("source", type(dataset).__name__, expected)
        warning = f"images of {dataset.source}, not Omniglot: {_NOT_COMPARABLE}"
        return LoadedData(dataset, None, () if dataset.source == "omniglot" else (warning,))
    check.choice("source", source, SOURCES)
    if source == "folder":
        if root is None:
            raise ArgumentError("root", None, "the folder of your images")
        folder = load_folder(root, on_error)
        warnings = [f"images of {root}, not Omniglot: {_NOT_COMPARABLE}"]
        if skipped := folder.skipped:
            warnings.append(f"{len(skipped):,} skipped in {root}: {some_of(skipped, _MAX_NAMED)}")
        return LoadedData(folder.dataset, None, tuple(warnings))
    warning = f"generated alphabets, not Omniglot: {_NOT_COMPARABLE}"
    if source == "omniglot":
        try:
            return load_omniglot(root, download)
        except OmniglotUnavailable as problem:
            if on_missing is None:
                raise
            log.warning("%s", problem)
        warning = f"OMNIGLOT IS NOT AVAILABLE: generated alphabets are used; {_NOT_COMPARABLE}"
        log.warning("%s", warning)
    return LoadedData(load_alphabets(synthetic, root=root), None, (warning,))


def mix_in_synthetic(
    dataset: CharacterDataset,
    config: SyntheticConfig,
    training: Sequence[str] = (),
    root: str | Path | None = None,
) -> tuple[CharacterDataset, Tensor | None, tuple[str, ...]]:
    """Append generated alphabets to a dataset; never those of the ``synthetic`` source.

    Args:
        dataset: The images.
        config: What is generated.
        training: Omniglot's training alphabets, if these are its images: with ``recombined`` no
            others give strokes.
        root: Folder of the stroke files.

    Returns:
        All images; the indices of the generated ones, without repeated images (of ``recombined``:
        where a person's strokes stand for another one's), None if ``config.n_alphabets`` is 0; and
        the alphabets that gave strokes.
    """
    if not config.n_alphabets:
        return dataset, None, ()
    if config.style == "recombined" and dataset.source == "omniglot":
        wanted = config.stroke_alphabets or recombined.ALPHABETS
        seen = tuple(name for name in wanted if name in training)
        if not seen or (config.stroke_alphabets and seen != wanted):
            others = ", ".join(name for name in wanted if name not in seen)
            message = f"{others}: not trained on, so their strokes may not be, either"
            if not seen:
                message += " (style=splines needs none)"
            raise ArgumentError("extra_synthetic.stroke_alphabets", list(wanted), message=message)
        config = replace(config, stroke_alphabets=seen)
    extra = load_alphabets(config, first=MAX_ALPHABETS, root=root)
    indices = len(dataset) + extra.distinct(torch.arange(len(extra)))
    return dataset.joined(extra.resized(dataset.pixels.shape[-1])), indices, config.strokes_of
