"""What the kernels demand of NumPy arrays, said in one sentence where it does not hold."""

from __future__ import annotations

from ctypes import addressof, c_char, c_float
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
# Bits of `ndarray.flags.num`. One look at them costs a tenth of a look at the attributes that they stand for.
C_CONTIGUOUS, F_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x2, 0x100, 0x400
READABLE = C_CONTIGUOUS | ALIGNED
PLAIN = READABLE | WRITEABLE
_buffer_of: Any = c_char.from_buffer


# What is plain passes each check after one look, for a call on a small array costs more than its kernel; what is not
# (a subclass of ndarray among it, which may pass, too) is looked at point by point.


def check_f32(name: str, array: Any, *, n_dims: int | None, where: str) -> None:
    """Refuse what is not an aligned float32 array in this machine's byte order with `n_dims` dimensions."""
    if type(array) is np.ndarray and array.dtype is FLOAT32 and array.flags.num & ALIGNED and array.ndim == n_dims:
        return
    check_dtype(name, array, (FLOAT32,), n_dims=n_dims, where=where)


def check_dtype(name: str, array: Any, dtypes: tuple[np.dtype[Any], ...], *, n_dims: int | None, where: str) -> None:
    """Refuse what is not an aligned array of one of `dtypes` in native byte order with `n_dims` dimensions."""
    if type(array) is np.ndarray and array.dtype in dtypes and array.flags.num & ALIGNED and array.ndim == n_dims:
        return
    got = ""
    if not isinstance(array, np.ndarray):
        got = type(array).__name__
    elif array.dtype not in dtypes:
        got = f"{array.dtype}"
    elif not array.flags.aligned:
        got = "an unaligned one"
    if got:
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


def plain_address(array: Any, shape: tuple[int, ...]) -> int:
    """Return where a plain float32 array of this shape lies, writable and without gaps; 0 where one look is not enough.

    What is 0 here may fit all the same: it is for the checks to say.
    """
    if (
        type(array) is np.ndarray
        and array.dtype is FLOAT32
        and array.flags.num & PLAIN == PLAIN
        and array.shape == shape
        and array.size
    ):
        return addressof(_buffer_of(array))
    return 0


def whole_address(
    name: str, array: Any, shape: tuple[int, ...], *, n_dims: int | None = None, writable: bool = False, where: str
) -> int:
    """Return where an array lies; refuse what is not an aligned float32 array of this shape without gaps.

    Args:
        n_dims: a number of dimensions to name before the shape.
        writable: refuse also what may not be written.
    """
    if address := plain_address(array, shape):
        return address
    check_dtype(name, array, (FLOAT32,), n_dims=n_dims, where=where)
    check_shape(name, array, shape, where=where)
    check_contiguous(name, array, where=where)
    if writable:
        check_writable(name, array, where=where)
    return pointer(array)


def check_apart(name: str, out: Numbers, other: str, operand: Numbers, *, where: str) -> None:
    """Refuse an output that shares memory with an operand that is still read.

    Columns of one buffer lie apart, though their spans of memory overlap.
    """
    if np.may_share_memory(out, operand) and np.shares_memory(out, operand):
        raise NumericsError(f"`{name}` must not share memory with `{other}`", where=where)


def check_writable(name: str, array: Numbers, *, where: str) -> None:
    """Refuse an output that may not be written."""
    if not array.flags.num & WRITEABLE:
        raise NumericsError(f"`{name}` must be writable", where=where)


def row_stride(name: str, array: F32, *, where: str) -> int:
    """Return the distance between rows, in elements, of a [rows, n] array whose rows are contiguous."""
    rows, n = array.shape
    if rows and n > 1 and array.strides[1] != ITEM_BYTES:
        raise NumericsError(f"the rows of `{name}` must be contiguous", got=f"strides {array.strides}", where=where)
    return n if rows <= 1 else whole_stride(name, array.strides[0], where=where)


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


def pointer(array: Any) -> int:
    """Return where the first element lies."""
    # A buffer tells in a third of the time, but not of what is empty, read-only or has gaps.
    flags = array.flags.num
    if flags & WRITEABLE:
        try:
            whole = array if flags & C_CONTIGUOUS else array.T if flags & F_CONTIGUOUS else array[:1]
            return addressof(_buffer_of(whole))
        except (TypeError, ValueError):
            pass
    address: int = array.__array_interface__["data"][0]
    return address


def empty_by_lines(n: int) -> F32:
    """Return `n` floats that start on a cache line."""
    raw = np.empty(n + LINE_BYTES // ITEM_BYTES, dtype=np.float32)
    start = -(pointer(raw) // ITEM_BYTES) % (LINE_BYTES // ITEM_BYTES)
    return raw[start : start + n]


def float32_value(name: str, number: float, *, where: str) -> float:
    """Return a number that is a float32 value; refuse another: rounding it belongs to the caller, who can say how."""
    if c_float(number).value != number:
        raise NumericsError(f"`{name}` must be a float32 value", got=float(number).hex(), where=where)
    return float(number)
