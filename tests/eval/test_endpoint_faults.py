"""Endpoints that fail in the middle of `rankloom run`, a process of its own: it finishes in part, and goes on later."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankloom.fingerprint import digest
from tests import forked
from tests.chat_server import ChatServer, Misbehaviour

pytestmark = pytest.mark.slow
QUERIES = 50  # of the mini collection
BEFORE = 10  # answers that a model gives before it fails
TROUBLES = {
    "late": Misbehaviour(pause=4.0),
    "garbage": Misbehaviour(body=b"<html>busy</html>"),
    "other_shape": Misbehaviour(body=b'{"text": "an answer"}'),
    "no_choices": Misbehaviour(body=b'{"choices": []}'),
    "too_many": Misbehaviour(status=429, headers={"Retry-After": "0"}),
}
REASONS = {
    "late": "APITimeoutError",
    "garbage": "the reply",
    "other_shape": "holds no completion",
    "no_choices": "holds no completion",
    "too_many": "status 429",
    "dying": "APIConnectionError",
}


def says(body: dict[str, Any]) -> str:
    """To a question about passages the label of one of them, to all others some words; whoever is asked."""
    asked = body["messages"][-1]["content"]
    shown = [line for line in asked.splitlines() if line.startswith("Passage ")]
    if not shown:
        return f"words about {asked.split()[-2]}"
    return min(shown, key=lambda line: digest(line.partition(":")[2]))[: len("Passage A")]


class Server(ChatServer):
    """Some of its models answer a few prompts and then fail for good; `busy` pushes back twice and is well."""

    def __init__(self, *, port: int = 0, well: bool = False) -> None:
        super().__init__(port)
        self.says, self.pushed = says, 0
        if not well:
            self.trouble = self.fails

    def fails(self, body: dict[str, Any]) -> Misbehaviour | None:
        name = body["model"]
        if name == "busy" and self.pushed < 2:
            self.pushed += 1
            return Misbehaviour(status=429, headers={"Retry-After": "1"})
        return TROUBLES[name] if name in TROUBLES and len(self.paid(name)) >= BEFORE else None


class DyingServer(ChatServer):
    """Gives a few answers, then resets the connection, and is gone."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.says, self.after = says, after

    def handle(self, handler: Any) -> None:
        if len(self.answered) >= self.after:
            self.die()
        super().handle(handler)


def model(server: ChatServer, name: str, **more: Any) -> dict[str, Any]:
    told = {"name": name, "url": server.url, "retries": 1, "timeout": 2.0, "concurrency": 4}
    return {"openai_compatible": {**told, **more}}


def written(folder: Path, pipelines: dict[str, Any]) -> Path:
    study = {"collection": "mini", "measures": ["nDCG@10", "calls"], "pipelines": pipelines, "output": "unused"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def started(file: Path, name: str) -> tuple[BaseProcess, Path]:
    folder, said = file.parent, file.parent / f"{name}.stderr"
    words = ["run", file, "--cache", folder / "cache", "--output-dir", folder / name]
    return forked.rankloom(words, said=said, environment={"RANKLOOM_OFFLINE": "1"}), said


def ended(process: BaseProcess, said: Path) -> tuple[int | None, str]:
    process.join(300)
    return process.exitcode, said.read_text()


def hits(folder: Path, pipeline: str) -> list[list[str]]:
    """The lines of a run without its name."""
    return [line.split()[:-1] for line in (folder / "runs" / f"{pipeline}.trec").read_text().splitlines()]


def test_what_fails_is_told_the_others_are_measured_and_the_next_run_asks_for_the_rest(tmp_path: Path) -> None:
    failing, dying = Server(), DyingServer(after=QUERIES)
    sort = {"depth": 6, "k": 2, "passage_words": 20}
    pipelines: dict[str, Any] = {"bm25": ["bm25"]}
    for name in ("busy", *TROUBLES):
        pipelines[name] = [{"query2doc": {"model": model(failing, name, retries=3 if name == "busy" else 1)}}, "bm25"]
    pipelines["sorted"] = ["bm25", {"setwise": {"model": model(failing, "sorter"), **sort}}]
    pipelines["dying"] = ["bm25", {"setwise": {"model": model(dying, "dying"), **sort}}]
    file = written(tmp_path, pipelines)
    status, messages = ended(*started(file, "first"))
    failing.close()
    dying.die()
    assert status == 7, messages
    failed = [*TROUBLES, "dying"]

    first = tmp_path / "first"
    summary = json.loads((first / "summary.json").read_text())
    assert summary["failed"] == failed
    assert list(summary["pipelines"]) == ["bm25", "busy", "sorted"]
    manifest, ledger = (json.loads((first / f"{name}.json").read_text()) for name in ("manifest", "ledger"))
    assert manifest["state"] == "partial"
    page = (first / "report.html").read_text()
    for name in failed:
        for told in (manifest["failed"][name], ledger["failed"][name]):
            assert "did not answer a prompt" in told
            assert REASONS[name] in told
        assert f"pipeline {name} failed, the others go on" in messages
        assert f"<b>{name}</b>: " in page
    assert failing.pushed == 2
    assert len(failing.paid("busy")) == QUERIES
    for name in TROUBLES:
        assert BEFORE <= len(failing.paid(name)) < QUERIES
    assert len(dying.answered) >= QUERIES

    well, risen = Server(port=failing.http.server_port, well=True), Server(port=dying.http.server_port, well=True)
    status, messages = ended(*started(file, "second"))
    well.close()
    risen.close()
    assert status == 0, messages
    for name in TROUBLES:
        paid = failing.paid(name)
        assert sorted(paid + well.paid(name)) == sorted(failing.paid("busy"))  # each prompt once
        assert hits(tmp_path / "second", name) == hits(first, "busy")
    assert Counter(dying.paid("dying") + risen.paid("dying")) == Counter(failing.paid("sorter"))
    assert hits(tmp_path / "second", "dying") == hits(first, "sorted")
    assert not well.paid("busy") + well.paid("sorter")
    assert json.loads((tmp_path / "second" / "manifest.json").read_text())["state"] == "complete"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_run_that_is_killed_pays_again_for_what_was_under_way_at_most(tmp_path: Path) -> None:
    server = Server(well=True)
    file = written(tmp_path, {"expanded": [{"query2doc": {"model": model(server, "m", concurrency=2)}}, "bm25"]})
    server.trouble = lambda _: time.sleep(0.02)  # so that the process is killed before all is said
    (process, said), deadline = started(file, "first"), time.monotonic() + 240
    while len(server.answered) < 2 * BEFORE and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert ended(process, said)[0] == -signal.SIGKILL
    paid = server.paid("m")
    assert 2 * BEFORE <= len(paid) < QUERIES
    status, messages = ended(*started(file, "second"))
    server.close()
    assert status == 0, messages
    asked = Counter(server.paid("m"))
    assert len(asked) == QUERIES
    assert asked.total() - QUERIES <= 2  # those under way
    assert max(asked.values()) <= 2
