"""Means over seeds: only finished runs of one setting, with Student's interval."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from siamese_oneshot.errors import UserError
from siamese_oneshot.seeds import find_results, seeds_table
from siamese_oneshot.tracking.result import RunResult, write_result
from siamese_oneshot.tracking.score import Score


def result(seed: int, correct: int, digest: str = "a", status: str = "finished") -> RunResult:
    score = Score.from_counts("official", "how", correct, 400, digest, "test")
    return RunResult(
        status, "default", seed, "omniglot", "d", "lake", [score], 0.9, None, 1, 1, 10.0 + seed,
        1.0, "bf16-mixed", hardware="two cores",
    )  # fmt: skip


def test_mean_and_interval(tmp_path):
    for seed, correct in ((0, 384), (1, 388), (2, 386)):
        write_result(tmp_path / str(seed), result(seed, correct))
    write_result(tmp_path / "3", result(3, 0, status="interrupted"))
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(seeds_table(find_results([tmp_path])))
    text = console.export_text()
    # mean 96.5, standard deviation 0.5, t(2) = 4.3027: 96.5 ± 4.3027 * 0.5 / √3
    for expected in ("96.50", "95.26-97.74", "96.00, 97.00, 96.50", "seeds 0, 1, 2", "10-12 s"):
        assert expected in text


def test_what_does_not_belong_together_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        find_results([tmp_path])
    write_result(tmp_path / "0", result(0, 1))
    write_result(tmp_path / "1", replace(result(1, 1, digest="b")))
    with pytest.raises(UserError, match="trial lists"):
        find_results([tmp_path])
