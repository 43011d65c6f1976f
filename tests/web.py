"""A real HTTP server on this machine, for tests of downloads; it can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """What the server holds and how it behaves.

    Attributes:
        files: Path -> content.
        moved: Path -> the path that it is redirected to.
        ranges: Whether it sends parts of files.
        cuts: How many bytes each of the next answers sends before the connection is cut.
        statuses: What the next requests are answered instead of the file.
        pause: Seconds between two blocks of an answer.
        length: How it tells where a file ends: `told`, in `chunks`, or `untold`, by the end of the connection.
        validators: Whether it says which version of a file it sends.
        asked: Path and `Range` of every request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.ranges, self.validators = True, True
        self.length = "told"
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.pause = 0.0
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""

    def put(self, path: str, content: bytes) -> dict[str, Any]:
        """Hold a file; returns its address and MD5 sum as a record of the catalogue has them."""
        self.files[f"/{path}"] = content
        return {"path": path, "url": f"{self.url}/{path}", "md5": hashlib.md5(content).hexdigest()}


class _Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.web.asked.append((self.path, wanted))
        if self.path in self.web.moved:
            self.send_response(302)
            self.send_header("Location", self.web.url + self.web.moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = self.web.statuses.pop(0) if self.web.statuses else 0
        content = self.web.files.get(self.path)
        if status or content is None:
            self.send_error(status or 404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:8]}"'
        start = 0
        if wanted and self.web.ranges and self.headers["If-Range"] in (None, tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        if self.web.length == "told":
            self.send_header("Content-Length", str(len(body)))
        elif self.web.length == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
        if self.web.validators:
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        cut = self.web.cuts.pop(0) if self.web.cuts else len(body)
        try:
            for place in range(0, min(cut, len(body)), 1000):
                block = body[place : min(place + 1000, cut)]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if self.web.length == "chunks" else block)
                self.wfile.flush()
                time.sleep(self.web.pause)
            if self.web.length == "chunks" and cut >= len(body):
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass  # the reader is gone, as when it was killed
        self.close_connection = True

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Web]:
    """Serve on a free port of this machine for the length of the block."""
    web = Web()
    handler = type("Handler", (_Handler,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
