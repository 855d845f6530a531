"""Where images come from, by name; and what happens when Omniglot cannot be had."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from siamese_oneshot.data.dataset import CharacterDataset
from siamese_oneshot.data.image_folder.folder import OnError, load_folder
from siamese_oneshot.data.omniglot import OfficialRuns, OmniglotUnavailable, load_omniglot
from siamese_oneshot.data.synthetic.disk_cache import load_alphabets
from siamese_oneshot.data.synthetic.generator import MOST_ALPHABETS
from siamese_oneshot.utils import check
from siamese_oneshot.utils.errors import UserError

log = logging.getLogger(__name__)

_TOLD = 3  # of what was left out, in a warning; the log has more
SOURCES = ("omniglot", "synthetic", "folder")


@dataclass(frozen=True)
class SyntheticConfig:
    """How many generated alphabets, characters of each (smallest, largest number) and drawers."""

    n_alphabets: int = 50
    n_characters: tuple[int, int] = (20, 40)
    n_drawers: int = 20
    seed: int = 0


@dataclass(frozen=True)
class LoadedData:
    """Images, the official runs if they have any, and what a reader of results must know.

    Attributes:
        images: in the size asked for.
        runs: the official runs; None where there are none.
        warnings: each in a sentence.
        digest: of the images in their own size, so that it tells data sets apart and not sizes.
    """

    dataset: CharacterDataset
    runs: OfficialRuns | None
    warnings: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def of(
        cls,
        dataset: CharacterDataset,
        size: int,
        runs: OfficialRuns | None = None,
        warnings: tuple[str, ...] = (),
    ) -> LoadedData:
        """Bring images to a size."""
        return cls(dataset.resized(size), runs, warnings, dataset.digest)


def load_source(
    source: str,
    size: int,
    synthetic: SyntheticConfig,
    root: str | Path | None = None,
    download: bool = True,
    on_missing: str | None = None,
    on_error: OnError = "skip",
) -> LoadedData:
    """Load ``omniglot`` or a person's own ``folder``, or draw ``synthetic``.

    Args:
        source: one of ``SOURCES``.
        size: pixels along a side of the images that come out.
        glyphs: what to generate.
        root: where Omniglot lies, looked for where None; or the person's folder.
        download: fetch Omniglot where it is nowhere.
        on_missing: ``synthetic`` to go on with generated alphabets where Omniglot cannot be had; None to
            stop.
        on_error: what a bad image in a folder does, see ``load_folder``.

    Returns:
        The images; with a warning where they are not what was asked for.

    Raises:
        OmniglotUnavailable: it cannot be had, and there is no on_missing.
        UserError: an unknown source or on_missing, or a folder without a root.
    """
    check.choice("source", source, SOURCES)
    check.choice("on_missing", on_missing, ("synthetic", None))
    check.boolean("download", download)
    root = None if root is None else str(root)  # a folder may be called 2024
    if source == "omniglot":
        try:
            found = load_omniglot(root, download)
            return LoadedData.of(found.dataset, size, found.runs)
        except OmniglotUnavailable as problem:
            if on_missing is None:
                raise
            log.warning("%s", problem)
            warning = (
                "OMNIGLOT COULD NOT BE HAD: trained and tested on generated alphabets; "
                "no figure here compares with a published one"
            )
            log.warning("%s", warning)
            return LoadedData.of(_draw(synthetic), size, None, (warning,))
    if source == "folder":
        if root is None:
            raise UserError("data=folder needs data.root=<folder of your images>")
        own = load_folder(root, on_error)
        warning = f"images of {root}, not Omniglot: no figure here compares with a published one"
        return LoadedData.of(own.dataset, size, None, (warning, *_left_out(root, own.skipped)))
    warning = "generated alphabets, not Omniglot: no figure here compares with a published one"
    return LoadedData.of(_draw(synthetic), size, None, (warning,))


def mix_in_synthetic(
    dataset: CharacterDataset, extra: SyntheticConfig
) -> tuple[CharacterDataset, Tensor | None]:
    """Generated alphabets beside others; never those that ``data=synthetic`` has.

    Returns:
        All images, those given first, and the indices of the generated ones; None where
        ``extra.n_alphabets`` is 0.
    """
    if not extra.n_alphabets:
        return dataset, None
    size = dataset.pixels.shape[-1]
    both = dataset.joined(_draw(extra, MOST_ALPHABETS, "data.extra_synthetic").resized(size))
    return both, torch.arange(len(dataset), len(both))


def _left_out(root: str | Path, skipped: tuple[str, ...]) -> tuple[str, ...]:
    """One sentence for all that was left out; none where nothing was."""
    if not skipped:
        return ()
    more = f"; and {len(skipped) - _TOLD:,} more" if len(skipped) > _TOLD else ""
    return (f"{len(skipped):,} left out of {root}: {'; '.join(skipped[:_TOLD])}{more}",)


def _draw(
    synthetic: SyntheticConfig, first: int = 0, where: str = "data.synthetic"
) -> CharacterDataset:
    numbers = synthetic.n_alphabets, synthetic.n_characters, synthetic.n_drawers, synthetic.seed
    return load_alphabets(*numbers, first=first, where=where)
