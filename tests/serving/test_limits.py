"""A client that is slow, greedy or malformed harms itself."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving.loopback import BY_LENGTH, ByLength, serving


@pytest.fixture
def client():
    limits = {"concurrency": 1, "body_bytes": 2000, "body_seconds": 0.5}
    with serving({"pipelines": {"order": [BY_LENGTH]}, "limits": limits}) as client:
        yield client


def raw(client, sent, *, more=()):
    """What the server answers to bytes, and to more of them later."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as line:
        line.sendall(sent)
        for part in more:
            time.sleep(0.2)
            line.sendall(part)
        answer = b""
        while part := line.recv(4096):
            answer += part
            if b"\r\n\r\n" in answer:
                break
    return answer.split(b"\r\n", maxsplit=1)[0].decode()


BODY = {"query": "q", "documents": ["x"]}
HEAD = b"POST /v1/rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_more_than_may_be_at_a_time_are_told_to_come_again(client, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(ByLength, "gate", gate)
    monkeypatch.setattr(ByLength, "batches", made := [])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/rerank", json=BODY)
        while not made:
            time.sleep(0.005)
        second = client.post("/v1/rerank", json=BODY)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert client.get("/health").status_code == 200
        gate.set()
        assert first.result().status_code == 200
    assert client.post("/v1/rerank", json=BODY).status_code == 200


def test_a_slow_client_takes_nobodys_place(client):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(raw, client, HEAD + b"Content-Length: 100\r\n\r\n{")
        while not slow.done():
            assert client.post("/v1/rerank", json=BODY).status_code == 200
        assert slow.result() == "HTTP/1.1 408 Request Timeout"


@pytest.mark.parametrize(
    ("sent", "more", "status"),
    [
        (HEAD + b"Content-Length: 2001\r\n\r\n", [], "413"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", [b"3e9\r\n" + b"x" * 1001 + b"\r\n"] * 2, "413"),
        (HEAD + b"Content-Length: x\r\n\r\n", [], "400"),
        (b"nonsense\r\n\r\n", [], "400"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", [], "400"),
    ],
)
def test_what_is_too_large_or_no_http_is_refused(client, sent, more, status):
    assert raw(client, sent, more=more).split()[1] == status
    assert client.post("/v1/rerank", json=BODY).status_code == 200


def test_who_leaves_early_leaves_nothing_behind(client):
    for sent in (HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"):
        with socket.create_connection((client.base_url.host, client.base_url.port)) as line:
            line.sendall(sent)
    assert client.post("/v1/rerank", json=BODY).status_code == 200
    assert "rankloom_requests_under_way 1.0" in client.get("/metrics").text  # this one itself


def test_a_page_of_another_site_can_send_nothing_that_counts(client):
    plain = client.post("/v1/rerank", content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
    assert plain.status_code == 422
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::1", "10.0.0.1"):
        answer = client.post("/v1/rerank", json=BODY, headers={"Host": host})
        assert (answer.status_code, answer.json()["stage"]) == (403, "host"), host
    for host in ("localhost", "localhost:80", "127.0.0.1:1", "[::1]:80"):
        assert client.post("/v1/rerank", json=BODY, headers={"Host": host}).status_code == 200
    assert "access-control-allow-origin" not in client.options("/v1/rerank", headers={"Origin": "http://a"}).headers
