"""Arrays that do not fit are refused in one sentence; tests/oracle holds every bit of what fits against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics import library
from samebits.numerics.products_bf16 import linear_backward_bf16, linear_bf16, pack_bf16

X = np.ones((3, 4), dtype=np.float32)
WORDS = np.full((3, 4), 0x3F80, dtype=np.uint16)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: pack_bf16(X.astype(np.float16), layout="nk"),
            "`weight` must be a float32 or uint16 array of native byte order, got float16 (pack_bf16, N-05)",
        ),
        (lambda: pack_bf16(X, layout="xy"), """`layout` must be "nk" or "kn", got 'xy' (pack_bf16, N-05)"""),
        (lambda: pack_bf16(WORDS[0], layout="nk"), "`weight` must have 2 dimensions, got [4] (pack_bf16, N-05)"),
        (lambda: pack_bf16(np.ones((6, 8), np.uint16)[::2, ::2], layout="kn"), "a stride of `weight` must be one"),
        (
            lambda: linear_bf16(X[:, :2], pack_bf16(X, layout="nk")),
            "`x` must be [M, K] = [M, 4], got [3, 2] (linear_bf16, N-05)",
        ),
        (
            lambda: linear_bf16(X.astype(np.float64), pack_bf16(X, layout="nk")),
            "`x` must be a float32 or uint16 array of native byte order, got float64 (linear_bf16, N-05)",
        ),
        (lambda: linear_bf16(X, pack_bf16(X, layout="nk"), X[0]), "`bias` must be [3], got [4] (linear_bf16, N-05)"),
        (
            lambda: linear_bf16(X, pack_bf16(X, layout="nk"), accumulate=True),
            "`out` must be given to accumulate into (linear_bf16, N-05)",
        ),
        (
            lambda: linear_bf16(WORDS, pack_bf16(X, layout="nk"), out=WORDS[:, :3]),
            "`out` must be a float32 array of native byte order, got uint16",
        ),
        (
            lambda: linear_bf16(X[:, :4], pack_bf16(X, layout="nk"), out=X[:, 1:]),
            "`out` must not share memory with `x` (linear_bf16, N-05)",
        ),
        (
            lambda: linear_bf16(X, pack_bf16(X, layout="nk"), out=np.ones((2, 2), np.float32)),
            "`out` must be [3, 3], got [2, 2]",
        ),
        (
            lambda: linear_backward_bf16(X, pack_bf16(X, layout="nk")),
            "`dy` must be [M, N] = [M, 3], got [3, 4] (linear_backward_bf16, N-05)",
        ),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_a_read_only_output_is_refused() -> None:
    out = np.ones((3, 3), dtype=np.float32)
    out.flags.writeable = False
    with pytest.raises(NumericsError, match="`out` must be writable"):
        linear_bf16(X, pack_bf16(X, layout="nk"), out=out)


def test_one_packing_serves_every_library() -> None:
    weight = pack_bf16(WORDS, layout="nk")
    for isa in library.runnable_isas():
        with library.using(library.open_library(isa)):
            assert pack_bf16(X, layout="nk").data.tobytes() == weight.data.tobytes()
            assert linear_bf16(X, weight).tolist() == [[4.0] * 3] * 3
