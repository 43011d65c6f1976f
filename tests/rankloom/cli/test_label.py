"""`rankloom label`: labels for what a pipeline finds, by a server on loopback."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankloom.cli import main
from rankloom.eval.labelled_sentences import find_labelled, read_labelled
from tests.chat_server import ChatServer
from tests.rerank.pruning.citers import truth


@pytest.fixture
def server() -> Any:
    found = ChatServer()
    found.says = lambda body: truth(body["messages"][-1]["content"])
    yield found
    found.close()


def write(server: ChatServer, **more: Any) -> str:
    model = {"openai_compatible": {"name": "tiny", "url": server.url}}
    found = ["bm25", {"top": 2}]
    pipelines = {"cited": [*found, {"citation_pruner": {"model": model}}], "found": found}
    values = {"collection": "mini", "measures": ["nDCG@10"], "pipelines": pipelines, "output": "out", **more}
    Path("labels.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return "labels.yaml"


def test_label_goes_on_where_a_budget_has_stopped_it(server, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANKLOOM_CACHE", str(tmp_path / "cache"))
    words = ["cited", "silver.labelled.jsonl", "--offline"]
    assert main(["label", write(server, session={"budget": {"calls": 10}}), *words]) == 7
    assert "the same command goes on" in capsys.readouterr().err
    assert (len(server.requests), len(Path("silver.labelled.jsonl").read_text().splitlines())) == (10, 10)
    assert main(["label", write(server), *words, "--output", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = [json.loads(line) for line in Path("silver.labelled.jsonl").read_text().splitlines()]
    assert told["relevant"] + told["irrelevant"] == len(lines) == len(server.requests)
    assert told["relevant"] == sum(bool(line["relevant"]) for line in lines) > 0
    assert told["calls"] == len(lines) - 10
    for line in lines:
        about = [place for place, sentence in enumerate(line["sentences"]) if "sky" in sentence]
        assert line["relevant"] == about
    found = find_labelled("silver.labelled.jsonl")
    assert found is not None
    assert [asdict(one) for one in read_labelled(found)] == [_as_read(line) for line in lines]
    assert main(["label", "labels.yaml", *words]) == 0
    assert "0 calls" in capsys.readouterr().out


def test_label_needs_a_pipeline_that_cites(server, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["label", write(server), "found", "silver.labelled.jsonl", "--offline"]) == 2
    assert "end with citation_pruner" in capsys.readouterr().err
    assert main(["label", "labels.yaml", "cite", "silver.labelled.jsonl", "--offline"]) == 2
    assert "did you mean 'cited'" in capsys.readouterr().err
    assert main(["label", "labels.yaml", "cited", "labels.jsonl", "--offline"]) == 2
    assert "accepted: NAME.labelled.jsonl" in capsys.readouterr().err
    assert not server.requests


def _as_read(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "sentences": tuple(line["sentences"]), "relevant": tuple(line["relevant"])}
