"""Experiments that ask a language model over HTTP: keys stay secret, failures cost nothing twice, replays are equal."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from rankloom.cache import Cache
from rankloom.errors import PartialResultError
from rankloom.eval.experiment import Experiment
from tests.chat_server import ChatServer, Misbehaviour

KEY = "sk-very-secret-0123456789"
QUERIES = 50  # of the mini collection


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("STUDY_KEY", KEY)
    running = ChatServer()
    running.says = lambda body: f"words about {body['messages'][-1]['content'].split()[-2]}"
    yield running
    running.close()


def asking(server, **more):
    return {"openai_compatible": {"name": "m", "url": server.url, "key": "STUDY_KEY", "retries": 0, **more}}


def study(folder, model, name="out"):
    return {
        "collection": "mini",
        "measures": ["nDCG@10", "calls", "tokens"],
        "pipelines": {"bm25": ["bm25"], "expanded": [{"query2doc": {"model": model, "repeats": 2}}, "bm25"]},
        "output": str(folder / name),
    }


def run(folder, model, name="out"):
    experiment = Experiment.from_dict(study(folder, model, name))
    return experiment.run(experiment.session(cache=Cache(folder / "cache"), offline=True))


def contents(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.slow
def test_an_experiment_counts_what_it_spends(server, tmp_path):
    result = run(tmp_path, asking(server))
    assert len(server.requests) == QUERIES
    cost = result.outcomes["expanded"].run.ledger.by_stage()["query2doc"]
    assert (cost.calls, cost.written) == (QUERIES, 3 * QUERIES)
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())["pipelines"]["expanded"]["costs"]
    assert [one["model"] for one in ledger if one["stage"] == "query2doc"] == ["m"]
    again = run(tmp_path, asking(server), "again")
    assert len(server.requests) == QUERIES
    assert again.outcomes["expanded"].run.to_dict() == result.outcomes["expanded"].run.to_dict()


@pytest.mark.slow
def test_the_key_is_in_no_file_and_in_no_word(server, tmp_path):
    """Every file of an experiment, and all that a process says, with a server that repeats the key in its errors."""
    said = json.dumps({"error": {"message": f"bad request with {KEY}"}}).encode()
    server.script = [None] * 20 + [Misbehaviour(status=400, body=said)]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(tmp_path, asking(server, concurrency=1))))
    command = [
        sys.executable,
        "-m",
        "rankloom",
        "run",
        str(tmp_path / "study.yaml"),
        "--cache",
        str(tmp_path / "cache"),
    ]
    environment = {**os.environ, "RANKLOOM_OFFLINE": "1", "OPENAI_LOG": "debug"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 7, done.stderr.decode()
    assert server.keys[0] == f"Bearer {KEY}"
    assert b"status 400" in done.stderr
    assert b"***" in done.stderr
    held = contents(tmp_path) + done.stdout + done.stderr
    assert b"STUDY_KEY" in held
    assert KEY.encode() not in held


def test_a_run_that_failed_half_way_goes_on(server, tmp_path):
    server.script = [None] * 30 + [Misbehaviour(status=503)]
    with pytest.raises(PartialResultError):
        run(tmp_path, asking(server, concurrency=4))
    paid = len(server.requests) - 1
    assert 30 <= paid < QUERIES
    server.requests.clear()
    result = run(tmp_path, asking(server, concurrency=4))
    assert len(server.requests) == QUERIES - paid
    whole = run(tmp_path / "fresh", asking(server))
    assert result.outcomes["expanded"].run.to_dict() == whole.outcomes["expanded"].run.to_dict()


def test_a_recording_gives_the_same_rankings_without_the_server(server, tmp_path):
    transcript = tmp_path / "transcript.jsonl"
    recorded = run(tmp_path, {"recorder": {"path": str(transcript), "model": asking(server)}})
    assert len(transcript.read_text().splitlines()) == QUERIES
    assert KEY not in transcript.read_text()
    server.close()
    replayed = run(tmp_path / "elsewhere", {"replay": str(transcript)})
    assert replayed.outcomes["expanded"].run.to_dict() == recorded.outcomes["expanded"].run.to_dict()
    cost = replayed.outcomes["expanded"].run.ledger.by_stage()["query2doc"]
    assert cost.tokens == recorded.outcomes["expanded"].run.ledger.by_stage()["query2doc"].tokens
