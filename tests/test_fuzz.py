"""A few hundred spoilt files with a fixed seed; ``fuzz.py`` says how to try many more."""

from __future__ import annotations

from fuzz import READERS, fuzz


def test_spoilt_files_are_taken_or_refused() -> None:
    ended, findings = fuzz(600, seed=1)
    assert not findings
    assert sum(ended.values()) == 600
    for name in READERS:
        assert ended[f"{name} refused"] or name == "path", f"nothing was refused of {name}"
