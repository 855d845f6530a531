"""Arguments of the command line: flags, paths without quotes, and ``resume=``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli import run_hydra
from siamese_oneshot.cli.overrides import parse_line, unquoted, with_paths
from siamese_oneshot.runs.record import check_files
from siamese_oneshot.utils.errors import CommandLineError, UserError
from siamese_oneshot.utils.text import quoted

NAMES = ["a b", "β (x)", "a=1,b=[2]", "it's", 'say "hi"', "c:\\d", "${x}", "1_lr=0.1,seed=2", "~x"]
AWKWARD = "a b=c,d'e(1)"
CKPT = "/checkpoints/last.ckpt"


def read_back(argument: str) -> Any:
    (override,) = OverridesParser.create().parse_overrides([argument])
    return override.value()


@pytest.mark.parametrize(
    ("line", "flags", "overrides"),
    [
        ("-m a=1 b=2", "-m", "a=1 b=2"),
        ("a=1 -m b=2", "-m", "a=1 b=2"),
        ("a=1 -c job word", "-c job", "a=1 word"),
        ("--cfg=job a=1 --resolve", "--cfg=job --resolve", "a=1"),
        ("a=1 --info", "--info", "a=1"),
        ("--info defaults a=1", "--info defaults", "a=1"),
    ],
)
def test_a_line_is_split_whatever_its_order(line: str, flags: str, overrides: str) -> None:
    parsed = parse_line(line.split())
    assert (" ".join(parsed.flags), " ".join(parsed.overrides)) == (flags, overrides)


@pytest.mark.parametrize("line", ["--experiment quick a=1", "a=1 --lr=0.1", "--exp quick"])
def test_flags_that_hydra_does_not_have_are_refused(line: str) -> None:
    with pytest.raises(CommandLineError, match=r"^--.*: settings are written key=value"):
        parse_line(line.split())


# --- paths


@pytest.mark.parametrize("name", NAMES)
def test_hydra_reads_a_typed_path_back(name: str) -> None:
    if name != "${x}":
        (argument,) = with_paths([f"query={name}"], ["query"])
        assert read_back(argument) == name
    assert unquoted(quoted(name)) == name


def test_words_become_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a folder that is named like an override."""
    monkeypatch.chdir(tmp_path)
    Path("0_seed=0").mkdir()
    rest, models = with_paths(["pretrained", "plots=false", "0_seed=0", "a run/x"], ["m"], "m")
    assert rest == "plots=false"
    assert read_back(models) == ["pretrained", "0_seed=0", "a run/x"]


def test_an_override_that_is_too_long_for_a_file_name() -> None:
    long = f"data.val_alphabets=[{','.join(['Alphabet_of_the_Magi'] * 15)}]"
    assert with_paths([long, "dense"], ["models"], "models") == [long, "models=['dense']"]
    root = "data.root=" + ",".join(["omniglot"] * 40)
    assert with_paths([root], ["data.root"], sweeps=True) == [root]


def test_values_that_hydra_reads_are_not_changed() -> None:
    line = ["models=[a,b]", "out=null", "models=false", "+x=1", "~y", "seed=0,1"]
    assert with_paths(line, ["models", "out"], "models") == line
    assert with_paths(["m='a b'"], ["m"]) == with_paths(["m=a b"], ["m"]) == ["m='a b'"]


@pytest.mark.parametrize("root", ["/data/omniglot", "one,two", "null", "[a,b]", "x-1_2+3"])
def test_values_may_be_swept(root: str) -> None:
    assert with_paths([f"data.root={root}"], ["data.root"], sweeps=True) == [f"data.root={root}"]


@pytest.mark.parametrize("root", ["~/omniglot", "my images", "a=1,b", "β", "one,two"])
def test_a_path_is_quoted_where_values_may_be_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one,two").mkdir()  # a folder that exists is one value
    (argument,) = with_paths([f"data.root={root}"], ["data.root"], sweeps=True)
    (override,) = OverridesParser.create().parse_overrides([argument])
    assert override.value() == root
    assert not override.is_sweep_override()


@pytest.mark.parametrize(
    ("root", "values"),
    [
        ("~/a,~/b", ["~/a", "~/b"]),
        ("choice(a,b)", ["a", "b"]),
        ("my a,b (2)", ["my a", "b (2)"]),
        ("'my a',b", ["my a", "b"]),
        ("a,b", ["a", "b"]),
    ],
)
def test_several_folders_are_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, values: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "b", "my a", "b (2)"):
        Path(name).mkdir()
    (argument,) = with_paths([f"data.root={root}"], ["data.root"], sweeps=True)
    (override,) = OverridesParser.create().parse_overrides([argument])
    assert override.is_sweep_override()
    assert [unquoted(text) for text in override.sweep_string_iterator()] == values


# --- resume


def started(*line: str, folder: Path) -> Path:
    """A run that was made with these overrides."""
    run_hydra(lambda cfg: None, argv=[*line, f'hydra.run.dir="{folder}"'])
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").touch()
    return folder


def look(cfg: DictConfig) -> dict[str, Any]:
    """What a resumed run reads, and where it writes."""
    folder = HydraConfig.get().runtime.output_dir
    plain: Any = OmegaConf.to_container(cfg)
    return {**plain, "steps": cfg.trainer.max_steps, "lr": cfg.optimizer.lr, "folder": folder}


