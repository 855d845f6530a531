"""What the tests' caches give is a copy, and never out of date."""

from __future__ import annotations

from pathlib import Path

import pytest
from cached_conf import each_line_composed_once
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf


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
    (tmp_path / "g").mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [_self_, g: x]\na: 1\n")
    for name in ("x", "y"):
        (tmp_path / "g" / f"{name}.yaml").write_text(f"b: {name}\nc: ${{a}}\n")
    lines = [[], ["a=2"], ["g=y"], ["g=y", "a=2"], ["+d=5"]]
    plain = [composed(tmp_path, *line) for line in lines]
    with each_line_composed_once():
        for _ in range(2):
            for line, expected in zip(lines, plain, strict=True):
                found = composed(tmp_path, *line)
                assert found == expected
                assert OmegaConf.is_struct(found)
                found.a = 7
