"""What matters is ranked above what does not; without enough jobs there is a reason."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from siamese_oneshot.reports.importance import importance_of
from siamese_oneshot.reports.job import Data, Job, Sweep


def swept(rows: list[tuple[dict[str, Any], float | None]], **changes: Any) -> Sweep:
    keys = list(dict.fromkeys(key for settings, _ in rows for key in settings))
    jobs = [
        Job(Path(str(n)), str(n), n, "finished", settings, n, validation=validation)
        for n, (settings, validation) in enumerate(rows)
    ]
    for name, value in changes.items():
        setattr(jobs[0], name, value)
    return Sweep([Path()], jobs, keys, [])


@pytest.mark.parametrize("kind", ["number", "logarithm", "word"])
def test_what_matters_comes_first(kind: str) -> None:
    rng = random.Random(1)
    rows = []
    for _ in range(24):
        level = rng.random()
        mattering: Any = {
            "number": level,
            "logarithm": 10 ** (-6 * level),
            "word": f"w{level:.1f}",
        }[kind]
        noise = {"one": rng.random(), "two": rng.choice("ab"), "three": rng.randrange(9)}
        rows.append(({"first": rng.random(), **noise, "matters": mattering, "fixed": 3}, level))
    found = importance_of(swept(rows))
    assert found.shares[0].key == "matters"
    assert found.shares[0].share > 0.5
    assert {one.key for one in found.shares} == {"first", "one", "two", "three", "matters"}
    assert sum(one.share for one in found.shares) == pytest.approx(1)
    assert all((one.jobs, one.lacking) == (24, 0) for one in found.shares)
    assert found.why == ""
    assert importance_of(swept(rows)).shares == found.shares, "the same jobs, the same figures"


def test_a_rate_counts_by_its_logarithm() -> None:
    rng = random.Random(2)
    levels = [(rng.random(), rng.random()) for _ in range(20)]

    def shares(rate: float) -> dict[str, float]:
        rows = [({"a": 10 ** (-rate * a) if rate else a, "b": b}, a + b) for a, b in levels]
        return {one.key: one.share for one in importance_of(swept(rows)).shares}

    assert shares(rate=6) == pytest.approx(shares(rate=0), abs=1e-3)


def test_jobs_that_lack_a_setting_are_left_out_of_it_and_counted() -> None:
    rows: list[tuple[dict[str, Any], float | None]] = []
    for n in range(12):
        own = {"warm": n // 2} if n % 2 else {}
        rows.append(({"kind": "ab"[n % 2], **own}, 0.5 + 0.3 * (n % 2) + 0.01 * n))
    rows += [({"rare": 1}, 0.1), ({"rare": 2}, 0.2)]
    found = importance_of(swept(rows))
    told = {one.key: (one.jobs, one.lacking) for one in found.shares}
    assert told == {"kind": (12, 2), "warm": (6, 8)}
    assert "rare" in found.why


@pytest.mark.parametrize(
    ("rows", "changes", "words"),
    [
        ([({"a": n}, 0.1 * n) for n in range(3)], {}, "only 3 jobs have finished: it takes 4"),
        ([({"a": n}, 0.1 * n) for n in range(4)], {"status": "pruned"}, "only 3 jobs have"),
        ([({"a": n}, 0.1 * n) for n in range(4)], {"validation": None}, "only 3 jobs have"),
        ([({"a": 1}, 0.1 * n) for n in range(4)], {}, "no setting differs"),
        ([({"a": n}, 0.5) for n in range(4)], {}, "the same validation score"),
        ([({"a": n}, 0.1 * n) for n in range(4)], {"data": Data("a", "b", "c", "d")}, "different"),
    ],
)
def test_why_there_is_none(rows: list[Any], changes: dict[str, Any], words: str) -> None:
    found = importance_of(swept(rows, **changes))
    assert found.shares == []
    assert words in found.why


def test_where_most_jobs_tie_at_the_bottom_no_half_is_better() -> None:
    found = importance_of(swept([({"a": n}, 0.1 if n else 0.9) for n in range(5)]))
    assert found.shares == []
    assert "too few jobs tell anything of a" in found.why


def test_four_jobs_will_do() -> None:
    rows = [({"a": a, "b": b}, 0.5 + 0.3 * a + 0.01 * b) for a in (0, 1) for b in (0, 1)]
    found = importance_of(swept(rows))
    assert found.shares[0].key == "a"
