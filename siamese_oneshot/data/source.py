"""Where drawings come from, by name; and what happens when Omniglot cannot be had."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.glyph_cache import load_alphabets
from siamese_oneshot.data.glyphs import MOST_ALPHABETS
from siamese_oneshot.data.omniglot import OfficialRuns, OmniglotUnavailable, load_omniglot
from siamese_oneshot.data.own.folder import OnBad, load_folder
from siamese_oneshot.errors import UserError
from siamese_oneshot.setting import flag, one_of

log = logging.getLogger(__name__)

_TOLD = 3  # of what was left out, in a warning; the log has more
SOURCES = ("omniglot", "glyphs", "folder")


@dataclass(frozen=True)
class Glyphs:
    """How many generated alphabets, characters of each (smallest, largest number) and drawers."""

    alphabets: int = 50
    characters: tuple[int, int] = (20, 40)
    drawers: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Loaded:
    """Drawings, the official runs if they have any, and what a reader of results must know.

    Attributes:
        drawings: in the size asked for.
        runs: the official runs; None where there are none.
        warnings: each in a sentence.
        digest: of the drawings in their own size, so that it tells data sets apart and not sizes.
    """

    drawings: Drawings
    runs: OfficialRuns | None
    warnings: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def of(
        cls,
        drawings: Drawings,
        size: int,
        runs: OfficialRuns | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Loaded:
        """Bring drawings to a size."""
        return cls(drawings.resized(size), runs, warnings, drawings.digest)


def load_source(
    source: str,
    size: int,
    glyphs: Glyphs,
    root: str | Path | None = None,
    download: bool = True,
    fallback: str | None = None,
    on_bad: OnBad = "skip",
) -> Loaded:
    """Load ``omniglot`` or a person's own ``folder``, or draw ``glyphs``.

    Args:
        source: one of ``SOURCES``.
        size: pixels along a side of the pictures that come out.
        glyphs: what to generate.
        root: where Omniglot lies, looked for where None; or the person's folder.
        download: fetch Omniglot where it is nowhere.
        fallback: ``glyphs`` to go on with generated alphabets where Omniglot cannot be had; None to
            stop.
        on_bad: what a bad picture in a folder does, see ``load_folder``.

    Returns:
        The drawings; with a warning where they are not what was asked for.

    Raises:
        OmniglotUnavailable: it cannot be had, and there is no fallback.
        UserError: an unknown source or fallback, or a folder without a root.
    """
    one_of("data.source", source, SOURCES)
    one_of("data.fallback", fallback, ("glyphs", None))
    flag("data.download", download)
    root = None if root is None else str(root)  # a folder may be called 2024
    if source == "omniglot":
        try:
            found = load_omniglot(root, download)
            return Loaded.of(found.drawings, size, found.runs)
        except OmniglotUnavailable as problem:
            if fallback is None:
                raise
            log.warning("%s", problem)
            warning = (
                "OMNIGLOT COULD NOT BE HAD: trained and tested on generated alphabets; "
                "no figure here compares with a published one"
            )
            log.warning("%s", warning)
            return Loaded.of(_draw(glyphs), size, None, (warning,))
    if source == "folder":
        if root is None:
            raise UserError("data=folder needs data.root=<folder of your pictures>")
        own = load_folder(root, on_bad)
        warning = f"pictures of {root}, not Omniglot: no figure here compares with a published one"
        return Loaded.of(own.drawings, size, None, (warning, *_left_out(root, own.skipped)))
    warning = "generated alphabets, not Omniglot: no figure here compares with a published one"
    return Loaded.of(_draw(glyphs), size, None, (warning,))


def mixed_in(drawings: Drawings, generated: Glyphs) -> tuple[Drawings, Tensor | None]:
    """Generated alphabets beside others; never those that ``data=glyphs`` has.

    Returns:
        All drawings, those given first, and the positions of the generated ones; None where
        ``generated.alphabets`` is 0.
    """
    if not generated.alphabets:
        return drawings, None
    size = drawings.pixels.shape[-1]
    both = drawings.joined(_draw(generated, MOST_ALPHABETS, "data.generated").resized(size))
    return both, torch.arange(len(drawings), len(both))


def _left_out(root: str | Path, skipped: tuple[str, ...]) -> tuple[str, ...]:
    """One sentence for all that was left out; none where nothing was."""
    if not skipped:
        return ()
    more = f"; and {len(skipped) - _TOLD:,} more" if len(skipped) > _TOLD else ""
    return (f"{len(skipped):,} left out of {root}: {'; '.join(skipped[:_TOLD])}{more}",)


def _draw(glyphs: Glyphs, first: int = 0, where: str = "data.glyphs") -> Drawings:
    numbers = glyphs.alphabets, glyphs.characters, glyphs.drawers, glyphs.seed
    return load_alphabets(*numbers, first=first, where=where)
