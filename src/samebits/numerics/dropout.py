"""Dropout (N-21): a mask is a function of seed, step, sample, tensor and place, so that none is stored."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.arrays import F32, check_f32, check_shape, check_writable, pointer, row_stride
from samebits.numerics.host_scalars import decimal_of, nearest_f32
from samebits.numerics.observation import observed
from samebits.numerics.random import Stream, check_elements

# Rows and positions of attention weights are numbered by this stride, so that a sample's length does not reach a mask.
ATTENTION_STRIDE = 2**16


@observed()
def dropout(x: F32, p: float, stream: Stream, *, first: int = 0, out: F32 | None = None) -> F32:
    """Drop elements with probability `p` and scale the others by 1 / (1 - p); for a gradient, do the same to it.

    Bits: N-21. Element (r, i) is number first + r * n + i of the stream.

    Args:
        x: [rows, n] float32, one sample's rows, each contiguous and any distance apart; modified only as `out`.
        p: from 0 to 1, as its shortest decimal form says it.
        first: the number of x[0, 0]: n times the row's position in the unpadded sample.
        out: like `x`; it may be `x`.
    Returns:
        [rows, n] float32: `out`, or newly allocated.
    Raises:
        NumericsError: dtype, shape, strides, `p` or `first` do not fit.
    """
    where = "dropout, N-21"
    check_f32("x", x, n_dims=2, where=where)
    if out is None:
        out = np.empty(x.shape, dtype=np.float32)
    check_f32("out", out, n_dims=2, where=where)
    check_shape("out", out, x.shape, where=where)
    check_writable("out", out, where=where)
    x_row, out_row = row_stride("x", x, where=where), row_stride("out", out, where=where)
    if (pointer(x) != pointer(out) or x_row != out_row) and np.may_share_memory(x, out):
        raise NumericsError("`out` must be `x` or share no memory with it", where=where)
    rows, n = x.shape
    check_elements(first, rows * n, where=where)
    threshold, scale = threshold_and_scale(p)
    if threshold == 2**32:
        out[...] = 0.0
    elif p == 0:
        if pointer(x) != pointer(out):
            out[...] = x
    else:
        sizes_and_pointers = (rows, n, pointer(x), x_row, stream.address, first)
        outputs = (pointer(out), out_row, library.threads())
        library.loaded().call("sb_dropout_f32", *sizes_and_pointers, threshold, scale, *outputs)
    return out


@lru_cache
def threshold_and_scale(p: float) -> tuple[int, float]:
    """Return the least word that keeps an element, and the factor of what is kept.

    Raises:
        NumericsError: `p` is not from 0 to 1.
    """
    if not 0 <= p <= 1:
        raise NumericsError("the probability of dropout must be from 0 to 1", got=repr(p), where="N-21")
    exact = decimal_of(p)
    scale = nearest_f32(1 / (1 - exact)) if exact < 1 else math.inf
    return math.floor(exact * 2**32), scale
