"""Embedding endpoints, against a real HTTP server on loopback."""

import json
import logging
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from rankloom import Session
from rankloom.encoders import EmbeddingEndpoint
from rankloom.errors import DataError, NotFoundError, StageError, UsageError

KEY = "sk-very-secret"
ONLINE = Session(offline=False)


def vector(text, dimensions=4):
    """A vector that tells texts apart; not of length 1."""
    return [
        float(len(text)),
        *(float(ord(character) % 7) for character in text.ljust(dimensions - 1)[: dimensions - 1]),
    ]


class Server:
    """An endpoint that answers as it is told."""

    def __init__(self):
        self.requests, self.keys, self.script, self.change = [], [], [], lambda reply: reply
        self.under_way = self.most = 0
        self.gate, self.lock = None, threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, reply = server.answer(self.path, self.headers, body)
                data = json.dumps(reply).encode()
                self.send_response(status)
                for name, value in {
                    **headers,
                    "Content-Length": str(len(data)),
                    "Content-Type": "application/json",
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, path, headers, body):
        with self.lock:
            self.requests.append((path, body))
            self.keys.append(headers["Authorization"])
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            said = self.script.pop(0) if self.script else None
        if self.gate is not None:
            self.gate.wait(1)
        with self.lock:
            self.under_way -= 1
        if said is not None:
            return said
        dimensions = body.get("dimensions", 4)
        data = [{"index": i, "embedding": vector(text, dimensions)} for i, text in enumerate(body["input"])]
        tokens = sum(len(text.split()) for text in body["input"])
        reply = {
            "object": "list",
            "model": "m",
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return 200, {}, self.change(reply)

    @property
    def sent(self):
        return [text for _, body in self.requests for text in body["input"]]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


def endpoint(server, **options):
    return EmbeddingEndpoint("m", base_url=server.url, **{"normalize": False, "retries": 2, **options})


def failure(status, message="no", **headers):
    return status, headers, {"error": {"message": message}}


def test_vectors_come_in_the_order_of_the_texts_and_equal_texts_are_sent_once(server):
    encoded = endpoint(server).encode(["sky", "blue sea", "sky"], role="query", session=ONLINE)
    assert encoded.vectors.tolist() == [vector("sky"), vector("blue sea"), vector("sky")]
    assert sorted(server.sent) == ["blue sea", "sky"]
    assert (encoded.calls, encoded.tokens.sum(), encoded.truncated.sum()) == (1, 2 + 1 + 2 - 1, 0)
    ((path, body),) = server.requests
    assert (path, body["model"], body["encoding_format"], "dimensions" in body) == (
        "/v1/embeddings",
        "m",
        "float",
        False,
    )
    assert server.keys == [f"Bearer {KEY}"]


def test_prefixes_dimensions_and_length_one(server):
    encoder = endpoint(server, dimensions=3, query_prefix="q: ", document_prefix="d: ", normalize=True)
    query = encoder.encode(["sky"], role="query", session=ONLINE).vectors
    encoder.encode(["sky"], role="document", session=ONLINE)
    assert server.sent == ["q: sky", "d: sky"]
    expected = np.array(vector("q: sky", 3))
    np.testing.assert_allclose(query[0], expected / np.linalg.norm(expected), rtol=1e-6)


def test_blank_texts_are_not_sent(server):
    encoded = endpoint(server).encode(["", "sky", " \n"], role="document", session=ONLINE)
    assert server.sent == ["sky"]
    assert encoded.vectors.tolist() == [[0] * 4, vector("sky"), [0] * 4]


def test_blank_texts_alone_have_no_length_until_the_endpoint_has_told_it(server):
    encoder = endpoint(server)
    with pytest.raises(StageError, match=r"how long its vectors are.*dimensions="):
        encoder.encode([" "], role="document", session=ONLINE)
    assert server.requests == []
    assert endpoint(server, dimensions=3).encode([" "], role="document", session=ONLINE).vectors.tolist() == [[0] * 3]
    encoder.encode(["sky"], role="query", session=ONLINE)
    for one in (encoder, pickle.loads(pickle.dumps(encoder))):
        assert one.encode(["", " "], role="document", session=ONLINE).vectors.tolist() == [[0] * 4] * 2
    assert len(encoder.encode([], role="document", session=ONLINE).vectors) == 0


def test_no_other_length_than_before_is_taken(server):
    encoder = endpoint(server)
    encoder.encode(["sky"], role="query", session=ONLINE)
    server.change = lambda reply: {**reply, "data": [{**part, "embedding": [1.0] * 5} for part in reply["data"]]}
    with pytest.raises(StageError, match=r"different lengths; got \[4, 5\]"):
        encoder.encode(["sea"], role="query", session=ONLINE)


def test_requests_keep_to_their_limits(server):
    texts = [f"{number:03}" for number in range(10)] + ["x" * 30]
    encoded = endpoint(server, batch_size=4, batch_characters=9).encode(texts, role="query", session=ONLINE)
    assert sorted(len(body["input"]) for _, body in server.requests) == [1, 1, 3, 3, 3]
    assert encoded.calls == 5
    assert encoded.vectors[:, 0].tolist() == [3.0] * 10 + [30.0]


def test_no_more_requests_are_under_way_than_allowed(server):
    server.gate = threading.Event()
    threading.Timer(0.3, server.gate.set).start()
    endpoint(server, batch_size=1, concurrency=3).encode(list("abcdefgh"), role="query", session=ONLINE)
    assert server.most == 3


def test_many_texts_are_as_many_requests_as_may_be_under_way(server):
    texts = [f"{number:03}" for number in range(512)]
    encoded = endpoint(server, concurrency=8).encode(texts, role="document", session=ONLINE)
    assert [len(body["input"]) for _, body in server.requests] == [64] * 8
    assert encoded.vectors.tolist() == [vector(text) for text in texts]


def test_few_texts_are_one_request_and_no_request_is_longer_than_allowed(server):
    assert endpoint(server).encode([str(n) for n in range(63)], role="query", session=ONLINE).calls == 1
    server.requests.clear()
    endpoint(server, concurrency=1).encode([str(n) for n in range(300)], role="query", session=ONLINE)
    assert sorted(len(body["input"]) for _, body in server.requests) == [44, 256]


def test_passing_failures_are_asked_again(server):
    pause = {"Retry-After": "0.01"}
    server.script = [failure(429, **pause), failure(500, **pause)]
    encoded = endpoint(server).encode(["sky"], role="query", session=ONLINE)
    assert encoded.vectors.tolist() == [vector("sky")]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "advice"),
    [(429, "less concurrency"), (500, "is up"), (400, "longest here has 3 characters"), (401, "check the key")],
)
def test_lasting_failures_are_errors_without_the_key(server, status, advice, caplog):
    server.script = [failure(status, f"you sent {KEY}", **{"Retry-After": "0.01"})] * 3
    with caplog.at_level(logging.DEBUG), pytest.raises(StageError, match=advice) as raised:
        endpoint(server).encode(["sky"], role="query", session=ONLINE)
    assert f"status {status}" in str(raised.value)
    assert KEY not in str(raised.value)
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("rankloom"))
    assert raised.value.__cause__ is None


