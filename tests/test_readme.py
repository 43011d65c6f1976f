"""The README and the guides are executed: Python blocks in one namespace a file, console blocks in a shell.

A `text` block right after a Python block is what the block prints. In a console block, lines after `$` are run and
must succeed; `make` targets and `pip` lines are checked against the Makefile and `pyproject.toml` instead, because
they are what runs these tests.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(match.group(1), match.group(2)) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def pages_with(kind: str) -> list[Path]:
    return [page for page in PAGES if any(language == kind for language, _ in blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_blocks_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for language, text in blocks(page):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, str(page), "exec"), namespace)
            printed = out.getvalue()
        elif language == "text":
            assert printed.strip() == text.strip()


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("console"), ids=lambda page: page.name)
def test_console_blocks_run(page, tmp_path):
    write_configs(tmp_path / "configs")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "ferry.md").write_text("The ferry leaves at nine.")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["RANKLOOM_CACHE"] = str(tmp_path / "cache")
    for language, text in blocks(page):
        if language != "console":
            continue
        for line in text.splitlines():
            command = line.removeprefix("$ ")
            if line.startswith("$ ") and not check_elsewhere(command):
                done = subprocess.run(
                    command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def write_configs(folder: Path) -> None:
    """The configurations, but the quickstart prunes fewer texts, as that takes the time; `make demo` runs it whole."""
    shutil.copytree(ROOT / "configs", folder)
    text = (folder / "quickstart.yaml").read_text(encoding="utf-8")
    assert text.count("{top: 10}, {sentence_pruner") == 1
    fewer = text.replace("{top: 10}, {sentence_pruner", "{top: 2}, {sentence_pruner")
    (folder / "quickstart.yaml").write_text(fewer, encoding="utf-8")


def check_elsewhere(command: str) -> bool:
    """Whether the command is one that can only be checked for being there: `make`, `pip` and `git clone`."""
    word, *rest = command.split()
    if word == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text()
    elif word == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for named in re.findall(r"rankloom\[([\w,-]+)\]", command):
            assert set(named.split(",")) <= set(extras)
    return word in ("make", "pip", "git", "cd")


def test_every_page_has_balanced_fences():
    for page in PAGES:
        assert page.read_text(encoding="utf-8").count("```") % 2 == 0, page
