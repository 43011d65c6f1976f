"""What is asked over HTTP is what pipelines in Python give, and what is wrong is told."""

import json

import cohere
import pytest

from rankloom import Run
from rankloom.corpus import BESIDE, Corpus
from rankloom.records import Document
from rankloom.rerank import LeadPruner
from rankloom.retrieval import BM25
from tests.serving.loopback import BY_LENGTH, DOCUMENTS, ByLength, serving

QUESTION = "why is the sky blue"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    corpus = Corpus.build(DOCUMENTS, folder / BESIDE)
    BM25.build(corpus, folder / "bm25")
    return folder


@pytest.fixture(scope="module")
def client(folder):
    pipelines = {
        "plain": ["bm25"],
        "best": ["bm25", {"top": 3}, BY_LENGTH, {"lead_pruner": 1}, {"top": 2}],
        "order": [BY_LENGTH],
        "lead": [{"lead_pruner": 1}],
    }
    limits = {"query_chars": 100, "k": 50, "documents": 5, "document_chars": 1000, "body_bytes": 30_000}
    with serving({"index": str(folder), "pipelines": pipelines, "limits": limits}) as client:
        yield client


def asked(client, path, status=200, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


# --- search ----------------------------------------------------------------------------------------------------------


def test_hits_are_those_of_the_pipeline_in_python(client, folder):
    pipe = BM25.open(folder / "bm25").top(3) >> ByLength() >> LeadPruner(1).top(2)
    wanted = pipe.search(QUESTION, 2)
    answer = asked(client, "/v1/search", query=QUESTION, pipeline="best", trace=True)
    assert [(hit["doc_id"], hit["rank"], hit["score"]) for hit in answer["hits"]] == [
        (hit.doc_id, hit.rank, hit.score) for hit in wanted
    ]
    for told, hit in zip(answer["hits"], wanted, strict=True):
        assert told["text"] == hit.text
        assert told["title"] == hit.title
        assert told["metadata"] == dict(hit.metadata)
        assert told["pruned_text"] == hit.pruned_text
        assert [(one["start"], one["end"], one["kept"]) for one in told["spans"]] == [
            (span.start, span.end, span.kept) for span in hit.spans
        ]
        assert told["retrieval_score"] == next(entry.score for entry in hit.trace if entry.stage == "bm25")
        assert [(one["stage"], one["rank"]) for one in told["trace"]][:3] == [
            (one.stage, one.rank) for one in hit.trace if one.stage != "top"
        ]
    assert answer["score_kind"] == "logit"
    assert (answer["degraded"], answer["left_out"]) == (False, [])
    assert [one["stage"] for one in answer["stages"]][:3] == ["bm25", "by_length", "lead_pruner"]


def test_the_first_pipeline_for_a_use_is_the_default(client):
    assert asked(client, "/v1/search", query=QUESTION)["pipeline"] == "plain"
    assert asked(client, "/v1/prune", query=QUESTION, documents=["One. Two."])["pipeline"] == "lead"
    assert asked(client, "/v1/rerank", query=QUESTION, documents=["One. Two."])["model"] == "order"


def test_no_more_hits_than_asked_for_and_than_there_are(client):
    assert len(asked(client, "/v1/search", query="blue sky sea", k=1)["hits"]) == 1
    assert len(asked(client, "/v1/search", query="blue sky sea", k=50)["hits"]) == 3


def test_what_finds_nothing_says_so(client):
    answer = asked(client, "/v1/search", query="zebra")
    assert answer["hits"] == []
    assert [note["kind"] for note in answer["notes"]] == ["no_hits"]


def test_stages_stream_as_they_are_done(client):
    with client.stream("POST", "/v1/search", json={"query": QUESTION, "pipeline": "best", "stream": True}) as told:
        assert told.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in told.iter_lines()]
    assert [line.get("after") for line in lines] == ["bm25", "by_length", None]
    assert lines[0]["answer"]["hits"][0]["spans"] is None
    assert lines[-1]["done"] is True
    plain = asked(client, "/v1/search", query=QUESTION, pipeline="best")
    assert lines[-1]["answer"]["hits"] == plain["hits"]


def test_a_failure_ends_a_stream_with_the_problem(client):
    body = {"query": "poison sky", "pipeline": "best", "stream": True}
    with client.stream("POST", "/v1/search", json=body) as told:
        lines = [json.loads(line) for line in told.iter_lines()]
    assert lines[0]["after"] == "bm25"
    assert lines[-1]["problem"]["stage"] == "by_length"
    assert lines[-1]["problem"]["status"] == 500


