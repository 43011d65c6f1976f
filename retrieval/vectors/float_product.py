"""The product of matrices of float32: by torch where it is here, as its threads can be limited where ours are many.

NumPy's product has threads of its own, as many whoever calls, which wait for each other at every call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def float_product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """The products of all rows of one matrix with all rows of another, as exact as float32 is.

    Args:
        left: float32 of shape (rows, dimensions), not read-only.
        right: float32 of shape (other rows, dimensions), likewise.

    Returns:
        float32 of shape (rows, other rows).

    Example:
        >>> float_product(np.eye(2, dtype=np.float32), np.array([[3, 4]], dtype=np.float32)).tolist()
        [[3.0], [4.0]]
    """
    try:
        import torch
    except ImportError:
        return left @ right.T
    if not multiplies_float32("mkldnn"):
        return left @ right.T
    products: NDArray[np.float32] = torch.mm(torch.from_numpy(left), torch.from_numpy(right).T).numpy()
    return products


def multiplies_float32(backend: str) -> bool:
    """Whether torch multiplies float32 as it is, which it does unless somebody has told it to be quick instead.

    Args:
        backend: Of `torch.backends`: `cuda`, or `mkldnn` for the processor.
    """
    import torch

    own = getattr(torch.backends, backend)
    said = [getattr(place, "fp32_precision", "none") for place in (own.matmul, own, torch.backends)]
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:  # torch's old and new settings contradict each other
        return False
    return legacy == "highest" and all(one in ("none", "ieee") for one in said)
