"""Documents over HTTP: added, replaced, deleted, read, and written to snapshots."""

import json

import pytest

from tests.serving.loopback import BY_LENGTH, serving


@pytest.fixture
def client(tmp_path):
    values = {
        "index": str(tmp_path / "index"),
        "live": True,
        "pipelines": {"plain": ["bm25"], "best": ["bm25", {"rm3": {"docs": 1, "terms": 2}}, "bm25", BY_LENGTH]},
        "limits": {"documents": 3, "document_chars": 200},
    }
    with serving(values) as client:
        yield client


def document(doc_id, text="The sky is blue.", **more):
    return {"id": doc_id, "text": text, **more}


def found(client, query="sky", pipeline="plain"):
    answer = client.post("/v1/search", json={"query": query, "k": 100, "pipeline": pipeline})
    assert answer.status_code == 200, answer.text
    return {hit["doc_id"]: hit["text"] for hit in answer.json()["hits"]}


def test_what_is_added_is_found_at_once(client):
    assert found(client) == {}
    new = document("a/b c", title="A title", metadata={"year": 1871, "deep": {"list": [1, None]}})
    answer = client.post("/v1/documents", json={"documents": [new, document("é")]})
    assert answer.json() == {"change": 1, "documents": 2, "ids": ["a/b c", "é"]}
    assert found(client) == found(client, pipeline="best") == {"a/b c": "The sky is blue.", "é": "The sky is blue."}
    assert client.get("/v1/documents/a%2Fb%20c").json() == new
    assert client.get("/v1/documents/%C3%A9").json()["text"] == "The sky is blue."
    assert client.get("/ready").json()["documents"] == 2
    assert "rankloom_live_documents 2.0" in client.get("/metrics").text


def test_adding_does_not_replace_and_putting_does(client):
    client.post("/v1/documents", json={"documents": [document("a")]})
    answer = client.post("/v1/documents", json={"documents": [document("b"), document("a", "Other sky.")]})
    assert answer.status_code == 409
    assert answer.json()["value"] == "'a'"
    assert answer.json()["fix"] == "PUT replaces documents"
    assert found(client) == {"a": "The sky is blue."}
    answer = client.put("/v1/documents", json={"documents": [document("b"), document("a", "Other sky.")]})
    assert answer.json() == {"change": 2, "documents": 2, "ids": ["b", "a"]}
    assert found(client) == {"a": "Other sky.", "b": "The sky is blue."}


def test_what_is_deleted_is_gone_at_once(client):
    client.put("/v1/documents", json={"documents": [document("a"), document("b"), document("c")]})
    answer = client.post("/v1/documents/delete", json={"ids": ["a", "nobody", "a"]})
    assert answer.json() == {"change": 2, "documents": 2, "ids": ["a"]}
    assert client.delete("/v1/documents/b").json() == {"change": 3, "documents": 1, "ids": ["b"]}
    for doc_id in ("a", "b", "nobody"):
        assert client.get(f"/v1/documents/{doc_id}").status_code == 404
        assert client.delete(f"/v1/documents/{doc_id}").status_code == 404
    assert found(client) == found(client, pipeline="best") == {"c": "The sky is blue."}


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ([], "there is no document"),
        ([document(str(n)) for n in range(4)], "too many documents"),
        ([document("a", "x" * 201)], "too many characters of document 0"),
        ([document("a", metadata={"key": "x" * 201})], "too many characters of document 0"),
        ([document("a"), document("a")], "a document id stands twice"),
        ([document("")], "body.documents.0.id: String should have at least 1 character"),
        ([document("a", "half \ud800")], "half of a surrogate pair at character 5"),
        ([document("a", metadata={"key": "\ud800"})], "metadata can not be kept"),
        ([document("a", unknown=1)], "Extra inputs are not permitted"),
        ([{"id": "a"}], "Field required"),
    ],
)
def test_documents_that_can_not_be_kept_change_nothing(client, documents, told):
    body = json.dumps({"documents": documents})  # the client itself refuses to send half of a pair
    answer = client.put("/v1/documents", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert (client.get("/ready").json()["documents"], found(client)) == (0, {})


def test_a_snapshot_is_written_beside_the_index(client, tmp_path):
    assert client.post("/v1/snapshot", json={"name": "empty"}).status_code == 422
    client.put("/v1/documents", json={"documents": [document("a")]})
    answer = client.post("/v1/snapshot", json={"name": "one"})
    assert answer.json() == {"name": "one", "documents": 1, "change": 1}
    assert sorted(path.name for path in (tmp_path / "index" / "snapshots" / "one").iterdir()) == ["bm25", "corpus"]
    for name in ("one", "../two", "", "a/b"):
        assert client.post("/v1/snapshot", json={"name": name}).status_code == 422
    assert [path.name for path in (tmp_path / "index" / "snapshots").iterdir()] == ["one"]


def test_a_document_that_a_stage_chokes_on_harms_nobody_who_does_not_find_it(client):
    client.put("/v1/documents", json={"documents": [document("bad", "poison in the sea"), document("good", "a sky")]})
    answer = client.post("/v1/search", json={"query": "sea", "pipeline": "best"})
    assert (answer.status_code, answer.json()["stage"]) == (500, "by_length")
    assert found(client, "sky", "best") == {"good": "a sky"}
    client.delete("/v1/documents/bad")
    assert found(client, "sea", "best") == {}
