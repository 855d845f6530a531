"""Where drawings come from, by name; and what happens when Omniglot cannot be had."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from siamese_oneshot.data.drawings import Drawings
from siamese_oneshot.data.glyphs import draw_alphabets
from siamese_oneshot.data.omniglot import OfficialRuns, OmniglotUnavailable, load_omniglot
from siamese_oneshot.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Glyphs:
    """How many generated alphabets, characters of each (smallest, largest number) and drawers."""

    alphabets: int = 50
    characters: tuple[int, int] = (20, 40)
    drawers: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Loaded:
    """Drawings, the official runs if they have any, and what a reader of results must know."""

    drawings: Drawings
    runs: OfficialRuns | None
    warnings: tuple[str, ...] = ()


def load_source(
    source: str,
    size: int,
    glyphs: Glyphs,
    root: str | Path | None = None,
    download: bool = True,
    fallback: str | None = None,
) -> Loaded:
    """Load ``omniglot`` or draw ``glyphs``, as ``size`` × ``size`` pictures.

    Args:
        source: ``omniglot`` or ``glyphs``.
        size: pixels along a side.
        glyphs: what to generate.
        root: where Omniglot lies; looked for where None.
        download: fetch Omniglot where it is nowhere.
        fallback: ``glyphs`` to go on with generated alphabets where Omniglot cannot be had; None to
            stop.

    Returns:
        The drawings; with a warning where they are not what was asked for.

    Raises:
        OmniglotUnavailable: it cannot be had, and there is no fallback.
        UserError: an unknown source or fallback.
    """
    if source not in ("omniglot", "glyphs"):
        raise UserError(f"data.source={source} is unknown; there are omniglot, glyphs")
    if fallback not in (None, "glyphs"):
        raise UserError(f"data.fallback={fallback} is unknown; there are glyphs, null")
    if source == "omniglot":
        try:
            found = load_omniglot(root, download)
            return Loaded(found.drawings.resized(size), found.runs)
        except OmniglotUnavailable as problem:
            if fallback is None:
                raise
            log.warning("%s", problem)
            warning = (
                "OMNIGLOT COULD NOT BE HAD: trained and tested on generated alphabets; "
                "no figure here compares with a published one"
            )
            log.warning("%s", warning)
            return Loaded(_draw(glyphs, size), None, (warning,))
    warning = "generated alphabets, not Omniglot: no figure here compares with a published one"
    return Loaded(_draw(glyphs, size), None, (warning,))


def _draw(glyphs: Glyphs, size: int) -> Drawings:
    drawn = draw_alphabets(
        glyphs.alphabets, glyphs.characters, glyphs.drawers, size=105, seed=glyphs.seed
    )
    return drawn.resized(size)
