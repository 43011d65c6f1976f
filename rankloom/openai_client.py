"""What all endpoints that speak OpenAI's protocol share: addresses, keys, who may be asked, what is said of failures.

A key comes from an environment variable whose name is known, when the first request is sent, and is part of no
fingerprint, log or error.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

from rankloom.errors import NotFoundError, UsageError
from rankloom.extras import require
from rankloom.loopback import on_loopback

OPENAI = "https://api.openai.com/v1"
_NO_KEY = "none"  # what a server that asks for no key is told
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN = 500  # characters of an endpoint's own words that an error shows


def checked_address(url: str, *, stage: str, parameter: str) -> str:
    """The address of an endpoint, without a slash at its end.

    Raises:
        UsageError: It is none, or holds a password; it is not shown, for that reason.
    """
    address = urlsplit(url)
    secrets = (address.username, address.password)  # http://:password@host has an empty user
    if address.scheme not in ("http", "https") or not address.hostname or address.query or secrets != (None, None):
        accepted = "http(s)://HOST[:PORT]/PATH without a user, a password or a query"
        raise UsageError(f"{parameter} is no address of an endpoint", stage=stage, accepted=accepted)
    return url.rstrip("/")


def checked_variable(name: str | None, *, stage: str, parameter: str) -> str | None:
    """The name of an environment variable, or None.

    Raises:
        UsageError: It can be none. It is not shown, as it may be a key.
    """
    if name is not None and not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"{parameter} is not the name of an environment variable",
            stage=stage,
            accepted="letters, digits and _",
            fix=f"put the key into a variable, and the variable's name into {parameter}",
        )
    return name


def key_in(variable: str | None, *, stage: str, parameter: str) -> str:
    """The key in an environment variable, or a word that stands for none.

    Raises:
        UsageError: The variable is not set.
    """
    if variable is None:
        return _NO_KEY
    key = os.environ.get(variable, "")
    if not key:
        raise UsageError(
            "the environment variable with the endpoint's key is not set",
            stage=stage,
            value=variable,
            fix=f"export {variable}=..., or leave {parameter} empty (None) for a server that asks for no key",
        )
    return key


def may_be_asked(url: str, *, offline: bool) -> bool:
    """Whether an endpoint may be asked: offline, only one on this machine."""
    return not offline or on_loopback(url)


def check_may_be_asked(url: str, *, offline: bool, stage: str) -> None:
    """Refuse an endpoint on another machine when offline.

    Raises:
        NotFoundError: It is on another machine.
    """
    if not may_be_asked(url, offline=offline):
        raise NotFoundError(
            "the session is offline, and the endpoint is on another machine",
            stage=stage,
            value=url,
            fix="Session(offline=False) allows the network, or take a model on this machine",
        )


def connected(
    url: str, variable: str | None, *, parameter: str, offline: bool, retries: int, timeout: float, stage: str
) -> Any:
    """A client of the `openai` package; opens no socket yet.

    Args:
        url: The endpoint; one on this machine is never asked through a proxy.
        variable: The environment variable that holds the key; None for a server that asks for none.
        parameter: What the caller's parameter for the variable is called, for errors.
        offline: Whether only endpoints on this machine may be asked.
        retries: How often the client sends a request again by itself.
        timeout: Seconds until a request counts as failed.
        stage: Who asks, for errors.

    Raises:
        NotFoundError: The session is offline, and the endpoint is on another machine.
        UsageError: The variable is not set.
        MissingExtraError: `openai` is not installed.
    """
    check_may_be_asked(url, offline=offline, stage=stage)
    library = require("openai", extra="api", stage=stage)
    # A proxy of the environment is another machine, and may not know a server on this one.
    direct = library.DefaultHttpxClient(trust_env=False) if on_loopback(url) else None
    key = key_in(variable, stage=stage, parameter=parameter)
    return library.OpenAI(api_key=key, base_url=url, max_retries=retries, timeout=timeout, http_client=direct)


def without_key(text: str, key: str) -> str:
    """Words of an endpoint or a library, without the key and not too long."""
    return (text if key == _NO_KEY else text.replace(key, "***"))[:_SHOWN]


def described(error: Exception) -> str:
    """The status of a refusal, or the kind of failure."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ if status is None else f"status {status}"
