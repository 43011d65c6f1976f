"""The product of matrices of int8, by torch, which has instructions of the processor for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numpy.typing import NDArray

_PRODUCT = "_int_mm"  # torch has no public name for it


@cache
def int8_product() -> Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], None] | None:
    """Torch's product of int8 matrices, where torch is here and the processor has instructions for it (VNNI).

    Returns:
        A function that puts the products of all rows of its first argument, int8 (rows, dimensions), with all rows of
        its second into its third, int32 (rows of the first, rows of the second); or None.
    """
    try:
        import torch
    except ImportError:
        return None
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    product = getattr(torch, _PRODUCT, None)
    if product is None or supported is None or not supported():
        return None

    def into(left: NDArray[Any], right: NDArray[Any], products: NDArray[Any]) -> None:
        product(tensor_of(left), tensor_of(right).T, out=torch.from_numpy(products))

    return into


def tensor_of(array: NDArray[Any]) -> Any:
    """A tensor over an array's memory, which may be a file mapped to be read: `torch.from_numpy` warns of those.

    A map that could be written to would do, too, but the system counts it as memory, and refuses one larger than that.
    """
    import torch
    from torch.utils.dlpack import from_dlpack

    try:
        return from_dlpack(array)
    except (BufferError, RuntimeError):  # NumPy before 2.1 hands out nothing that can not be written to
        return torch.from_numpy(array)
