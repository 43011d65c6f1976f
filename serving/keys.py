"""API keys: read from outside of the configuration, kept as digests, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable

from rankloom.errors import ConfigError
from rankloom.serving.config import Keys, ServeFile

_SHORTEST = 16  # characters


class KeyRing:
    """The keys that a server takes.

    Args:
        keys: The keys.

    Raises:
        ConfigError: There is none, or one is too short. Keys are never shown.

    Example:
        >>> ring = KeyRing(["correct-horse-battery"])
        >>> ring.takes("correct-horse-battery"), ring.takes("wrong")
        (True, False)
    """

    def __init__(self, keys: Iterable[str]) -> None:
        found = list(keys)
        if not found:
            raise ConfigError("there is no key", stage="keys", fix="put one in, or leave `keys` out")
        if min(map(len, found)) < _SHORTEST:
            accepted = f"keys of {_SHORTEST} characters or more"
            raise ConfigError("a key is too short", stage="keys", accepted=accepted, fix="openssl rand -hex 32")
        self._digests = [_digest(key) for key in found]

    @classmethod
    def read(cls, keys: Keys, file: ServeFile) -> KeyRing:
        """The keys of an environment variable or a file.

        Raises:
            ConfigError: They are not there; see also the constructor.
        """
        if keys.environment is not None:
            if keys.environment not in os.environ:
                raise ConfigError("the environment variable with the keys is not set", value=keys.environment)
            return cls(key for key in map(str.strip, os.environ[keys.environment].split(",")) if key)
        lines = file.path(str(keys.file), key="keys").read_text(encoding="utf-8").splitlines()
        return cls(line for line in map(str.strip, lines) if line and not line.startswith("#"))

    def takes(self, key: str) -> bool:
        """Whether a key is one of them; takes as long for any answer."""
        digest = _digest(key)
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


def _digest(key: str) -> bytes:
    """A digest of a key, whose length says nothing about that of the key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
