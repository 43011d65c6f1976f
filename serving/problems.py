"""Errors as answers: problem details (RFC 9457) that name stage, value, what is accepted and the fix."""

from __future__ import annotations

import errno
import json
import logging
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rankloom.errors import DamagedIndexError, DataError, MissingExtraError, NotFoundError, RankloomError, UsageError
from rankloom.serving.batching import BusyError, LateError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("rankloom")
_LONGEST_INPUT = 200  # characters of a wrong value that an answer repeats


class ConflictError(DataError):
    """What is asked for does not fit what is there, such as a document that is to be added and is there already."""


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """An answer that tells what is wrong.

    Args:
        status: The HTTP status.
        detail: What is wrong, in words.
        headers: Further headers.
        more: Further members; those that are None are left out.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    # ASCII: a value that is shown may hold what UTF-8 can not
    return Response(json.dumps(body, default=str), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(error: BaseException) -> Response:
    """The answer for an error; one that nobody foresaw is logged under a number that the answer names."""
    if isinstance(error, RankloomError):
        status = _status(error)
        more = {"stage": error.stage, "value": error.value, "accepted": error.accepted, "fix": error.fix}
        headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return problem(status, error.problem, headers=headers, **more)
    if is_full(error):
        fix = "free space on the server's disk; documents that were there before still are"
        return problem(HTTPStatus.INSUFFICIENT_STORAGE, "the disk of the server is full", stage="documents", fix=fix)
    number = uuid.uuid4().hex[:12]
    _log.error("request failed (%s)", number, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log says more", instance=f"urn:{number}")


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk has no room left."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _status(error: RankloomError) -> int:
    """The status of an error of ours."""
    by_class: Sequence[tuple[type[RankloomError], HTTPStatus]] = (
        (LateError, HTTPStatus.GATEWAY_TIMEOUT),
        (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
        (ConflictError, HTTPStatus.CONFLICT),
        (NotFoundError, HTTPStatus.NOT_FOUND),
        (MissingExtraError, HTTPStatus.NOT_IMPLEMENTED),
        (DamagedIndexError, HTTPStatus.INTERNAL_SERVER_ERROR),
        (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
        (DataError, HTTPStatus.UNPROCESSABLE_ENTITY),
    )
    return next((status for kind, status in by_class if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def add_handlers(app: FastAPI) -> None:
    """Let an application answer every error as a problem."""

    async def ours(_: Request, error: Exception) -> Response:
        return problem_of(error)

    async def http(_: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return problem(error.status_code, str(error.detail), headers=error.headers)

    async def invalid(_: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        return _invalid(error)

    app.add_exception_handler(RankloomError, ours)
    app.add_exception_handler(OSError, ours)
    app.add_exception_handler(sqlite3.Error, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, ours)


def _invalid(error: RequestValidationError) -> Response:
    """The answer to a request that is not of the form it should have; all that is wrong with it is told."""
    found: list[dict[str, Any]] = []
    for one in error.errors():
        if one["type"] == "json_invalid":
            said = f"{one['msg']}: {one.get('ctx', {}).get('error', '')}"
            return problem(HTTPStatus.BAD_REQUEST, said, stage="request", fix="send a JSON object")
        place = ".".join(str(part) for part in one["loc"])
        found.append({"place": place, "problem": one["msg"], "value": repr(one.get("input"))[:_LONGEST_INPUT]})
    first = f"{found[0]['place']}: {found[0]['problem']}" if found else "the request is not valid"
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, first, stage="request", problems=found)
