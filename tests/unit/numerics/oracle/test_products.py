"""A product by hand; tests/oracle holds every kernel against this function."""

from __future__ import annotations

from samebits.numerics.oracle.binary32 import ONE, ZERO
from samebits.numerics.oracle.products import mm

TWO, THREE, EIGHT = 0x40000000, 0x40400000, 0x41000000


def test_a_chain_a_bias_and_what_was_there() -> None:
    assert mm([[ONE, TWO]], [[ONE], [TWO]], n=1, bias=[THREE]) == [[EIGHT]]
    assert mm([[TWO]], [[ONE]], n=1, bias=[THREE], onto=[[THREE]]) == [[EIGHT]]
    assert mm([[]], [], n=2) == [[ZERO, ZERO]]