# --- context, prune --------------------------------------------------------------------------------------------------


def test_a_context_is_that_of_the_pipeline_in_python(client, folder):
    wanted = BM25.open(folder / "bm25").search(QUESTION, 3).context(max_tokens=40)
    answer = asked(client, "/v1/context", query=QUESTION, k=3, max_tokens=40)
    assert (answer["context"], answer["tokens"]) == (wanted.text, wanted.tokens)
    assert [(one["number"], one["doc_id"], one["text"]) for one in answer["citations"]] == [
        (one.number, one.doc_id, one.text) for one in wanted.citations
    ]
    start, end = answer["citations"][0]["spans"][0]
    text = next(one.text for one in DOCUMENTS if one.id == answer["citations"][0]["doc_id"])
    assert text[start:end] == answer["citations"][0]["text"]
    assert answer["documents_left_out"] == list(wanted.left_out)


def test_pruned_documents_keep_their_places_and_offsets(client):
    texts = ["Bread needs yeast. The sky is blue.", "", "One sentence."]
    answer = asked(
        client, "/v1/prune", query=QUESTION, documents=[texts[0], {"text": texts[1], "title": "t"}, texts[2]]
    )
    assert [one["index"] for one in answer["documents"]] == [0, 1, 2]
    assert [one["text"] for one in answer["documents"]] == ["Bread needs yeast.", "", "One sentence."]
    kept = [span for span in answer["documents"][0]["spans"] if span["kept"]]
    assert [texts[0][span["start"] : span["end"]] for span in kept] == ["Bread needs yeast."]
    assert answer["compression"] == pytest.approx(1 - (18 + 13) / (35 + 13))
    assert answer["documents"][0]["score"] is None  # the pruner gives none


# --- rerank, as others' clients ask for it ---------------------------------------------------------------------------

TEXTS = ["short", "by far the longest of all the texts", "of middle length"]


def by_python():
    documents = [Document(str(place), text) for place, text in enumerate(TEXTS)]
    return [int(hit.doc_id) for hit in ByLength().run(Run.from_documents(QUESTION, documents))["q1"]]


def test_coheres_client_of_version_2_reads_the_answer(client):
    found = cohere.ClientV2("no key", base_url=str(client.base_url)).rerank(
        model="order", query=QUESTION, documents=TEXTS, top_n=2, max_tokens_per_doc=64
    )
    assert [one.index for one in found.results] == by_python()[:2] == [1, 2]
    assert 0 < found.results[1].relevance_score < found.results[0].relevance_score < 1
    assert found.meta.api_version.version == "2"
    assert found.meta.warnings == ["max_tokens_per_doc has no effect here"]


def test_coheres_client_of_version_1_reads_the_answer(client):
    found = cohere.Client("no key", base_url=str(client.base_url)).rerank(
        model="order", query=QUESTION, documents=[{"text": text} for text in TEXTS], return_documents=True
    )
    assert [one.index for one in found.results] == by_python()
    assert found.results[0].document.text == TEXTS[1]


def test_coheres_client_is_told_what_is_wrong(client):
    with pytest.raises(cohere.NotFoundError) as caught:
        cohere.ClientV2("no key", base_url=str(client.base_url)).rerank(model="ordre", query="q", documents=TEXTS)
    assert caught.value.body["fix"] == "did you mean 'order'?"


def test_jinas_shape(client):
    documents = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]
    body = {"model": "order", "query": QUESTION, "documents": documents, "top_n": 1, "return_documents": True}
    answer = asked(client, "/v1/rerank", **body)
    assert answer["model"] == "order"
    assert [(one["index"], one["document"]) for one in answer["results"]] == [(1, {"text": TEXTS[1]})]
    assert answer["usage"]["total_tokens"] == sum(len(text.split()) for text in [*TEXTS, QUESTION])


