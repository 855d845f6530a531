"""Few examples, the same ones every time: a search with more is ``--hypothesis-profile=long``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile(
    "short", max_examples=40, deadline=None, derandomize=True, suppress_health_check=_CALM
)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=_CALM)
settings.load_profile("short")
