"""What an installed wheel holds."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import siamese_oneshot

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip('hatchling is not installed (pip install -e ".[dev]" brings it)')
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("siamese_oneshot", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run(
        [*build, "-w", str(folder), str(source)], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_holds_every_config_and_module(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"siamese_oneshot/{f.relative_to(ROOT)}" for f in (ROOT / "conf").rglob("*.yaml")}
    package = (ROOT / "siamese_oneshot").rglob("*.*")
    modules = {str(f.relative_to(ROOT)) for f in package if f.suffix in (".py", ".yaml")}
    assert "siamese_oneshot/conf/config.yaml" in configs
    assert configs | modules <= held
    pages = "siamese_oneshot/reports/templates"
    templates = {f"{pages}/{file.name}" for file in (ROOT / pages).iterdir()}
    assert {f"{pages}/base.html", f"{pages}/style.css", f"{pages}/page.js"} <= templates <= held
    assert not [name for name in held if name.startswith(("tests/", "conf/", "outputs/"))]


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name.startswith(f"siamese_oneshot-{siamese_oneshot.__version__}-")


def test_the_wheel_holds_the_license_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (license_file,) = [n for n in archive.namelist() if n.endswith("licenses/LICENSE")]
        assert archive.read(license_file).startswith(b"MIT License")
        (scripts,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        assert b"siamese-oneshot-train = siamese_oneshot.train:main" in archive.read(scripts)
