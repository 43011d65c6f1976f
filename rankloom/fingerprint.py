"""Fingerprints: one digest for anything whose change must invalidate what was computed from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Fingerprinted(Protocol):
    """Anything that knows its own fingerprint: stages, corpora, indexes, encoders."""

    def fingerprint(self) -> str:
        """A digest of everything that can change the results of this object."""
        ...


def digest(*parts: object) -> str:
    """A 32-digit hexadecimal digest of values.

    Takes JSON values, paths, enums, dataclasses, NumPy arrays, and whatever has a `fingerprint()`. Equal values
    give equal digests on every platform and in every process.

    Args:
        parts: The values, in order.

    Raises:
        TypeError: A value of a type that has no stable form (a function, an open file).

    Example:
        >>> digest("bm25", {"b": 0.4, "k1": 0.9}) == digest("bm25", {"k1": 0.9, "b": 0.4})
        True
    """
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def digest_bytes(*buffers: bytes | memoryview) -> str:
    """A 32-digit hexadecimal digest of raw buffers, each preceded by its length."""
    state = hashlib.blake2b(digest_size=16)
    for buffer in buffers:
        state.update(len(buffer).to_bytes(8, "little"))
        state.update(buffer)
    return state.hexdigest()


def _plain(value: object) -> object:  # noqa: PLR0911  # one return for each type
    """The JSON form that a digest is taken of."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return [type(value).__name__, value.name]
    if callable(fingerprint := getattr(value, "fingerprint", None)) and not isinstance(value, type):
        return ["fingerprint", fingerprint()]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        array = np.ascontiguousarray(value)
        return ["array", str(array.dtype), list(array.shape), digest_bytes(array.tobytes())]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return ["set", sorted(json.dumps(_plain(item), sort_keys=True) for item in value)]
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {f.name: _plain(getattr(value, f.name)) for f in fields(value)}]
    raise TypeError(f"no fingerprint for a value of type {type(value).__name__}: {value!r}")
