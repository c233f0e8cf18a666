"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import conversions

X = np.ones((3, 4), dtype=np.float32)
WORDS = np.ones((3, 4), dtype=np.uint16)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: conversions.convert_f32_bf16(WORDS),
            "`x` must be a float32 array of native byte order, got uint16 (convert_f32_bf16, N-14)",
        ),
        (
            lambda: conversions.convert_f16_f32(WORDS),
            "`x` must be a float16 array of native byte order, got uint16 (convert_f16_f32, N-14)",
        ),
        (lambda: conversions.convert_bf16_f32(WORDS.astype(">u2")), "`x` must be a uint16 array of native byte order"),
        (lambda: conversions.convert_f32_f16(X.T), "`x` must be C-contiguous, got strides (4, 16)"),
        (lambda: conversions.convert_f32_f16(X, out=WORDS), "`out` must be a float16 array of native byte order"),
        (lambda: conversions.convert_f32_bf16(X, out=WORDS[:2]), "`out` must be [3, 4], got [2, 4]"),
        (lambda: conversions.convert_f32_bf16(X, out=WORDS[:, ::-1]), "`out` must be C-contiguous"),
        (
            lambda: conversions.convert_f32_bf16(X.view(), out=X.view(np.uint16)[:, :4].copy().T[:3].T),
            "`out` must be [3, 4], got [3, 3]",
        ),
        (
            lambda: conversions.convert_f32_bf16(X[:1], out=X.view(np.uint16)[:1, :4]),
            "`out` must not share memory with `x`",
        ),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_a_read_only_output_is_refused() -> None:
    out = np.ones((3, 4), dtype=np.uint16)
    out.flags.writeable = False
    with pytest.raises(NumericsError, match="`out` must be writable"):
        conversions.convert_f32_bf16(X, out=out)


def test_shapes_are_kept_and_out_is_returned() -> None:
    assert conversions.convert_f32_bf16(np.ones((), np.float32)).shape == ()
    assert conversions.convert_f32_f16(np.empty((0, 5), np.float32)).shape == (0, 5)
    out = np.empty((3, 4), dtype=np.float32)
    assert conversions.convert_bf16_f32(WORDS, out=out) is out
