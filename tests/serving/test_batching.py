"""Requests carried out together: none harms another, and late ones get what there is and are told what is missing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rankloom.config import PipelineBuilder
from rankloom.corpus import BESIDE, Corpus
from rankloom.eval.collections import load_collection
from rankloom.retrieval import BM25
from rankloom.session import Session
from tests.serving.loopback import BY_LENGTH, DOCUMENTS, ByLength, serving

QUERIES = ["sky", "blue sea", "the moon", "green grass", "bread", "tides", "light", "yeast"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    BM25.build(Corpus.build(DOCUMENTS, folder / BESIDE), folder / "bm25")
    return folder


@pytest.fixture
def client(folder, request):
    pipelines = {"best": ["bm25", BY_LENGTH, {"lead_pruner": 1}], "order": [BY_LENGTH]}
    values = {"index": str(folder), "pipelines": pipelines, **getattr(request, "param", {})}
    with serving(values) as client, ThreadPoolExecutor(32) as pool:
        client.later = lambda **body: pool.submit(client.post, "/v1/search", json=body)
        yield client


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """How many queries each call of the reranker had."""
    made = []
    monkeypatch.setattr(ByLength, "batches", made)
    return made


@pytest.fixture
def gate(monkeypatch):
    """The reranker returns nothing until this is set."""
    event = threading.Event()
    monkeypatch.setattr(ByLength, "gate", event)
    yield event
    event.set()


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def waiting(client, count):
    """Wait until so many requests have come in."""
    until(lambda: f"rankloom_requests_under_way {float(count)}" in client.server.metrics.text().decode())


def test_what_waits_is_one_run_and_each_gets_what_it_would_alone(client, gate, log):
    first = client.later(query="sky")
    until(lambda: log == [1])
    others = [client.later(query=query, k=1 + place % 3) for place, query in enumerate(QUERIES)]
    waiting(client, 9)
    gate.set()
    assert first.result().json()["batch_size"] == 1
    answers = [one.result().json() for one in others]
    assert log == [1, 8]
    for place, (query, answer) in enumerate(zip(QUERIES, answers, strict=True)):
        alone = client.post("/v1/search", json={"query": query, "k": 1 + place % 3}).json()
        assert (answer["batch_size"], alone["batch_size"]) == (8, 1)
        assert answer["hits"] == alone["hits"]
        assert answer["notes"] == alone["notes"]
        assert alone["hits"]


@pytest.mark.parametrize("client", [{"batching": {"max_size": 3}}], indirect=True)
def test_no_batch_is_larger_than_it_may_be(client, gate, log):
    first = client.later(query="sky")
    until(lambda: log == [1])
    others = [client.later(query=query) for query in QUERIES]
    waiting(client, 9)
    gate.set()
    assert all(one.result().status_code == 200 for one in [first, *others])
    assert log == [1, 3, 3, 2]


def test_a_poisoned_request_fails_alone(client, gate, log):
    first = client.later(query="sky")
    until(lambda: log == [1])
    bad = client.later(query="poison sky")
    others = [client.later(query=query) for query in QUERIES[:3]]
    waiting(client, 5)
    gate.set()
    assert bad.result().status_code == 500
    assert bad.result().json()["stage"] == "by_length"
    assert [one.result().status_code for one in [first, *others]] == [200] * 4
    assert sorted(log) == [1, 1, 1, 1, 1, 4]


def test_documents_of_requests_do_not_mix(client, gate, log):
    with ThreadPoolExecutor(8) as pool:
        lists = [["a" * n, "b" * (n + 2), "c" * (n + 1)][: 1 + n % 3] for n in range(1, 7)]
        bodies = [{"query": "q", "documents": documents, "return_documents": True} for documents in lists]
        first = pool.submit(client.post, "/v1/rerank", json=bodies[0])
        until(lambda: log == [1])
        others = [pool.submit(client.post, "/v1/rerank", json=body) for body in bodies[1:]]
        waiting(client, 6)
        gate.set()
        answers = [one.result().json() for one in [first, *others]]
    assert log == [1, 5]
    for documents, answer in zip(lists, answers, strict=True):
        assert [one["document"]["text"] for one in answer["results"]] == sorted(documents, key=len, reverse=True)


# --- deadlines -----------------------------------------------------------------------------------------------------


def test_at_the_deadline_there_is_what_there_is(client, gate):
    answer = client.post("/v1/search", json={"query": "blue sky", "deadline_ms": 400}).json()
    assert [hit["doc_id"] for hit in answer["hits"]] == ["sky", "sea"]
    assert answer["degraded"] is True
    assert [(one["stages"], one["reason"]) for one in answer["left_out"]] == [
        ("by_length", "deadline"),
        ("lead_pruner", "deadline"),
    ]
    # while that call hangs, others go on without the stage
    answer = client.post("/v1/search", json={"query": "blue sky"}).json()
    assert [(one["stages"], one["reason"]) for one in answer["left_out"]] == [("by_length", "busy")]
    assert answer["hits"][0]["spans"]
    gate.set()
    until(lambda: not client.post("/v1/search", json={"query": "blue sky"}).json()["degraded"])
    assert 'rankloom_left_out_total{pipeline="best",reason="busy",stages="by_length"}' in client.get("/metrics").text


def test_where_there_is_nothing_the_deadline_is_an_error(client, gate):
    body = {"query": "q", "documents": ["x"], "deadline_ms": 300}
    for _ in range(4):
        answer = client.post("/v1/rerank", json=body)
        assert answer.status_code == 504
        assert answer.json()["detail"] == "not done within 0.3 seconds"
    answer = client.post("/v1/rerank", json=body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["detail"] == "4 earlier calls have not come back"
    gate.set()
    until(lambda: client.post("/v1/rerank", json=body).status_code == 200)


@pytest.mark.parametrize("client", [{"deadline_seconds": 0.4}], indirect=True)
@pytest.mark.usefixtures("gate")
def test_no_request_has_more_time_than_the_server_gives(client):
    assert client.post("/v1/search", json={"query": "sky", "deadline_ms": 60_000}).json()["degraded"]


def test_a_stage_that_is_known_to_be_slow_is_not_begun(client, log, monkeypatch):
    monkeypatch.setattr(ByLength, "seconds", 0.5)
    assert not client.post("/v1/search", json={"query": "sky"}).json()["degraded"]
    answer = client.post("/v1/search", json={"query": "sky", "deadline_ms": 300}).json()
    assert [(one["stages"], one["reason"]) for one in answer["left_out"]] == [("by_length", "deadline")]
    assert answer["hits"][0]["spans"]  # what comes after it is cheap, and carried out
    assert log == [1]
    monkeypatch.setattr(ByLength, "seconds", 0.0)  # it has become faster, and is tried again some time
    until(lambda: not client.post("/v1/search", json={"query": "sky", "deadline_ms": 300}).json()["degraded"])


def test_one_that_is_in_a_hurry_does_not_cost_others_anything(client, gate, log, monkeypatch):
    first = client.later(query="sky")
    until(lambda: log == [1])
    hurried, patient = client.later(query="blue sky", deadline_ms=3000), client.later(query="blue sky")
    waiting(client, 3)
    monkeypatch.setattr(ByLength, "gate", second := threading.Event())
    gate.set()
    assert first.result().json()["degraded"] is False
    until(lambda: log == [1, 2])
    assert hurried.result().json()["degraded"] is True
    second.set()
    assert patient.result().json()["degraded"] is False
    assert log == [1, 2]


@pytest.mark.parametrize("client", [{"on_failure": "degrade"}], indirect=True)
def test_results_of_a_failing_stage_can_be_left_out(client):
    answer = client.post("/v1/search", json={"query": "poison sky"})
    assert answer.status_code == 200
    assert [(one["stages"], one["reason"]) for one in answer.json()["left_out"]] == [("by_length", "failed")]
    assert "the model choked" in answer.json()["left_out"][0]["detail"]
    assert answer.json()["hits"][0]["spans"]


# --- models --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_model_gives_the_same_in_any_company():
    steps = ["bm25", {"top": 10}, {"bi_encoder": {"depth": 10}}, "sentence_pruner"]
    collection, session = load_collection("mini"), Session(offline=True, device="cpu")
    queries = [query.text for query in collection.queries[:12]]
    pipe = PipelineBuilder({}).build(steps, corpus=collection.corpus, session=session)
    values = {"collection": "mini", "pipelines": {"best": steps}, "session": {"device": "cpu"}}
    with serving(values) as client, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(client.post, "/v1/search", json={"query": query, "k": 5}) for query in queries]
        answers = [one.result().json() for one in asked]
    assert max(answer["batch_size"] for answer in answers) > 1
    for query, answer in zip(queries, answers, strict=True):
        alone = pipe.search(query, 5, session=session)
        assert [hit["doc_id"] for hit in answer["hits"]] == alone.doc_ids
        assert [hit["score"] for hit in answer["hits"]] == pytest.approx(alone.scores, abs=1e-5)
        for told, hit in zip(answer["hits"], alone, strict=True):
            assert [(one["start"], one["end"]) for one in told["spans"]] == [(one.start, one.end) for one in hit.spans]
            likely = [one.probability for one in hit.spans]
            assert [one["probability"] for one in told["spans"]] == pytest.approx(likely, abs=1e-5)
