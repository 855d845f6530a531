"""Try one place after another, then the network, and keep why each would not do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from siamese_oneshot.data.omniglot.contents import decode_set
from siamese_oneshot.data.omniglot.download import REPOSITORY, DownloadFailed, download
from siamese_oneshot.data.omniglot.edition import Edition
from siamese_oneshot.data.omniglot.files import (
    PARTS,
    ROOT_VARIABLE,
    Members,
    OmniglotFaulty,
    OmniglotUnavailable,
    Place,
    candidates,
    missing,
    places,
)
from siamese_oneshot.data.omniglot.official_runs import decode_runs

T = TypeVar("T")
log = logging.getLogger(__name__)


class Search:
    """One search for the files: decodes the first of each part that does, and keeps the reasons."""

    def __init__(
        self, edition: Edition, given: Place | None, home: Path, may_download: bool
    ) -> None:
        """Decide where to look.

        Args:
            edition: what must come out.
            given: the user's root: the images may come from nowhere else.
            home: the cache's folder; downloads go to ``omniglot`` below it.
            may_download: whether the network may be asked.
        """
        self.edition = edition
        self.given = given
        self.downloads = home / "omniglot"
        self.may_download = may_download
        self.places = [given] if given else places(home)
        self.reasons: list[str] = []

    def decode(self) -> dict[str, NDArray[Any]]:
        """The three arrays of the cache.

        Raises:
            OmniglotUnavailable, OmniglotFaulty: as ``load_omniglot``.
        """
        for place in self.places:
            if place.called.startswith("$") and (lacking := missing(place.path)):
                log.warning("%s=%s: %s; looking on", place.called, place.path, lacking)
        background = self._part(
            "images_background", lambda m: decode_set(m, self.edition.background)
        )
        evaluation = self._part(
            "images_evaluation", lambda m: decode_set(m, self.edition.evaluation)
        )
        runs = self._part(
            "all_runs",
            lambda m: decode_runs(m, evaluation, len(background), self.edition.runs_digest),
        )
        return {"background": background, "evaluation": evaluation, "runs": runs}

    def _part(self, part: str, decode: Callable[[Members], T]) -> T:
        where = [place.path for place in self.places]
        if self.given and part == "all_runs":  # the images stay the root's
            where.append(self.downloads)
        for place in where:
            for path in candidates(place, part):
                try:
                    return self._decoded(path, decode)
                except OmniglotFaulty as fault:
                    log.warning("%s is not used: %s", path, fault)
                    self.reasons.append(f"{path}: {fault}")
        if not self.may_download:
            raise self._stopped(part, "downloading is switched off (data.download=false)")
        if self.given and part != "all_runs":
            raise self._stopped(part, "with a data.root, images come from there alone")
        try:
            path = download(part, self.downloads)
        except DownloadFailed as fault:
            raise self._stopped(part, f"download failed: {fault}") from fault
        return self._decoded(path, decode)

    @staticmethod
    def _decoded(path: Path, decode: Callable[[Members], T]) -> T:
        log.info("decoding %s", path)
        with Members(path) as members:
            return decode(members)

    def _stopped(self, part: str, download_story: str) -> OmniglotFaulty | OmniglotUnavailable:
        # what an earlier download brought is no file of the user's
        own = [place.path for place in self.places if place.path != self.downloads]
        anything = any(candidates(path, part) for path in own for part in PARTS)
        kind = OmniglotFaulty if anything else OmniglotUnavailable
        looked = [
            f"  {place.called} ({place.path}): {missing(place.path) or 'see below'}"
            for place in self.places
        ]
        if not any(place.called.startswith("$") for place in self.places) and not self.given:
            looked.insert(0, f"  ${ROOT_VARIABLE}: not set")
        return kind(
            "\n".join(
                [
                    f"Omniglot cannot be had: no usable {part}.zip or {part}/. Looked in",
                    *looked,
                    *(f"  not usable: {reason}" for reason in self.reasons),
                    f"  {download_story}",
                    "What to do: put images_background.zip, images_evaluation.zip and all_runs.zip "
                    f"(from {REPOSITORY}/tree/master/python; all_runs.zip is in its folder "
                    "one-shot-classification) into ./data/omniglot, or name their folder with "
                    f"data.root=… or {ROOT_VARIABLE}, or run with data=synthetic "
                    "(generated alphabets).",
                ]
            )
        )
