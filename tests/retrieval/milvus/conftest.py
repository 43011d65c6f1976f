"""A real server on loopback: `milvus-lite server`, started once, waited for and killed."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from rankloom.errors import StageError
from rankloom.retrieval.milvus.connection import Connection

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


@pytest.fixture(params=["lite", "server"])
def uri(request, tmp_path):
    """Both ways in: a file of Milvus Lite, and a server over gRPC."""
    pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")
    return str(tmp_path / "lite.db") if request.param == "lite" else request.getfixturevalue("server")


@pytest.fixture
def name(request):
    """A name for a collection that no other test uses."""
    return f"c{abs(hash(request.node.nodeid)):x}"
