"""Document lengths in one byte, as Lucene keeps them.

Lucene stores the length of a document in a byte: exact up to 39 terms, then with four significant bits (SmallFloat's
`intToByte4`), rounded down. BM25 sees the rounded length. Scores that are to agree with Lucene's must do the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EXACT = 24  # lengths below are their own code; above, three bits of mantissa and a shift encode length - 24


def _length(code: int) -> int:
    """The length that a byte stands for."""
    if code < _EXACT:
        return code
    mantissa, shift = (code - _EXACT) & 7, ((code - _EXACT) >> 3) - 1
    return _EXACT + (mantissa if shift < 0 else (mantissa | 8) << shift)


#: The length that each byte stands for, int64 of shape (256,), ascending.
LENGTHS: NDArray[np.int64] = np.array([_length(code) for code in range(256)], dtype=np.int64)
LENGTHS.setflags(write=False)


def length_codes(lengths: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The byte of each length: the largest that stands for no more.

    Args:
        lengths: Terms in each document, int32 of shape (documents,), not negative.

    Example:
        >>> LENGTHS[length_codes(np.array([7, 39, 41, 250, 1000], dtype=np.int32))].tolist()
        [7, 39, 40, 248, 984]
    """
    return np.asarray(np.searchsorted(LENGTHS, lengths, side="right") - 1, dtype=np.uint8)
