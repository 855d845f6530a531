"""The script in docs/python.md runs as it stands, and the pages keep to their size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def code_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_script_of_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = code_of(ROOT / "docs/python.md")[0]
    assert sum(bool(line) and not line.startswith("#") for line in script.splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "docs/python.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    accuracy = float(re.findall(r"10-way one-shot (0\.\d+)", printed)[0])
    assert accuracy > 0.3  # three times chance
    best, truth = re.findall(r"name='([^']+)'.*\) (\S+)$", printed, re.MULTILINE)[0]
    assert best == truth


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_pages_are_short_and_name_what_is_there(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= (150 if page.name == "README.md" else 120)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:tests|conf|siamese_oneshot)/[\w/.]*\w)/?`", text):
        assert (ROOT / name).exists(), name


def test_pages_named_in_the_configuration_and_the_code_exist() -> None:
    files = [
        file
        for folder in ("conf", "siamese_oneshot")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".yaml", ".md", ".html")
    ]
    named = {name for file in files for name in re.findall(r"docs/[\w/]+\.md", file.read_text())}
    assert named, "conf/ names pages"
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]
