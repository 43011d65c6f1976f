"""Which addresses are this machine's own, and so may be asked when a session is offline."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def on_loopback(url: str) -> bool:
    """Whether a URL names a server on this machine: `localhost`, or a loopback address. Looks nothing up.

    >>> on_loopback("http://127.0.0.1:8080/v1"), on_loopback("https://example.org")
    (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or no URL
        return False
