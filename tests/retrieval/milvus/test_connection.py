"""Servers that are gone, slow, elsewhere or locked."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from types import SimpleNamespace

import pytest

from rankloom import Corpus, Document, Session
from rankloom.errors import NotFoundError, StageError, UsageError
from rankloom.retrieval.milvus import Milvus
from rankloom.retrieval.milvus.connection import Connection
from tests.retrieval.milvus.conftest import free_port, running_server

pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
SESSION = Session(offline=True)
CORPUS = Corpus.of([Document("d1", "sky"), Document("d2", "moon")])


@pytest.mark.parametrize("uri", ["here", "ftp://host", "host:19530", "http://", "milvus.txt"])
def test_other_places_are_refused(uri):
    with pytest.raises(UsageError, match=r"ends in \.db, or http"):
        Connection(uri)


@pytest.mark.parametrize("uri", ["http://root:secret@host:1", "https://secret@host", "http://host:1?token=secret"])
def test_credentials_in_the_uri_are_refused_and_not_shown(uri):
    with pytest.raises(UsageError, match="MILVUS_TOKEN") as caught:
        Connection(uri)
    assert "secret" not in str(caught.value)


def test_what_is_on_this_machine_is_not_the_network():
    for uri in ("corpus.db", "http://localhost:19530", "http://127.0.0.1:19530", "http://[::1]:19530/"):
        Connection(uri).check_offline(SESSION)
    for uri in ("http://10.0.0.1:19530", "https://milvus.example.org", "http://localhost.example.org"):
        Connection(uri).check_offline(Session(offline=False))
        with pytest.raises(NotFoundError, match="offline"):
            Connection(uri).check_offline(SESSION)
        with pytest.raises(NotFoundError, match="offline"):
            Milvus.open(uri, collection="c", session=SESSION)


def test_a_connection_of_an_offline_session_asks_nobody_elsewhere():
    connection = Connection("http://10.0.0.1:19530", timeout=0.1, offline=True)
    with pytest.raises(NotFoundError, match="offline"):
        connection.ask("get_server_version")


def test_requests_that_overlap_leave_the_log_of_pymilvus_as_it_was():
    import pymilvus  # noqa: F401  # sets the level

    logger = logging.getLogger("pymilvus")
    before, first_in, second_in, over = logger.level, Event(), Event(), Event()

    class Client:
        def first(self, timeout):
            first_in.set()
            return second_in.wait(timeout)

        def second(self, timeout):
            second_in.set()
            return over.wait(timeout)

    connection = Connection("corpus.db")
    connection.__dict__["_client"] = Client()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(connection.ask, "first")
        assert first_in.wait(60)
        second = pool.submit(connection.ask, "second")
        assert first.result()
        assert logger.level == logging.CRITICAL  # one of them is still under way
        over.set()
        assert second.result()
    assert logger.level == before


def test_nobody_at_the_address():
    port = free_port()
    with pytest.raises(
        StageError, match=rf"milvus: .* to http://127\.0\.0\.1:{port} failed.*see whether the server runs"
    ):
        Milvus.open(f"http://127.0.0.1:{port}", collection="c", timeout=3)


def test_a_server_that_goes_is_named_and_one_that_comes_back_is_used(tmp_path, capfd):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    with running_server(tmp_path / "data", port):
        stage = Milvus.build(CORPUS, uri, collection="c", model=None, bm25=True, session=SESSION)
        assert stage.search("sky")[0].doc_id == "d1"
    with pytest.raises(StageError, match=rf"milvus: the request 'search' to {uri} failed"):
        stage.search("moon")
    assert "Traceback" not in capfd.readouterr().err  # pymilvus would print one
    with running_server(tmp_path / "data", port):
        assert stage.search("moon")[0].doc_id == "d2"


def test_a_request_that_may_be_sent_twice_waits_for_a_restart(tmp_path, monkeypatch):
    port = free_port()
    with running_server(tmp_path / "data", port):
        stage = Milvus.build(CORPUS, f"http://127.0.0.1:{port}", collection="c", model=None, bm25=True, session=SESSION)
    restarted = ExitStack()

    def restart(_):
        monkeypatch.undo()
        restarted.enter_context(running_server(tmp_path / "data", port))

    monkeypatch.setattr("rankloom.retrieval.milvus.connection.time", SimpleNamespace(sleep=restart))
    with restarted:
        assert stage.search("moon")[0].doc_id == "d2"


class Guarded:
    """A server of Milvus Lite that asks for a token, and can be slow: real gRPC, with an interceptor before it."""

    def __init__(self, folder, *, token="", seconds=0.0):
        import grpc
        from milvus_lite.adapter.grpc.servicer import MilvusServicer
        from milvus_lite.db import MilvusLite
        from pymilvus.grpc_gen.milvus_pb2_grpc import add_MilvusServiceServicer_to_server

        class Guard(grpc.ServerInterceptor):
            def intercept_service(self, continuation, details):
                import base64

                sent = dict(details.invocation_metadata).get("authorization", "")
                if token and base64.b64decode(sent).decode() != token:

                    def refuse(_, context):
                        context.abort(
                            grpc.StatusCode.UNAUTHENTICATED, f"auth check failure: {base64.b64decode(sent).decode()}"
                        )

                    return grpc.unary_unary_rpc_method_handler(refuse)
                if not details.method.endswith(("Connect", "GetVersion")):
                    time.sleep(seconds)
                return continuation(details)

        self.db = MilvusLite(str(folder))
        self.server = grpc.server(ThreadPoolExecutor(2), interceptors=[Guard()])
        add_MilvusServiceServicer_to_server(MilvusServicer(self.db), self.server)
        self.uri = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self.server.start()
        return self.uri

    def __exit__(self, *_):
        self.server.stop(0)
        self.db.close()


def test_the_token_comes_from_the_environment(tmp_path, monkeypatch):
    with Guarded(tmp_path / "data", token="root:right") as uri:
        for wrong in ("", "root:wrong-secret"):
            monkeypatch.setenv("MILVUS_TOKEN", wrong)
            with pytest.raises(StageError, match="set the environment variable MILVUS_TOKEN") as caught:
                Milvus.build(CORPUS, uri, collection="c", model=None, bm25=True, session=SESSION, timeout=5)
            assert "wrong-secret" not in str(caught.value)
        monkeypatch.setenv("MILVUS_TOKEN", "root:right")
        stage = Milvus.build(CORPUS, uri, collection="c", model=None, bm25=True, session=SESSION, timeout=5)
        assert stage.search("moon")[0].doc_id == "d2"


def test_a_server_that_is_too_slow_is_named(tmp_path):
    with Guarded(tmp_path / "data", seconds=2.0) as uri:
        started = time.monotonic()
        with pytest.raises(StageError, match="timeout="):
            Milvus.open(uri, collection="c", timeout=0.3)
        assert time.monotonic() - started < 60


def test_a_file_in_use_is_named(tmp_path):
    with running_server(tmp_path / "lite.db", free_port()), pytest.raises(StageError, match="one process at a time"):
        Milvus.open(tmp_path / "lite.db", collection="c", timeout=5)
