"""Wrong names on the command line are answered with the nearest right ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.utils.text import nearest


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (["modle=paper"], "Did you mean model=paper?"),
        (["modle=conv4"], "Did you mean model=conv4_small?"),
        (["model=conv4-small"], "Did you mean model=conv4_small?"),
        (["model=papr"], "Did you mean model=paper?"),
        (["-m", "model=conv4_small,papr"], "Did you mean model=paper?"),
        (["optimizer.lrr=1"], "Did you mean optimizer.lr=1?"),
        (["lr=1"], "Did you mean optimizer.lr=1?"),
        (["optimizer_name=adam"], "Did you mean optimizer=adam?"),
        (["optimiser.lr=1"], "Did you mean optimizer.lr=1?"),
        (["trainer.max_step=3"], "Did you mean trainer.max_steps=3?"),
        (["~trainr.accelerator"], "Did you mean ~trainer.accelerator?"),
        (["model=conv4_small", "model.dept=3"], "Did you mean model.depth=3?"),
        (["+experiment=papper"], "Did you mean +experiment=paper?"),
        (["+experimnt=paper"], "Did you mean experiment?"),
        (["+exp=replication"], "Did you mean experiment?"),
        (["experiment=paper"], "Did you mean +experiment=paper?"),
        (["experimnt=paper"], "Did you mean +experiment=paper?"),
        (["+sed=4"], "Did you mean seed?"),
        (["replication"], "settings are written key=value"),
        (["hydra.run.dri=x"], "Did you mean hydra.run.dir=x?"),
        (["--cfg", "job", "optimizer.lrr=1"], "Did you mean optimizer.lr=1?"),
        (["optimizer.learning_rate=1"], "Did you mean optimizer.lr=1?"),
        (["learning_rate=1"], "Did you mean optimizer.lr=1?"),
        (
            ["batch_size=32"],
            "the product of sampler.n_alphabets, sampler.n_way and sampler.n_drawers?",
        ),
        (["+sampler.batch_size=8", "batch_size=32"], "Did you mean sampler.batch_size=32?"),
        (["--experiment"], "settings are written key=value, without dashes"),
        (["a=1", "--seed=3"], "settings are written key=value, without dashes"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_one(
    refused: Callable[..., tuple[int, str]], line: list[str], meant: str
) -> None:
    code, shown = refused(*line)
    assert code == 2
    assert meant in shown
    assert shown.startswith("Error: ")
    assert line[-1] in shown.splitlines()[0]
    assert "Traceback" not in shown


def test_every_wrong_name_of_a_line_is_named(
    refused: Callable[..., tuple[int, str]],
) -> None:
    _, shown = refused("modle=conv4", "seed=1", "optimizer.lrr=2")
    assert "model=conv4_small?" in shown
    assert "optimizer.lr=2?" in shown
    assert "seed" not in shown


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["seed=a=b"], "seed=a=b: cannot be read"),
        (["model=paper,conv4_small"], "add --multirun"),
        (["model=null"], "model=null: there is no such setting or option. Choices: conv4_small, "),
        (["+seed=1"], "An item is already at 'seed'"),
        (["-m", "seed=1", "--cfg", "job"], "Only one of --run, --multirun"),
        (["hydra.job.chdir=banana"], "'banana' is not a valid bool"),
        (["model=zzzz"], "model=zzzz: there is no such setting or option. Choices: conv4_small, "),
        (["zzzz=4"], "Could not override 'zzzz'."),
        (["--cfg", "job", "--resolve", "seed=${nowhere}"], "nowhere"),
    ],
)
def test_other_wrong_lines_end_in_one_block_too(
    refused: Callable[..., tuple[int, str]], line: list[str], part: str
) -> None:
    code, shown = refused(*line)
    assert (code, part in shown, "Traceback" in shown) == (2, True, False)
    assert "Did you mean" not in shown


@pytest.mark.parametrize(
    "right",
    ["hydra/launcher=basic", "model=[paper,conv4_small]", "model=choice(paper,conv4_small)"],
)
def test_what_is_right_is_not_called_wrong(
    refused: Callable[..., tuple[int, str]], right: str
) -> None:
    _, shown = refused(right, "optimizer.lrr=1", "-m")
    assert shown.startswith("Error: optimizer.lrr=1: ")
    assert right not in shown


def test_options_of_a_folder_of_ones_own_are_known(
    tmp_path: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "papers.yaml").write_text("width: 1")
    _, shown = refused("--config-dir", str(tmp_path / "mine"), "model=papers", "optimizer.lrr=1")
    assert shown.startswith("Error: optimizer.lrr=1: ")


def test_a_loss_without_a_sampler_of_its_name_needs_one_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "squared.yaml").write_text("_target_: my_losses.Squared")
    with pytest.raises(SystemExit, match="2"):
        run_hydra(print, argv=["--config-dir", str(tmp_path), "loss=squared"])
    error = capsys.readouterr().err
    assert "add sampler=bce_pairs if it learns from pairs" in error
    assert "sampler=episodic_ce_smooth if it learns from whole alphabets" in error
    assert "search path" not in error


def test_an_option_that_nothing_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "mine.yaml").write_text("mine: {_target_: my_tasks.mine}")
    line = ["--config-dir", str(tmp_path), "+protocol=mine", f"hydra.run.dir={tmp_path}/run"]
    with pytest.raises(SystemExit, match="1"):
        run_hydra(print, argv=line)
    assert 'begin the file with "# @package KEY"' in capsys.readouterr().err


def test_a_new_setting_can_be_added(conf: Path) -> None:
    line = ["+note=hello", "++experimnt=paper", "+trainer.max_stepz=1"]
    value = run_hydra(lambda cfg: (cfg.note, cfg.experimnt, cfg.trainer.max_stepz), argv=line)
    assert value == ("hello", "paper", 1)


def test_all_options_of_a_group_can_be_swept(conf: Path) -> None:
    seeds = list[int]()
    run_hydra(lambda cfg: seeds.append(cfg.seed), argv=["-m", "+experiment=glob(*)"])
    assert seeds == [0, 5]


def test_nearest_ranks_whole_path_then_last_part() -> None:
    names = ["optimizer.lr", "optimizer.lr_decay", "trainer.max_steps", "seed"]
    assert nearest("optimizer.lrr", names)[0] == "optimizer.lr"
    assert nearest("max_steps", names) == ["trainer.max_steps"]
    assert nearest("qqq", names) == []
    assert nearest("x", []) == []
    assert nearest("lr", ["a.lr", "b.lr", "c"]) == ["a.lr", "b.lr"]
