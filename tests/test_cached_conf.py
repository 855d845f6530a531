"""What the tests' caches give is a copy, and never out of date."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from siamese_oneshot.cli import conf_dir


def composed(conf: Path, *line: str) -> DictConfig:
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("config", [*line])


def test_a_changed_file_is_parsed_anew_and_a_changed_config_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text in ("a: {b: 1}", "a: {b: 2}", "a: {b: 1}"):
        file.write_text(text)
        found = OmegaConf.load(file)
        assert found == OmegaConf.create(text)
        found.a.b = 3
    file.write_text("a: {b: 1")
    for _ in range(2):
        with pytest.raises(Exception, match=r"a\.yaml"):
            OmegaConf.load(file)


def test_a_line_composed_once_is_what_is_composed_each_time(tmp_path: Path) -> None:
    """The copy of conf/ is composed each time."""
    copy = Path(shutil.copytree(conf_dir(), tmp_path / "conf"))
    lines = [[], ["seed=2"], ["model=paper"], ["model=paper", "seed=2"], ["+x=5"]]
    for line in lines:
        expected = composed(copy, *line)
        for _ in range(2):
            found = composed(conf_dir(), *line)
            assert found == expected
            assert OmegaConf.is_struct(found)
            found.seed = 7
    (copy / "config.yaml").write_text("seed: 9")
    assert composed(copy) == {"seed": 9}
