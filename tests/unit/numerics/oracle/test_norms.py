"""Rows by hand; tests/oracle holds every kernel against these functions."""

from __future__ import annotations

from samebits.numerics.oracle import norms
from samebits.numerics.oracle.binary32 import ONE, SIGN, ZERO

HALF, TWO, THREE, FOUR = 0x3F000000, 0x40000000, 0x40400000, 0x40800000


def test_a_row_and_its_gradients() -> None:
    assert norms.layer_norm([ONE, THREE], None, None, ZERO) == ([SIGN | ONE, ONE], TWO, ONE)
    assert norms.layer_norm([ONE, THREE], [TWO, TWO], [ONE, ONE], ZERO)[0] == [SIGN | ONE, THREE]
    assert norms.layer_norm_backward([ONE, ONE], [ONE, THREE], TWO, ONE, None) == [ZERO, ZERO]
    assert norms.layer_norm_backward_weight([ONE, ONE], [ONE, THREE], [TWO, TWO], [ONE, ONE]) == (ZERO, TWO)


def test_rms_norm_takes_no_mean_off() -> None:
    assert norms.rms_norm([TWO, TWO], [TWO, ONE], ZERO) == ([TWO, ONE], HALF)
    assert norms.rms_norm_backward([TWO, ZERO], [TWO, TWO], HALF, None) == [HALF, SIGN | HALF]
    assert norms.rms_norm_backward_weight([TWO, ONE], [TWO, FOUR], [HALF, HALF]) == FOUR


def test_the_count_is_a_float32() -> None:
    assert norms.count([ZERO] * 3) == THREE
