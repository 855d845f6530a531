"""A run goes on in its folder with the overrides that it was started with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli import run_hydra

AWKWARD = "a b=c,d'e(1)"


def started(*line: str, folder: Path) -> Path:
    """A run that was made with these overrides."""
    run_hydra(lambda cfg: None, argv=[*line, f'hydra.run.dir="{folder}"'])
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder


def look(cfg: DictConfig) -> dict[str, Any]:
    """What a resumed run sees, and where it writes."""
    return {
        "seed": cfg.seed,
        "steps": cfg.trainer.max_steps,
        "resume": cfg.resume,
        "folder": HydraConfig.get().runtime.output_dir,
    }


@pytest.mark.parametrize("what", ["", "/checkpoints/last.ckpt"])
@pytest.mark.parametrize("quotes", ["", '"'])
@pytest.mark.parametrize("name", ["plain", AWKWARD])
def test_resume_goes_on_with_the_same_overrides_in_the_same_folder(
    conf: Path, tmp_path: Path, name: str, quotes: str, what: str
) -> None:
    folder = started("+experiment=paper", "seed=4", folder=tmp_path / "runs" / name)
    path = f"../runs/{name}{what}"  # relative to the folder it is run from
    seen = run_hydra(look, argv=[f"resume={quotes}{path}{quotes}"])
    assert seen["seed"] == 4
    assert seen["steps"] == 99
    assert Path(seen["resume"]).resolve() == Path(f"{folder}{what}")
    assert Path(seen["folder"]).resolve() == folder
    assert sorted(tmp_path.glob("work/*")) == []


def test_what_is_given_now_wins_and_a_second_resume_remembers_it(
    conf: Path, tmp_path: Path
) -> None:
    folder = started("+experiment=paper", "seed=4", "+note=a", folder=tmp_path / "run")
    line = ["seed=6", f"resume={folder}", "experiment=replication", "note=b", "optimizer.lr=2"]
    seen = run_hydra(lambda cfg: {**look(cfg), "note": cfg.note, "lr": cfg.optim.lr}, argv=line)
    assert (seen["seed"], seen["steps"], seen["note"], seen["lr"]) == (6, 10, "b", 2)
    recorded = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
    assert recorded == [
        "seed=6",
        "+experiment=replication",
        "+note=b",
        "optimizer.lr=2",
        f"resume='{folder}'",
    ]
    again = run_hydra(lambda cfg: {**look(cfg), "lr": cfg.optim.lr}, argv=[f"resume={folder}"])
    assert (again["seed"], again["lr"]) == (6, 2)
    text = (folder / ".hydra" / "overrides.yaml").read_text()
    assert text.count("resume=") == 1


@pytest.mark.parametrize("line", [["-m", "seed=1,2"], ["+sweep=pair"]])
def test_one_job_of_a_multirun_can_be_resumed(conf: Path, tmp_path: Path, line: list[str]) -> None:
    run_hydra(lambda cfg: None, argv=line)
    seen = run_hydra(look, argv=["resume=outputs/sweep/1"])
    assert seen["seed"] == 2
    assert Path(seen["folder"]).resolve() == tmp_path / "work" / "outputs" / "sweep" / "1"


def test_options_before_the_overrides_stay(
    conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = started("seed=4", folder=tmp_path / "run")
    assert run_hydra(look, argv=["--cfg", "job", f"resume={folder}"]) is None
    assert "seed: 4" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["resume=null", "resume="])
def test_resume_can_be_told_to_be_none(conf: Path, tmp_path: Path, word: str) -> None:
    assert Path(run_hydra(look, argv=[word])["folder"]) == tmp_path / "work" / "outputs" / "run"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["resume=nowhere"], "there is no run at"),
        (["resume=."], "overrides.yaml does not exist"),
        (["resume=weights.ckpt"], "there is no run at"),
        (["resume=damaged"], "is damaged"),
        (["resume=broken"], "cannot be read"),
        (["-m", "resume=damaged"], "cannot be used with --multirun"),
        (["hydra.mode=MULTIRUN", "resume=damaged"], "cannot be used with --multirun"),
    ],
)
def test_a_resume_that_cannot_be_is_refused(
    refused: Callable[..., tuple[int, str]], line: list[str], part: str
) -> None:
    Path("weights.ckpt").touch()
    for name, text in (("damaged", "{a: 1}"), ("broken", "[a, ")):
        Path(name, ".hydra").mkdir(parents=True)
        Path(name, ".hydra", "overrides.yaml").write_text(text)
    code, shown = refused(*line)
    assert code == 1
    assert shown.startswith("Error: resume")
    assert part in shown
    assert "Traceback" not in shown
