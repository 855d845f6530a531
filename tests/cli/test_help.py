"""Help and version: short, complete, and without Hydra or PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import siamese_oneshot
from siamese_oneshot.cli import conf_dir
from siamese_oneshot.cli.help import COMMANDS, GROUPS, command_help, description, package_help

HEAVY = ("hydra", "torch", "pytorch_lightning", "omegaconf", "wandb")
CHECK = """
import runpy, sys
sys.argv[1:] = {arguments!r}
runpy.run_module({module!r}, run_name="__main__")
print("heavy:", [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("module", "arguments", "text"),
    [
        ("siamese_oneshot.train", ["seed=1", "-h"], "+experiment=NAME"),
        ("siamese_oneshot.evaluate", ["--help"], "tta: null"),
        ("siamese_oneshot.predict", ["--help"], "support: ???"),
        ("siamese_oneshot.train", ["--version"], siamese_oneshot.__version__),
        ("siamese_oneshot", ["--version"], siamese_oneshot.__version__),
        ("siamese_oneshot", [], "python -m siamese_oneshot.train"),
    ],
)
def test_nothing_heavy_is_loaded(
    module: str, arguments: list[str], text: str, environment: dict[str, str]
) -> None:
    code = CHECK.format(module=module, arguments=arguments, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stderr == "heavy: []\n"
    assert text in done.stdout
    assert len(done.stdout.splitlines()) <= 72
    prose = [line for line in done.stdout.splitlines() if "python -m" not in line]
    assert max(map(len, prose)) <= 82, "80 columns, but for a word"


def test_every_group_and_option_has_a_sentence() -> None:
    shown = command_help(conf_dir(), "config")
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()} - {"hydra"}
    assert groups == {*GROUPS}
    for group in groups:
        assert GROUPS[group] in shown
        for file in (conf_dir() / group).glob("*.yaml"):
            assert file.stem in shown
    for group in ("experiment", "sweep", "ablation", "hydra/sweeper", "hydra/sweeper/sampler"):
        for file in (conf_dir() / group).glob("*.yaml"):
            sentence = description(file)
            assert sentence.endswith("."), file
            assert 20 < len(sentence) <= 98, file


def test_the_default_option_is_marked() -> None:
    shown = command_help(conf_dir(), "config")
    assert "(resnet_cross_attention)" in shown
    assert "  +ablation " in shown
    assert "  model " in shown


def test_every_command_is_listed() -> None:
    package = Path(siamese_oneshot.__file__).parent
    mains = [p for p in package.rglob("*.py") if 'if __name__ == "__main__":' in p.read_text()]
    parts = [path.relative_to(package).with_suffix("").parts for path in mains]
    names = {".".join(p for p in part if p != "__main__") for part in parts}
    assert names - {""} == {*COMMANDS}
    shown = package_help()
    for name, sentence in COMMANDS.items():
        assert f"siamese_oneshot.{name}\n" in shown
        assert sentence in shown


def test_a_file_without_an_opening_sentence_has_no_description(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("# @package _global_\n# python -m x\na: 1\n# not this\n")
    assert description(file) == ""
    file.write_text("# @package _global_\n# One sentence.\n# python -m x\n")
    assert description(file) == "One sentence."
