"""What the kernels demand of NumPy arrays, said in one sentence where it does not hold."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from samebits.errors import NumericsError

F32 = np.ndarray[Any, np.dtype[np.float32]]
# NumPy has no bfloat16: its patterns are an array of uint16.
BF16 = np.ndarray[Any, np.dtype[np.uint16]]
F16 = np.ndarray[Any, np.dtype[np.float16]]
Numbers = F32 | BF16 | F16
FLOAT32, UINT16, FLOAT16 = np.dtype(np.float32), np.dtype(np.uint16), np.dtype(np.float16)
ITEM_BYTES = 4
LINE_BYTES = 64


def check_f32(name: str, array: Any, *, n_dims: int | None, where: str) -> None:
    """Refuse what is not an aligned float32 array in this machine's byte order with `n_dims` dimensions."""
    check_dtype(name, array, (FLOAT32,), n_dims=n_dims, where=where)


def check_dtype(name: str, array: Any, dtypes: tuple[np.dtype[Any], ...], *, n_dims: int | None, where: str) -> None:
    """Refuse what is not an aligned array of one of `dtypes` in native byte order with `n_dims` dimensions."""
    if not isinstance(array, np.ndarray) or array.dtype not in dtypes or not array.flags.aligned:
        if not isinstance(array, np.ndarray):
            got = type(array).__name__
        elif array.dtype not in dtypes:
            got = f"{array.dtype}"
        else:
            got = "an unaligned one"
        must = f"`{name}` must be a {' or '.join(map(str, dtypes))} array of native byte order"
        raise NumericsError(must, got=got, where=where)
    if n_dims is not None and array.ndim != n_dims:
        raise NumericsError(f"`{name}` must have {n_dims} dimensions", got=shape_text(array.shape), where=where)


def check_shape(name: str, array: Numbers, shape: tuple[int, ...], *, where: str) -> None:
    """Refuse another shape."""
    if array.shape != shape:
        must = f"`{name}` must be {shape_text(shape)}"
        raise NumericsError(must, got=shape_text(array.shape), where=where)


def check_contiguous(name: str, array: Numbers, *, where: str) -> None:
    """Refuse an array with gaps."""
    if not array.flags.c_contiguous:
        raise NumericsError(f"`{name}` must be C-contiguous", got=f"strides {array.strides}", where=where)


def check_apart(name: str, out: Numbers, other: str, operand: Numbers, *, where: str) -> None:
    """Refuse an output that shares memory with an operand that is still read.

    Columns of one buffer lie apart, though their spans of memory overlap.
    """
    if np.may_share_memory(out, operand) and np.shares_memory(out, operand):
        raise NumericsError(f"`{name}` must not share memory with `{other}`", where=where)


def check_writable(name: str, array: Numbers, *, where: str) -> None:
    """Refuse an output that may not be written."""
    if not array.flags.writeable:
        raise NumericsError(f"`{name}` must be writable", where=where)


def row_stride(name: str, array: F32, *, where: str) -> int:
    """Return the distance between rows, in elements, of a [rows, n] array whose rows are contiguous."""
    rows, n = array.shape
    if rows and n > 1 and array.strides[1] != ITEM_BYTES:
        raise NumericsError(f"the rows of `{name}` must be contiguous", got=f"strides {array.strides}", where=where)
    return n if rows <= 1 else whole_stride(name, array.strides[0], where=where)


def matrix_strides(name: str, matrix: Numbers, *, where: str) -> tuple[int, int]:
    """Return row and column strides in elements, one of them 1; a dimension of one element takes what suits."""
    rows, columns = matrix.shape
    row_bytes, column_bytes = matrix.strides
    item_bytes = matrix.itemsize
    if columns <= 1 or column_bytes == item_bytes:
        return columns if rows <= 1 else whole_stride(name, row_bytes, item_bytes, where=where), 1
    if rows <= 1 or row_bytes == item_bytes:
        return 1, whole_stride(name, column_bytes, item_bytes, where=where)
    raise NumericsError(f"a stride of `{name}` must be one element", got=f"strides {matrix.strides}", where=where)


def whole_stride(name: str, stride_bytes: int, item_bytes: int = ITEM_BYTES, *, where: str) -> int:
    """Return a stride in elements."""
    if stride_bytes % item_bytes:
        raise NumericsError(f"the strides of `{name}` must be whole elements", got=f"{stride_bytes} bytes", where=where)
    return stride_bytes // item_bytes


def heads(name: str, array: F32, *, where: str) -> tuple[int, int, int]:
    """Return where [n, heads, D] lies and how far rows and heads are apart, in elements; heads must be contiguous."""
    n, n_heads, d = array.shape
    if array.size and d > 1 and array.strides[2] != ITEM_BYTES:
        raise NumericsError(f"the heads of `{name}` must be contiguous", got=f"strides {array.strides}", where=where)
    row = whole_stride(name, array.strides[0], where=where) if n > 1 else n_heads * d
    return pointer(array), row, whole_stride(name, array.strides[1], where=where) if n_heads > 1 else d


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as errors print it."""
    return "[" + ", ".join(map(str, shape)) + "]"


def pointer(array: Numbers) -> int:
    """Return where the first element lies."""
    address: int = array.__array_interface__["data"][0]
    return address


def pointer_of_contiguous(array: F32) -> int:
    """Return the same of a C-contiguous array, five times as fast where it can be written and is not empty."""
    buffer: Any = array
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    except (TypeError, ValueError):
        return pointer(array)


def empty_by_lines(n: int) -> F32:
    """Return `n` floats that start on a cache line."""
    raw = np.empty(n + LINE_BYTES // ITEM_BYTES, dtype=np.float32)
    start = -(pointer(raw) // ITEM_BYTES) % (LINE_BYTES // ITEM_BYTES)
    return raw[start : start + n]
