"""`rankloom collections`: what it lists, shows and downloads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rankloom.cli import main
from tests.catalogue import catalogued
from tests.web import Web, serving


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("RANKLOOM_DOWNLOADS", str(tmp_path / "downloads"))
    monkeypatch.delenv("RANKLOOM_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(words)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def web() -> Iterator[Web]:
    """A collection `web/tiny` of one file for all three parts, served on this machine."""
    with serving() as running:
        files = {
            "documents": running.put("collection.tsv", b"d1\tone\n"),
            "queries": running.put("queries.tsv", b"q1\tfirst\n"),
            "judgements": running.put("qrels.txt", b"q1 0 d1 1\n"),
        }
        del files["queries"]["md5"]
        split = {"files": {part: part for part in files}}
        with catalogued() as put:
            put("web/tiny", layout="tsv", files=files, licence="CC0", splits={"test": split})
            yield running


def test_ls(say: Any) -> None:
    code, out, _ = say("collections", "ls", "bright/")
    assert code == 0
    assert out.splitlines()[0].split() == ["name", "documents", "splits", "licence", "here"]
    assert len(out.splitlines()) == 2 + 12
    rows = json.loads(say("collections", "ls", "--here", "--output", "json")[1])
    assert {row["name"]: row["here"] for row in rows}["mini"] == ["test"]
    assert not any(row["name"].startswith("nano-beir/") for row in rows)


def test_show(say: Any) -> None:
    code, out, _ = say("collections", "show", "arguana")
    assert code == 0
    assert "self hits dropped" in out
    assert "4 MB" in out
    record = json.loads(say("collections", "show", "beir/arguana", "--output", "json")[1])
    assert record["files"]["archive"]["md5"] == "8ad3e3c2a5867cdced806d6503f29b99"
    code, _, err = say("collections", "show", "beir/argana")
    assert code == 4
    assert "did you mean 'beir/arguana'" in err


def test_download(say: Any, web: Web) -> None:
    code, _, err = say("collections", "download", "web/tiny", "--offline")
    assert code == 4
    assert "offline" in err
    assert web.asked == []
    code, out, err = say("collections", "download", "web/tiny")
    assert code == 0, err
    assert "licence: CC0" in err
    assert "the published MD5 sum holds" in out
    assert "a later download that differs will be an error" in out
    answer = json.loads(say("collections", "download", "web/tiny/test", "--output", "json")[1])
    assert [file["verified"] for file in answer["collections"]["web/tiny/test"]] == ["md5", "first use", "md5"]
    assert len(web.asked) == 3
    rows = json.loads(say("collections", "ls", "web/tiny", "--output", "json")[1])
    assert rows[0]["here"] == ["test"]


def test_download_refusals(say: Any) -> None:
    code, _, err = say("collections", "download", "beir/robust04")
    assert code == 4
    assert "TREC disks 4 and 5" in err
    code, _, err = say("collections", "download", "beir/scifact/dev")
    assert code == 4
    assert "accepted: train, test" in err
