"""Sweeps that survive interruption: Hydra sweepers that resume, skip complete jobs, and search."""

from __future__ import annotations


def register_sweepers() -> None:
    """Make the sweepers known to Hydra, which otherwise finds them in ``hydra_plugins`` alone.

    Hydra takes a sweeper only by a name that starts with ``hydra_plugins.``, so the classes are
    registered as ``hydra_plugins.siamese_oneshot.GridSweeper`` and ``….SearchSweeper``: the names
    that ``conf/hydra/sweeper/grid.yaml`` and ``conf/sweep/search.yaml`` have as ``_target_``.
    """
    from hydra.core.plugins import Plugins

    from siamese_oneshot.sweeps.driver import GridSweeper
    from siamese_oneshot.sweeps.search import SearchSweeper

    for sweeper in (GridSweeper, SearchSweeper):
        name = f"hydra_plugins.siamese_oneshot.{sweeper.__name__}"
        Plugins.instance().class_name_to_class[name] = sweeper
