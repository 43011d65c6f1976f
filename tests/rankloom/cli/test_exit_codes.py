"""Exit codes, where messages go, and what a process loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankloom.cli import main

BM25 = """\
collection: mini
measures: [AP]
pipelines: {bm25: [bm25]}
output: out
"""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOM_CACHE", str(tmp_path / "cache"))


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        (BM25.replace("measures", "measure"), 5, "exp.yaml:2: unknown key 'measure'; did you mean 'measures'?"),
        (BM25.replace("[bm25]", "[bm52]"), 5, "did you mean 'bm25'?"),
        (BM25.replace("[bm25]", "[{bm25: {k: many}}]"), 5, "'many'"),
        (BM25.replace("[AP]", "[AP"), 5, "not valid YAML"),
        (BM25.replace("mini", "minni"), 4, "did you mean 'mini'?"),
        (BM25.replace("mini", "mini/train"), 4, "train"),
        (BM25.replace("[bm25]", "[bm25, 'rankloom_test_stages:NeedsExtra']"), 3, "pip install 'rankloom[dense]'"),
        (BM25.replace("[bm25]", "[bm25, 'rankloom_test_stages:Failing']"), 6, "the model is on fire"),
        (BM25.replace("output: out", "output: exp.yaml"), 2, "output folder"),
    ],
)
def test_exit_codes_of_run(
    text: str, code: int, part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "eval" / "stages"))
    Path("exp.yaml").write_text(text)
    assert main(["run", "exp.yaml", "--output", "json"]) == code
    said = capsys.readouterr()
    assert part in said.err
    assert not said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run"],
        ["run", "a", "b"],
        ["run", "a", "--nonsense"],
        ["eval", "a"],
        ["search", "i", "q", "-k", "x"],
    ],
)
def test_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert not capsys.readouterr().out


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nowhere.yaml"]) == 4
    assert "nowhere.yaml" in capsys.readouterr().err


def test_an_unexpected_error_is_short_unless_debugged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("rankloom.cli.doctor.cache_folder", broken)
    assert main(["doctor"]) == 6
    said = capsys.readouterr().err
    assert said.startswith("error: RuntimeError: boom")
    assert "Traceback" not in said
    for words in (["doctor", "--debug"], ["--debug", "doctor"]):
        assert main(words) == 6
        assert "Traceback" in capsys.readouterr().err


def test_as_a_process() -> None:
    Path("exp.yaml").write_text(BM25)
    done = process("-m", "rankloom", "run", "exp.yaml", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["measures"] == ["AP"]
    assert "stage applications" in done.stderr
    assert process("-m", "rankloom", "run", "nowhere.yaml").returncode == 4
    assert process("-m", "rankloom", "nonsense").returncode == 2


LIGHT = """
import sys
blocked = ["torch", "faiss", "transformers", "sentence_transformers"]
sys.modules.update(dict.fromkeys(blocked))  # as if they were not installed
from rankloom.cli import main
for words in (
    ["doctor"], ["config", "schema"], ["config", "show", "exp.yaml"], ["cache", "ls"], ["run", "exp.yaml"],
    ["compare", "out"], ["explain", "out", "bm25", "q01"], ["run", "exp.yaml", "--dry-run"], ["run", "--help"],
):
    code = main(words)
    assert code == 0, (words, code)
assert not any(sys.modules[name] for name in blocked)
sys.exit(main(["run", "exp.yaml", "--offline", "--set", "pipelines.dense=[dense]"]))
"""


def test_works_without_torch_and_says_what_is_missing() -> None:
    Path("exp.yaml").write_text(BM25)
    done = process("-c", LIGHT)
    assert done.returncode == 3, done.stderr
    assert "pip install 'rankloom[" in done.stderr


def test_index_can_be_read_by_another_process() -> None:
    Path("docs.tsv").write_text("d1\tblue sky\nd2\tred rose\n")
    assert main(["index", "docs.tsv", "idx"]) == 0
    done = process("-m", "rankloom", "search", "idx", "rose", "--output", "json")
    assert [hit["doc_id"] for hit in json.loads(done.stdout)["queries"][0]["hits"]] == ["d2"]
