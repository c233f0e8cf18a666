"""Arrays that do not fit are refused in one sentence; unusual ones that fit are taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from samebits.errors import NumericsError
from samebits.numerics.pointwise import call_of_two, call_of_x

X = np.ones((3, 4), dtype=np.float32)


def relu(x: object, out: object = None) -> object:
    return call_of_x("sb_relu_f32", "relu, N-08", x, out)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: relu([1.0]), "`x` must be a float32 array of native byte order, got list (relu, N-08)"),
        (lambda: relu(X.astype(np.float64)), "`x` must be a float32 array of native byte order, got float64"),
        (lambda: relu(X.T), "`x` must be C-contiguous"),
        (lambda: relu(X, X.copy()[:2]), "`out` must be [3, 4], got [2, 4] (relu, N-08)"),
        (lambda: relu(X, np.ones((3, 8), dtype=np.float32)[:, ::2]), "`out` must be C-contiguous"),
        (lambda: relu(X, np.broadcast_to(X[0], (3, 4))), "`out` must be C-contiguous"),
    ],
)
def test_bad_arrays_are_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(NumericsError) as refused:
        call()
    assert str(refused.value).startswith(sentence)


def test_outputs_that_cannot_be_are_refused() -> None:
    room, frozen = np.ones(10, dtype=np.float32), np.ones(8, dtype=np.float32)
    frozen.flags.writeable = False
    for out, sentence in ((room[2:], "share no memory"), (frozen, "must be writable")):
        with pytest.raises(NumericsError, match=sentence):
            relu(room[:8], out)


def test_unusual_arrays_are_taken() -> None:
    """Read-only, empty, zero-dimensional and of a subclass."""
    frozen = np.full(5, -1.0, dtype=np.float32)
    frozen.flags.writeable = False
    assert np.array_equal(relu(frozen), np.zeros(5, dtype=np.float32))  # type: ignore[arg-type]
    for array in (np.ones((0, 3), dtype=np.float32), np.array(2.0, dtype=np.float32), X.view(np.matrix)):
        result = relu(array)
        assert isinstance(result, np.ndarray)
        assert result.shape == array.shape
        assert np.array_equal(result, array)


def test_an_output_may_be_either_operand_of_two() -> None:
    def gradient(x: np.ndarray, y: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        return call_of_two("sb_tanh_backward_f32", "tanh_backward, N-08", ("x", "y"), x, y, out)

    x, y = X * np.float32(3.0), X * np.float32(0.5)
    assert gradient(x, y, None).tolist() == (X * np.float32(2.25)).tolist()
    assert gradient(x, y.copy(), x) is x
    x = X * np.float32(3.0)
    assert gradient(x, y, y) is y
    assert x.tolist() == (X * np.float32(3.0)).tolist()
    room = np.ones(15, dtype=np.float32)
    with pytest.raises(NumericsError, match="share no memory"):
        gradient(room[:12], room[:12], room[3:])