def test_what_was_answered_before_a_failure_is_kept(server, tmp_path):
    session = Session(offline=False, cache=tmp_path)
    texts = list("abcdef")
    encoder = endpoint(server, batch_size=2, concurrency=1, retries=0)
    server.script = [None, None, failure(500)]
    with pytest.raises(StageError):
        encoder.encode(texts, role="document", session=session)
    server.requests.clear()
    encoded = encoder.encode(texts, role="document", session=session)
    assert server.sent == ["e", "f"]
    assert encoded.vectors.tolist() == [vector(text) for text in texts]
    assert (encoded.tokens.tolist(), encoded.calls) == ([1] * 6, 1)
    offline = endpoint(server).encode(texts, role="document", session=Session(offline=True, cache=tmp_path))
    assert (offline.vectors.tobytes(), offline.calls) == (encoded.vectors.tobytes(), 0)


def test_offline_no_socket_to_another_machine_is_opened(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.create_connection", refuse)
    encoder = EmbeddingEndpoint("m", base_url="http://192.0.2.1/v1")
    encoder.load(Session(offline=True))
    with pytest.raises(NotFoundError, match="offline"):
        encoder.encode(["sky"], role="query", session=Session(offline=True))


def test_offline_a_server_on_this_machine_is_asked_and_by_no_proxy(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    encoder = endpoint(server, retries=0, timeout=2.0)
    encoder.load(Session(offline=True))
    encoded = encoder.encode(["sky"], role="query", session=Session(offline=True))
    assert encoded.vectors.tolist() == [vector("sky")]
    assert server.sent == ["sky"]


def out_of_order(reply):
    return {**reply, "data": reply["data"][::-1]}


def uncounted(reply):
    return {name: value for name, value in reply.items() if name != "usage"}


def test_order_and_usage_may_be_missing(server):
    server.change = lambda reply: uncounted(out_of_order(reply))
    encoded = endpoint(server).encode(["a", "bc", "def"], role="query", session=ONLINE)
    assert encoded.vectors.tolist() == [vector("a"), vector("bc"), vector("def")]
    assert encoded.tokens.tolist() == [0, 0, 0]


def one_less(reply):
    return {**reply, "data": reply["data"][1:]}


def one_twice(reply):
    return {**reply, "data": [reply["data"][0], *reply["data"][:-1]]}


def not_a_number(reply):
    return {**reply, "data": [{**part, "embedding": [float("nan")] * 4} for part in reply["data"]]}


def uneven(reply):
    return {**reply, "data": [{**part, "embedding": [1.0] * (1 + part["index"])} for part in reply["data"]]}


def empty(reply):
    return {**reply, "data": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_less, "1 vectors for 2 texts"),
        (one_twice, "one vector for each text"),
        (not_a_number, "not finite"),
        (uneven, "no vectors of numbers"),
        (empty, "did not"),
    ],
)
def test_replies_that_are_wrong_are_errors(server, change, message):
    server.change = change
    with pytest.raises(StageError, match=message):
        endpoint(server).encode(["a", "b"], role="query", session=ONLINE)


