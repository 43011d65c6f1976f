"""The way to a Milvus: where it is, who may ask, and what its failures are called."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rankloom.errors import NotFoundError, StageError, UsageError
from rankloom.extras import require
from rankloom.loopback import on_loopback
from rankloom.session import Session

STAGE = "milvus"
#: The environment variable that holds the token, `user:password` or an API key. It is read when a connection is made
#: and kept nowhere else.
TOKEN = "MILVUS_TOKEN"  # noqa: S105  # the name of a variable
_LITE = ".db"  # pymilvus takes such a path for a file of Milvus Lite
_WAITS = (0.5, 1.0)  # seconds before a request that may be sent twice is sent a second and a third time
_SENT_ONCE = frozenset({"create_collection"})  # a second one would fail on what the first has made
_RELEASED = 101  # Milvus' code for a collection that is not in memory, as after a restart of Milvus Lite
_FIXES = {
    "UNAUTHENTICATED": f"set the environment variable {TOKEN} to user:password or an API key",
    "PERMISSION_DENIED": f"set the environment variable {TOKEN} to the token of somebody who may do this",
    "UNAVAILABLE": "see whether the server runs at this address, and try again; what it holds stays",
    "DEADLINE_EXCEEDED": "try again, or allow more seconds by timeout=",
}


class Connection:
    """A client of one Milvus.

    Args:
        uri: A file of Milvus Lite, whose name ends in `.db`, or `http://HOST:PORT` or `https://...` of a server. No
            credentials: the token comes from the environment variable MILVUS_TOKEN.
        timeout: Seconds that a request may take.
        offline: Whether no request may leave this machine, as in the session it is made for.

    Raises:
        UsageError: The URI is of another form, or holds credentials (which the error does not show).
    """

    def __init__(self, uri: str | Path, *, timeout: float = 60.0, offline: bool = False) -> None:
        self.uri, self.timeout, self.offline = _checked(str(uri)), timeout, offline

    def __repr__(self) -> str:
        """Where it leads."""
        return f"Connection({self.uri!r})"

    @property
    def local(self) -> bool:
        """Whether nothing leaves this machine: a file of Milvus Lite, or a server on a loopback address."""
        return self.uri.endswith(_LITE) or on_loopback(self.uri)

    def check_offline(self, session: Session) -> None:
        """Refuse a server on another machine when a session is offline that is not the one it was made for.

        Milvus Lite listens on a loopback port, even when it is embedded; that is this machine, and is allowed.

        Raises:
            NotFoundError: It is on another machine, and the session is offline.
        """
        self._refuse_network(offline=session.offline)

    @cached_property
    def engine(self) -> str:
        """What answers, with its version, such as `milvus_lite-3.2.2`."""
        return str(self.ask("get_server_version"))

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of pymilvus' client.

        What may be sent twice is sent up to three times while the server can not be reached. All requests may but the
        one that makes a collection: the others read, or write rows and deletions by id.

        Raises:
            NotFoundError: The server is on another machine, and the connection is one of an offline session.
            StageError: The server can not be reached, refuses the token, takes too long or reports an error. Names
                the URI.
        """
        self._refuse_network(offline=self.offline)
        failures = _failures()
        waits = [] if method in _SENT_ONCE else list(_WAITS)
        loaded = False
        while True:
            try:
                with _QUIET:
                    return getattr(self._client, method)(*arguments, timeout=self.timeout, **named)
            except failures as error:
                status = _status(error)
                if getattr(error, "code", None) == _RELEASED and not loaded:
                    self.ask("load_collection", arguments[0])
                    loaded = True
                elif status != "UNAVAILABLE" or not waits:
                    raise self._failure(method, status, error) from None  # its cause would show the request
                else:
                    time.sleep(waits.pop(0))

    def close(self) -> None:
        """Close the client; the next request opens another."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def _refuse_network(self, *, offline: bool) -> None:
        """Raise if that would be needed."""
        if offline and not self.local:
            raise NotFoundError(
                "the session is offline and this server is on another machine",
                stage=STAGE,
                value=self.uri,
                accepted="a file of Milvus Lite, or a server on this machine",
                fix="search with a session that may use the network",
            )

    @cached_property
    def _client(self) -> Any:
        """The client of pymilvus."""
        library = require("pymilvus", extra=STAGE, stage=STAGE)
        if self.uri.endswith(_LITE):
            require("milvus_lite", extra=STAGE, stage=STAGE)
            Path(self.uri).parent.mkdir(parents=True, exist_ok=True)
        return library.MilvusClient(self.uri, token=os.environ.get(TOKEN, ""), timeout=self.timeout)

    def _failure(self, method: str, status: str, error: Exception) -> StageError:
        """The error for a request that failed."""
        reason = str(getattr(error, "message", "") or getattr(error, "details", str)() or error)
        token = os.environ.get(TOKEN, "")
        for secret in filter(None, [token, token.partition(":")[2]]):
            reason = reason.replace(secret, "***")
        fix = _FIXES.get(status)
        if "open local milvus" in reason.lower():
            fix = "one process at a time can use a file of Milvus Lite: end the other, or start a `milvus-lite server`"
        return StageError(f"the request '{method}' to {self.uri} failed: {status} {reason}", stage=STAGE, fix=fix)


def _failures() -> tuple[type[Exception], ...]:
    """What pymilvus raises: its own errors, and some of gRPC as they are."""
    library, grpc = (require(module, extra=STAGE, stage=STAGE) for module in ("pymilvus", "grpc"))
    return (library.MilvusException, grpc.RpcError)


def _status(error: BaseException | None) -> str:
    """The word of gRPC for a failure, which pymilvus hides in the causes of its own errors; empty if there is none."""
    grpc = require("grpc", extra=STAGE, stage=STAGE)
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # pymilvus raises errors from themselves
        if isinstance(error, grpc.RpcError):
            return str(error.code().name)
        seen.append(error)
        error = error.__context__ if error.__cause__ in (None, error) else error.__cause__
    return ""


def _checked(uri: str) -> str:
    """The URI, if it is one of a known form and holds no secret."""
    accepted = "a path that ends in .db, or http://HOST:PORT"
    if "://" not in uri:
        if not uri.endswith(_LITE):
            raise UsageError("this is no place of a Milvus", stage=STAGE, value=uri, accepted=accepted)
        return str(Path(uri).absolute())
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None or parts.query:
        raise UsageError(
            f"the URI of {parts.hostname} holds credentials or parameters",
            stage=STAGE,
            accepted=accepted,
            fix=f"leave them out, and set the environment variable {TOKEN}",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("this is no place of a Milvus", stage=STAGE, value=uri, accepted=accepted)
    return uri.rstrip("/")


class _Quiet:
    """Keeps pymilvus from printing the traceback of an error that is raised anyway, and told better.

    A logger's level is the process' own, so that requests that overlap on several threads share one silence: the first
    to come sets it, and the last to go puts back what was before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside, self._level = 0, logging.NOTSET

    def __enter__(self) -> None:
        logger = logging.getLogger("pymilvus")
        with self._lock:
            if not self._inside:
                self._level = logger.level
                logger.setLevel(logging.CRITICAL)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                logging.getLogger("pymilvus").setLevel(self._level)


_QUIET = _Quiet()