def test_equal_scores_keep_the_order_of_the_request(client):
    answer = asked(client, "/v1/rerank", query="q", documents=["same", "more", "less", "none", "last"])
    assert [one["index"] for one in answer["results"]] == [0, 1, 2, 3, 4]


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/v1/search", {}, 422, {"stage": "request", "detail": "body.query: Field required"}),
        ("/v1/search", {"query": " "}, 422, {"detail": "the query is empty", "fix": "ask for something"}),
        ("/v1/search", {"query": "x" * 101}, 422, {"value": "101", "accepted": "at most 100"}),
        ("/v1/search", {"query": "x", "k": 51}, 422, {"detail": "too many hits", "accepted": "at most 50"}),
        ("/v1/search", {"query": "x", "k": 0}, 422, {}),
        ("/v1/search", {"query": "x", "k": "1"}, 422, {}),
        ("/v1/search", {"query": "x", "deadline_ms": 0}, 422, {}),
        ("/v1/search", {"query": "x", "querz": 1}, 422, {"detail": "body.querz: Extra inputs are not permitted"}),
        ("/v1/search", {"query": "x", "pipeline": "bets"}, 404, {"fix": "did you mean 'best'?"}),
        ("/v1/search", {"query": "x", "pipeline": "order"}, 422, {"accepted": "plain, best"}),
        ("/v1/prune", {"query": "x", "documents": []}, 422, {"detail": "there is no document"}),
        ("/v1/prune", {"query": "x", "documents": ["x"] * 6}, 422, {"accepted": "at most 5"}),
        ("/v1/rerank", {"query": "x", "documents": ["x" * 1001]}, 422, {"detail": "too many characters of document 0"}),
        ("/v1/rerank", {"query": "x", "documents": [{"txt": "x"}]}, 422, {"detail": "a document has no text"}),
        ("/v1/documents", {"documents": []}, 422, {}),
        ("/nowhere", {}, 404, {"detail": "Not Found"}),
        ("/health", {}, 405, {"detail": "Method Not Allowed"}),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(client, path, body, status, told):
    problem = asked(client, path, status, **body)
    assert problem["status"] == status
    assert told.items() <= problem.items()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"query": "x', 400),
        (b"\xff\xfe", 400),
        (b"", 422),
        (b"[]", 422),
        (b'{"query": "\\ud800"}', 422),
        (b'{"query": "x", "deadline_ms": NaN}', 422),
        (b'{"query": "x", "k": 1' + b"0" * 5000 + b"}", 400),
        (b"[" * 20_000, 400),
        (b'{"query": "' + b"x" * 30_000 + b'"}', 413),
    ],
)
def test_bodies_that_are_none(client, body, status):
    answer = client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status
    assert client.get("/health").status_code == 200


def test_a_stage_that_raises_is_named_and_shows_no_trace(client):
    problem = asked(client, "/v1/rerank", 500, query="poison", documents=["x"])
    assert problem["stage"] == "by_length"
    assert problem["detail"] == "failed with RuntimeError: the model choked"
    assert "Traceback" not in json.dumps(problem)


# --- the server itself -----------------------------------------------------------------------------------------------


def test_health_pipelines_metrics_and_openapi(client):
    assert client.get("/health").json()["status"] == "ok"
    assert client.get("/ready").json() == {"status": "ready", "version": "0.1.0", "documents": None}
    told = {one["name"]: (one["uses"], one["stages"]) for one in client.get("/v1/pipelines").json()}
    assert told["order"] == (["rerank"], ["by_length"])
    assert told["lead"] == (["prune"], ["lead_pruner"])
    asked(client, "/v1/search", query=QUESTION)
    text = client.get("/metrics").text
    assert 'rankloom_requests_total{route="/v1/search",status="200"}' in text
    assert 'rankloom_batch_size_count{pipeline="plain"}' in text
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/search", "/v1/rerank", "/v2/rerank", "/v1/prune", "/v1/context", "/v1/documents"} <= paths.keys()


def test_without_a_key_nothing_but_health_is_told(folder, monkeypatch):
    monkeypatch.setenv("SOME_KEYS", "a-key-of-sixteen-characters")
    values = {"index": str(folder), "pipelines": {"p": ["bm25"]}, "keys": {"environment": "SOME_KEYS"}}
    with serving(values) as client:
        for path in ("/v1/pipelines", "/metrics", "/v1/documents/x", "/nowhere"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        asked(client, "/v1/search", 401, query="sky")
        assert client.get("/health").status_code == client.get("/ready").status_code == 200
        for headers in (
            {"Authorization": "Bearer a-key-of-sixteen-characters"},
            {"X-API-Key": "a-key-of-sixteen-characters"},
        ):
            assert client.get("/v1/pipelines", headers=headers).status_code == 200
        for wrong in ("Bearer wrong", "Basic a-key-of-sixteen-characters", "Bearer", "Bearer \xe9"):
            assert client.get("/v1/pipelines", headers={"Authorization": wrong.encode("latin-1")}).status_code == 401