def test_other_dimensions_than_asked_for_are_an_error(server):
    server.change = lambda reply: {**reply, "data": [{**part, "embedding": [1.0] * 4} for part in reply["data"]]}
    with pytest.raises(StageError, match=r"another length than was asked for; got \[4\]; accepted: 3"):
        endpoint(server, dimensions=3).encode(["a"], role="query", session=ONLINE)


def test_texts_that_are_too_long_are_named(server):
    with pytest.raises(DataError, match="9 characters, more than the endpoint reads"):
        endpoint(server, max_characters=8, query_prefix="q: ").encode(["a" * 6], role="query", session=ONLINE)
    assert server.requests == []


def test_the_key_is_nowhere_but_in_the_request(server, monkeypatch):
    encoder = endpoint(server)
    encoder.load(ONLINE)
    assert KEY.encode() not in pickle.dumps(encoder)
    assert KEY not in repr(encoder)
    before = encoder.fingerprint()
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert encoder.fingerprint() == before
    again = pickle.loads(pickle.dumps(encoder))
    assert again.encode(["sky"], role="query", session=ONLINE).vectors.tolist() == [vector("sky")]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        endpoint(server).encode(["sky"], role="query", session=ONLINE)
    endpoint(server, key_variable=None).encode(["sky"], role="query", session=ONLINE)


def test_fingerprints_tell_spaces_apart():
    base = {"base_url": "http://h/v1"}
    options = [{}, {"base_url": "http://other/v1"}, {"dimensions": 3}, {"query_prefix": "q"}, {"document_prefix": "q"}]
    spaces = {EmbeddingEndpoint("m", **{**base, **one}).fingerprint() for one in options}
    assert len(spaces | {EmbeddingEndpoint("n", **base).fingerprint()}) == 6
    same = EmbeddingEndpoint("m", base_url="http://h/v1/", concurrency=9, key_variable=None)
    assert same.fingerprint() in spaces


@pytest.mark.parametrize(
    "url",
    ["localhost:80", "ftp://h/v1", "http://user:secret@h/v1", "http://:secret@h/v1", "http://h/v1?key=secret"],
)
def test_addresses_are_checked_and_not_shown(url):
    with pytest.raises(UsageError, match="no address") as raised:
        EmbeddingEndpoint("m", base_url=url)
    assert "secret" not in str(raised.value)
