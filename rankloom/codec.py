"""Values of the cache as bytes: a JSON head, raw array buffers, and a checksum over both. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rankloom.errors import DataError

_CHECK = 8  # bytes of checksum
_HEAD = 4  # bytes that give the head's length


def pack(values: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Bytes that hold JSON values and arrays.

    Args:
        values: JSON values by name.
        arrays: Arrays of a plain dtype by name; they come back bit for bit.

    Example:
        >>> unpack(pack({"a": 1}, {"v": np.ones(2, np.float32)}))
        ({'a': 1}, {'v': array([1., 1.], dtype=float32)})
    """
    shapes = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    head = json.dumps([values, shapes], ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    body = b"".join([len(head).to_bytes(_HEAD, "little"), head, *(array.tobytes() for array in arrays.values())])
    return _checksum(body) + body


def unpack(data: bytes) -> tuple[dict[str, object], dict[str, NDArray[np.generic]]]:
    """The values and arrays in bytes made by `pack`.

    Raises:
        DataError: The checksum does not hold.
    """
    body = data[_CHECK:]
    if data[:_CHECK] != _checksum(body):
        raise DataError("a cached value is damaged", stage="cache", fix="rankloom cache gc --all")
    end = _HEAD + int.from_bytes(body[:_HEAD], "little")
    values, shapes = json.loads(body[_HEAD:end])
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, (dtype, shape) in shapes.items():
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, dtype=dtype, count=count, offset=end).reshape(shape).copy()
        end += arrays[name].nbytes
    return values, arrays


def _checksum(body: bytes) -> bytes:
    """A short digest that tells whether bytes have changed."""
    return hashlib.blake2b(body, digest_size=_CHECK).digest()
