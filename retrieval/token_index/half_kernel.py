"""The kernel of float16 storage: numbers of two bytes to numbers of four, six times as fast as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankloom.retrieval.index.compiled import compiled

_SIGN, _REST = np.int32(0x8000), np.int32(0x7FFF)
_EXPONENT = np.float32(2.0**112)  # what float32's exponents are larger by than float16's


@compiled
def widened(halves: Any, numbers: Any) -> None:
    """Finite float16 numbers as float32, exactly.

    Fraction and exponent are moved to their places in a float32, which is too small then by a power of two, and never
    by anything else: also where a float16 is below its normal numbers.

    Args:
        halves: Their bits, uint16 (rows, dimensions).
        numbers: Where they go, float32 (rows, dimensions).
    """
    bits = numbers.view(np.int32)
    for row in range(len(halves)):
        half, line, number = halves[row], bits[row], numbers[row]
        for place in range(len(half)):
            line[place] = (np.int32(half[place]) & _REST) << 13
        for place in range(len(half)):
            number[place] *= _EXPONENT
        for place in range(len(half)):
            line[place] |= (np.int32(half[place]) & _SIGN) << 16
