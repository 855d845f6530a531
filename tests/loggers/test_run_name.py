"""Names of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_oneshot.loggers.run_name import RunName, name_of, rounded
from siamese_oneshot.sweeps.job import Job


def test_a_job_is_named_by_what_is_swept(tmp_path: Path) -> None:
    job = Job(
        3,
        ["+experiment=paper", "optimizer.lr=0.001", "seed=2", "test=false"],
        ["optimizer.lr", "seed"],
    )
    job.write(tmp_path / "my sweep" / "3_lr")
    label = RunName.of(tmp_path / "my sweep" / "3_lr", "paper", 2, ["not=mine"])
    assert label == RunName("paper · lr 1e-3 · seed 2", "my sweep", tmp_path / "my sweep")


def test_a_single_run_is_named_by_its_command_line(tmp_path: Path) -> None:
    line = [
        "+experiment=paper",
        "model=conv4_small",
        "++optimizer.lr=3e-3",
        "resume=x",
        "logger.wandb.mode=offline",
    ]
    label = RunName.of(
        tmp_path, "paper", 0, [*line, "hydra.run.dir=x", "seed=0", "~callbacks.validation_plots"]
    )
    assert label == RunName("paper · model conv4_small · lr 3e-3 · seed 0", None, tmp_path)


def test_a_damaged_job_is_a_single_run(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{")
    assert RunName.of(tmp_path, "default", 1, []).name == "default · seed 1"


def test_many_settings_are_cut_and_the_jobs_number_keeps_names_apart() -> None:
    settings = {f"optimizer.lr.layer{n}": "0.0123456789" for n in range(20)}
    one, other = (name_of("paper", settings, 0, number) for number in (7, 8))
    assert one.startswith("paper · job 7 · layer0 0.01235 · ")
    assert one.endswith(" · … · seed 0")
    assert len(one) <= 110
    assert one != other


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.001", "1e-3"), ("0.0020554062603827007", "2.055e-3"), ("0.05", "0.05"), ("256", "256"),
        ("0.12345678901", "0.1235"), ("[8,8,16,16]", "[8,8,16,16]"), ("0", "0"), ("false", "false"),
    ],
)  # fmt: skip
def test_numbers_read(value: str, shown: str) -> None:
    assert rounded(value) == shown
