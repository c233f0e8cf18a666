"""N-08: functions by fixed polynomials.

Decimals are from mpmath at 60 digits. A kernel's answer is told from a mere approximation by its bits: where it is not
the nearest float32 the test says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from samebits.numerics import functions
from samebits.numerics.arrays import F32
from samebits.numerics.build import NATIVE
from samebits.numerics.library import Library
from samebits.numerics.ops import OPS

Parse = Callable[[Sequence[str]], F32]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "spec" / "numerics.md"
ORACLE = NATIVE.parent / "oracle"
SOURCES = ("functions", "trigonometric", "activations")
INF, NAN = float("inf"), float("nan")
ENDS = [-0.0, 0.0, -INF, INF]


def of_x(name: str, x: F32) -> F32:
    if name == "gelu_tanh":
        return functions.gelu(x, approximate="tanh")
    function: Callable[[F32], F32] = getattr(functions, name)
    return function(x)


@pytest.mark.parametrize(
    ("name", "x", "exact"),
    [
        ("exp", 1.0, "2.7182818284590452354"),
        ("exp", -87.5, "9.98235093056924755599e-39"),
        ("exp", -100.0, "3.72007597602083596296e-44"),
        ("log", 2.0, "0.69314718055994530942"),
        ("log", 10.0, "2.3025850929940456840"),
        ("log", 2.0**-149, "-103.278929903431851103"),
        ("sin", 0.5, "0.47942553860420300027"),
        ("sin", 2.0**100, "-0.872183605418267309781"),
        ("cos", 1.0, "0.54030230586813971740"),
        ("cos", 2.0**100, "0.489178656974721449906"),
        ("tanh", 1.0, "0.76159415595576488812"),
        ("erf", 1.0, "0.84270079294971486934"),
        ("sigmoid", 1.0, "0.73105857863000487925"),
        ("sigmoid", -100.0, "3.72007597602083596296e-44"),
        ("silu", 1.0, "0.73105857863000487925"),
        ("gelu", 1.0, "0.84134474606854294859"),
        ("gelu_tanh", 1.0, "0.841191990608276704782"),
    ],
)
def test_nearest_to_the_exact_value(native: Library, name: str, x: float, exact: str) -> None:
    assert of_x(name, np.array([x], dtype=np.float32))[0] == np.float32(exact)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exp", [1.0, 1.0, 0.0, INF]),
        ("log", [-INF, -INF, NAN, INF]),
        ("sin", [-0.0, 0.0, NAN, NAN]),
        ("cos", [1.0, 1.0, NAN, NAN]),
        ("tanh", [-0.0, 0.0, -1.0, 1.0]),
        ("erf", [-0.0, 0.0, -1.0, 1.0]),
        ("sigmoid", [0.5, 0.5, 0.0, 1.0]),
        ("silu", [-0.0, 0.0, -0.0, INF]),
        ("gelu", [-0.0, 0.0, -0.0, INF]),
        ("gelu_tanh", [-0.0, 0.0, -0.0, INF]),
        ("relu", [0.0, 0.0, 0.0, INF]),
    ],
)
def test_ends(native: Library, name: str, expected: list[float]) -> None:
    actual = of_x(name, np.array(ENDS, dtype=np.float32))
    assert [float(y).hex() for y in actual] == [y.hex() for y in expected]


def test_gradients(native: Library, f32: Parse) -> None:
    """At 0 every derivative is known: 1, 1/4, 1/2; d counts once; the threshold itself does not pass."""
    zero, d = f32(["0x0p+0"]), f32(["0x1.8p+1"])
    assert functions.tanh_backward(d, zero) == 3.0
    assert functions.sigmoid_backward(d, f32(["0x1p-1"])) == 0.75
    assert functions.silu_backward(d, zero) == 1.5
    assert functions.gelu_backward(d, zero) == 1.5
    assert functions.gelu_backward(d, zero, approximate="tanh") == 1.5
    assert functions.threshold_backward(d, d, 3.0).view(np.uint32) == 0
    assert functions.threshold_backward(d, d, 2.0) == 3.0


def test_far_from_0_gradients_are_0_or_1(native: Library) -> None:
    x, ones = np.array([-INF, -200.0, 200.0, INF], dtype=np.float32), np.ones(4, dtype=np.float32)
    for slope in (
        functions.silu_backward(ones, x),
        functions.gelu_backward(ones, x),
        functions.gelu_backward(ones, x, approximate="tanh"),
    ):
        assert slope.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_nan_is_not_hidden(native: Library) -> None:
    """N-03 promises no bits past a NaN; but one that vanished would go unnoticed."""
    nan = np.array([0x7FC00000, 0xFFC00000, 0x7F812345] * 7, dtype=np.uint32).view(np.float32)
    ones = np.ones_like(nan)
    for op in OPS:
        if op.clause == "N-08" and not op.name.endswith("_backward"):
            assert np.isnan(of_x(op.name, nan)).all(), op.name
    for gradient in (functions.silu_backward, functions.tanh_backward, functions.sigmoid_backward):
        assert np.isnan(gradient(ones, nan)).all()
        assert np.isnan(gradient(nan, ones)).all()


def constants(text: str) -> set[float]:
    """Return the sizes of the hex floats with a fraction, and of C++'s decimal ones."""
    found = re.findall(r"0x[01]\.[0-9a-f]+p[+-]?\d+", text) + re.findall(r"\b\d+\.\d+f\b", text)
    return {float.fromhex(word) if "x" in word else float(word[:-1]) for word in found}


def clause(number: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index(f"## {number} ") :].split("\n## ", 1)[0]


def test_page_oracle_and_kernels_have_the_same_constants() -> None:
    page = constants(clause("N-08"))
    oracle = constants("".join((ORACLE / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES))
    native = constants("".join((NATIVE / f"{name}.hpp").read_text(encoding="utf-8") for name in SOURCES))
    assert len(page) > 60
    assert page == oracle
    assert page <= native | {float.fromhex("0x1.8p+23")}


def test_both_long_constants_are_the_pages() -> None:
    for long in ("a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561", "c90fdaa22168c234"):
        assert f"0x{long}" in clause("N-08")
        assert f"0x{long}" in (ORACLE / "trigonometric.py").read_text(encoding="utf-8").lower()
        native = (NATIVE / "trigonometric.hpp").read_text(encoding="utf-8")
        assert all(long[i : i + 8] in native for i in range(0, len(long), 8))


@pytest.mark.parametrize("number", ["N-08", "N-15"])
def test_the_pages_errors_are_the_tables(number: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|$", clause(number), re.MULTILINE))
    expected = {op.name: op.error_ulp for op in OPS if op.clause == number and op.error_ulp is not None}
    assert {name: float(error) for name, error in rows.items()} == expected
