"""Products of int8 rows with the vectors of queries, by the instruction that processors have for it (AVX-512 VNNI).

`vpdpbusd` multiplies 64 unsigned bytes with 64 signed ones, and adds each four products that lie side by side to one of
16 sums. No loop makes LLVM use it, so it is called by its name in LLVM; the functions named after what they do with
`Sums`, 16 whole numbers in a register, are each an instruction or two. The rest is a plain loop over four rows and 32
query vectors at a time, whose 128 sums stay in registers.

Query vectors are *packed* for it: of 32 vectors the first four numbers of each, then the next four of each, and so on.
Four numbers of a row are spread over a register and meet all of them. Rows are signed, so 128 is added to each number
of theirs; what that adds to a sum is the same for every row, and sums start from its negative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from rankloom.retrieval.index.compiled import nested

TOGETHER = 4  # numbers that one sum takes in at a time
ROWS = 4  # rows multiplied at a time
_VECTORS = 32  # query vectors multiplied at a time: two registers of sums for each row
_REGISTER = 64  # bytes
_FLIP = 0x80808080  # the highest bit of four bytes: flipping it adds 128 to a signed byte, and makes it unsigned
_BYTE, _WHOLE = ir.IntType(8), ir.IntType(32)
_SUMS = ir.VectorType(_WHOLE, 16)


def has_instruction() -> bool:
    """Whether kernels are compiled for a processor that has it."""
    config: Any = numba.config  # its type hints leave out what it reads from the environment
    if config.DISABLE_JIT or config.CPU_NAME or config.CPU_FEATURES:  # for another processor, perhaps
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512vnni", False))


def packed(vectors: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Query vectors as `int8_products` reads them, with zeros where there are fewer than a multiple of 32.

    Args:
        vectors: int8 of shape (query vectors, dimensions), the latter a multiple of four.

    Returns:
        int8 of shape (blocks, dimensions / 4, 32, 4), and what sums start from: int32 of shape (blocks, 32).
    """
    blocks, groups = -(-len(vectors) // _VECTORS), vectors.shape[1] // TOGETHER
    filled = np.zeros((blocks * _VECTORS, vectors.shape[1]), dtype=np.int8)
    filled[: len(vectors)] = vectors
    starts = -128 * filled.sum(axis=1, dtype=np.int32).reshape(blocks, _VECTORS)
    grouped = filled.reshape(blocks, _VECTORS, groups, TOGETHER).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grouped), starts


@nested
def int8_products(codes: Any, first: Any, last: Any, query: Any, starts: Any, products: Any) -> None:
    """Products of rows `first` to `last` with the vectors of queries.

    Args:
        codes: int8 (rows, dimensions).
        first: The first row.
        last: One past the last.
        query: int8 (blocks, dimensions / 4, 32, 4), and the next: as `packed` makes them.
        starts: int32 (blocks, 32).
        products: Where they go from its first row on, int32 (at least so many rows rounded up to a multiple of four, 32
            for each block).
    """
    width, line = codes.shape[1], products.shape[1] * 4
    for block in range(len(query)):
        numbers, here = query[block], block * 2 * _REGISTER
        low, high = _load(starts[block], 0), _load(starts[block], _REGISTER)
        for row in range(first, last, ROWS):
            a, b = row * width, min(row + 1, last - 1) * width
            c, d = min(row + 2, last - 1) * width, min(row + 3, last - 1) * width
            a_low, b_low, c_low, d_low = low, low, low, low
            a_high, b_high, c_high, d_high = high, high, high, high
            for group in range(len(numbers)):
                one = _load(numbers, group * 2 * _REGISTER)
                other = _load(numbers, group * 2 * _REGISTER + _REGISTER)
                four = _spread(codes, a + group * TOGETHER)
                a_low, a_high = _add_products(a_low, four, one), _add_products(a_high, four, other)
                four = _spread(codes, b + group * TOGETHER)
                b_low, b_high = _add_products(b_low, four, one), _add_products(b_high, four, other)
                four = _spread(codes, c + group * TOGETHER)
                c_low, c_high = _add_products(c_low, four, one), _add_products(c_high, four, other)
                four = _spread(codes, d + group * TOGETHER)
                d_low, d_high = _add_products(d_low, four, one), _add_products(d_high, four, other)
            place = (row - first) * line + here
            _store(products, place, a_low)
            _store(products, place + _REGISTER, a_high)
            _store(products, place + line, b_low)
            _store(products, place + line + _REGISTER, b_high)
            _store(products, place + 2 * line, c_low)
            _store(products, place + 2 * line + _REGISTER, c_high)
            _store(products, place + 3 * line, d_low)
            _store(products, place + 3 * line + _REGISTER, d_high)


class Sums(types.Type):
    """16 whole numbers of 32 bits, or 64 of 8, in a register."""


@register_model(Sums)
class _SumsModel(models.PrimitiveModel):
    """How LLVM sees them."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, be_type=_SUMS)  # type: ignore[no-untyped-call]  # numba ships no type hints


def _pointer(context: Any, builder: Any, kinds: Any, values: Any, target: Any) -> Any:
    """Where an array's byte of some number lies, as a pointer to something; array and number are the first values."""
    array, place = values[:2]
    data = context.make_array(kinds[0])(context, builder, array).data
    return builder.bitcast(builder.gep(builder.bitcast(data, _BYTE.as_pointer()), [place]), target.as_pointer())


def _instruction(emitting: Callable[..., Any]) -> Any:
    """A function for kernels, by the LLVM code it stands for. Numba's hints count an argument that no caller gives."""
    return intrinsic(emitting)


@_instruction
def _load(_: Any, array: Any, _place: Any) -> Any:
    """64 bytes of an array."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loaded = builder.load(_pointer(context, builder, signature.args, values, _SUMS))
        loaded.align = 1
        return loaded

    return Sums("Sums")(array, types.intp), emit


@_instruction
def _store(_: Any, array: Any, _place: Any, _sums: Any) -> Any:
    """Put 64 bytes into an array."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _pointer(context, builder, signature.args, values, _SUMS)).align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, Sums("Sums")), emit


@_instruction
def _spread(_: Any, array: Any, _place: Any) -> Any:
    """Four signed bytes of an array, made unsigned, 16 times."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        four = builder.load(_pointer(context, builder, signature.args, values, _WHOLE))
        four.align = 1
        one = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), builder.xor(four, _WHOLE(_FLIP)), _WHOLE(0))
        return builder.shuffle_vector(one, one, ir.Constant(_SUMS, [0] * 16))

    return Sums("Sums")(array, types.intp), emit


@_instruction
def _add_products(_: Any, sums: Any, unsigned: Any, signed: Any) -> Any:
    """Sums, and to each of them four products of unsigned bytes with signed ones."""

    def emit(_: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ARG001
        name = "llvm.x86.avx512.vpdpbusd.512"
        known = builder.module.globals.get(name)
        return builder.call(known or ir.Function(builder.module, ir.FunctionType(_SUMS, [_SUMS] * 3), name), values)

    return Sums("Sums")(sums, unsigned, signed), emit