@pytest.mark.parametrize(
    ("name", "quotes", "file"),
    [("plain", "", ""), ("plain", '"', CKPT), (AWKWARD, "", CKPT), (AWKWARD, '"', "")],
)
def test_resume_continues_with_the_same_overrides_in_the_same_folder(
    conf: Path, tmp_path: Path, name: str, quotes: str, file: str
) -> None:
    folder = started("+experiment=paper", "seed=4", folder=tmp_path / "runs" / name)
    path = f"../runs/{name}{file}"  # relative to the working directory
    seen = run_hydra(look, argv=[f"resume={quotes}{path}{quotes}"])
    assert (seen["seed"], seen["steps"]) == (4, 99)
    assert Path(seen["resume"]).resolve() == Path(f"{folder}{file}")
    assert Path(seen["folder"]).resolve() == folder
    assert sorted(tmp_path.glob("work/*")) == []


def test_new_overrides_win_and_a_second_resume_keeps_them(conf: Path, tmp_path: Path) -> None:
    folder = started("+experiment=paper", "seed=4", "+note=a", folder=tmp_path / "run")
    line = ["seed=6", f"resume={folder}", "experiment=replication", "note=b", "optimizer.lr=2"]
    seen = run_hydra(look, argv=line)
    assert (seen["seed"], seen["steps"], seen["note"], seen["lr"]) == (6, 10, "b", 2)
    recorded = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
    expected = ["seed=6", "+experiment=replication", "+note=b", "optimizer.lr=2"]
    assert recorded == [*expected, f"resume='{folder}'"]
    again = run_hydra(look, argv=[f"resume={folder}"])
    assert (again["seed"], again["lr"]) == (6, 2)
    assert (folder / ".hydra" / "overrides.yaml").read_text().count("resume=") == 1


@pytest.mark.parametrize("line", [["-m", "seed=1,2"], ["+sweep=pair"]])
def test_one_job_of_a_multirun_can_be_resumed(conf: Path, tmp_path: Path, line: list[str]) -> None:
    run_hydra(lambda cfg: None, argv=line)
    seen = run_hydra(look, argv=["resume=outputs/sweep/1"])
    assert seen["seed"] == 2
    assert Path(seen["folder"]).resolve() == tmp_path / "work" / "outputs" / "sweep" / "1"


def test_flags_before_the_overrides_are_kept(
    conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = started("seed=4", folder=tmp_path / "run")
    assert run_hydra(look, argv=["--cfg", "job", f"resume={folder}"]) is None
    assert "seed: 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "hydra.callbacks.x._target_=a.B",
        "+hydra/launcher=joblib",
        "optimizer=../../elsewhere/mine",
        "+experiment=/elsewhere/mine",
        "callbacks=[default,'~/mine']",
        "++hydra.job_logging.handlers.x.class=a.B",
    ],
)
def test_what_no_run_records_is_refused_before_it_is_read(
    refused: Callable[..., tuple[int, str]], line: str
) -> None:
    Path("run", ".hydra").mkdir(parents=True)
    Path("run", ".hydra", "overrides.yaml").write_text(json.dumps(["data.root=../x", line]))
    code, shown = refused("resume=run")
    assert code == 1
    assert shown.startswith("Error: resume: ")
    assert f"it records {line}; remove that" in shown


def test_a_run_that_was_evaluated_with_wandb_can_be_resumed(tmp_path: Path) -> None:
    log = tmp_path / "run" / "evaluation" / "wandb" / "offline-run" / "logs" / "debug-core.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(tmp_path / "elsewhere")
    check_files(tmp_path / "run")
    (tmp_path / "run" / "evaluation" / "evaluation.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"evaluation\.md is a link that leads out of the run"):
        check_files(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("train.log", "is a link that leads out of the run"),
        ("run.lock", "is a link that leads out of the run"),
        ("csv/version_0/metrics.csv", "is a link that leads out of the run"),
        ("checkpoints", "is a link that leads out of the run"),
        ("pipe", "is a pipe or a device"),
    ],
)
def test_a_strangers_links_and_pipes_are_not_written_to(
    conf: Path, tmp_path: Path, refused: Callable[..., tuple[int, str]], name: str, says: str
) -> None:
    folder = started("seed=4", folder=tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("as it was")
    path = folder / name
    if name == "pipe":
        os.mkfifo(path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            path.rename(tmp_path / "checkpoints")
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "checkpoints" if name == "checkpoints" else elsewhere)
    code, shown = refused(f"resume={folder}")
    assert code == 1
    assert f"{path} {says}" in shown
    assert elsewhere.read_text() == "as it was"
    assert run_hydra(look, argv=[f"resume={folder}", "+trust=true"])["seed"] == 4


def test_links_within_a_run_are_its_own(conf: Path, tmp_path: Path) -> None:
    folder = started("seed=4", folder=tmp_path / "run")
    (folder / "latest").symlink_to("checkpoints")
    (folder / "gone").symlink_to("no-such-file")
    (folder / "wandb" / "logs").mkdir(parents=True)
    (folder / "wandb" / "logs" / "debug-core.log").symlink_to("/tmp/of-wandb.log")
    (tmp_path / "link").symlink_to(folder)
    assert run_hydra(look, argv=[f"resume={tmp_path / 'link'}"])["seed"] == 4


@pytest.mark.parametrize("word", ["resume=null", "resume="])
def test_resume_may_be_empty(conf: Path, tmp_path: Path, word: str) -> None:
    assert Path(run_hydra(look, argv=[word])["folder"]) == tmp_path / "work" / "outputs" / "run"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["resume=nowhere"], "there is no run at"),
        (["resume=."], "overrides.yaml does not exist"),
        (["resume=weights.ckpt"], "of a file: init_from=weights.ckpt"),
        (["resume=damaged"], "is damaged"),
        (["resume=broken"], "cannot be read"),
        (["-m", "resume=damaged"], "cannot be used with --multirun"),
        (["hydra.mode=MULTIRUN", "resume=damaged"], "cannot be used with --multirun"),
    ],
)
def test_a_wrong_resume_is_refused(
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
