"""A real server on loopback: `milvus-lite server`, started once, waited for and killed."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from rankloom.encoders import SentenceEncoder
from rankloom.errors import StageError
from rankloom.retrieval.milvus.connection import Connection
from rankloom.retrieval.sparse_encoder import SparseEncoder

_PATIENCE = 60.0  # seconds for a server to start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_server(folder, port):
    """A server over a folder; waits until it answers."""
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                assert "milvus_lite" in Connection(f"http://127.0.0.1:{port}", timeout=5).engine
                break
            except StageError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    port = free_port()
    with running_server(tmp_path_factory.mktemp("milvus") / "server", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def uri(server):
    """Where collections are made; tests of which the place may matter take `place`."""
    return server


@pytest.fixture(params=["lite", "server"])
def place(request, tmp_path):
    """Both ways in: a file of Milvus Lite, and a server over gRPC."""
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    return str(tmp_path / "lite.db") if request.param == "lite" else request.getfixturevalue("server")


@pytest.fixture(scope="module")
def encoded_once():
    """Encoders compute what they do, but each list of texts only once: the tests are of what comes after."""
    with pytest.MonkeyPatch.context() as patch:
        for encoder in (SentenceEncoder, SparseEncoder):
            patch.setattr(encoder, "encode", _remembering(encoder.encode))
        yield


def _remembering(encode):
    known = {}

    def remembered(self, texts, *, role, session):
        asked = (self.fingerprint(), role, *texts)
        if asked not in known:
            known[asked] = encode(self, texts, role=role, session=session)
        return known[asked]

    return remembered


@pytest.fixture
def name(request):
    """A name for a collection that no other test uses."""
    return f"c{abs(hash(request.node.nodeid)):x}"
