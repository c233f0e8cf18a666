"""Another library leaves flush-to-zero, or another rounding, switched on: the kernels do not care (N-01)."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest

from samebits.numerics import build, elementwise, library, products
from samebits.numerics.canaries.check import check_canaries
from samebits.numerics.library import Library

if platform.machine().lower() not in ("x86_64", "amd64"):
    pytest.skip("these states are x86-64's", allow_module_level=True)

MASKED = 0x1F80
STATES = {
    "flush to zero": MASKED | 0x8000,
    "subnormals are zero": MASKED | 0x0040,
    "both": MASKED | 0x8040,
    "round down": MASKED | 0x2000,
    "round up": MASKED | 0x4000,
    "round to zero": MASKED | 0x6000,
}
HOSTILE = """
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT unsigned get_state() { unsigned state; asm volatile("stmxcsr %0" : "=m"(state)); return state; }
EXPORT void set_state(unsigned state) { asm volatile("ldmxcsr %0" ::"m"(state)); }
"""
LeftIn = Callable[[int], AbstractContextManager[Callable[[], int]]]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> LeftIn:
    """A library of somebody else that changes this thread's state."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile.cpp").write_text(HOSTILE, encoding="utf-8")
    path = build.build(native=folder, folder=folder / "lib", isas=["baseline"], sources=["hostile.cpp"], compiler="")
    functions = ctypes.CDLL(str(path["baseline"]))

    @contextmanager
    def left_in(state: int) -> Iterator[Callable[[], int]]:
        before = functions.get_state()
        functions.set_state(state)
        try:
            yield lambda: functions.get_state() & 0xFFC0
        finally:
            functions.set_state(before)

    return left_in


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
def test_kernels_do_not_care_and_give_the_state_back(hostile: LeftIn, state: int, best_isa: str) -> None:
    operands = np.random.default_rng(1).integers(0, 0x01000000, (2, 3000), dtype=np.uint32).view(np.float32)
    with library.using(library.open_library(best_isa)):
        expected = elementwise.add(*operands).tobytes()
        with hostile(state) as current:
            assert elementwise.add(*operands).tobytes() == expected
            check_canaries()
            assert current() == state & 0xFFC0


def test_a_kernel_without_the_guard_is_caught(hostile: LeftIn, faulty: Callable[..., Library]) -> None:
    """The planted fault: no state is set. The same check that passes above must fail here."""
    unguarded = faulty(("pool.cpp", "  FloatState state;\n", ""))
    operands = np.random.default_rng(1).integers(0, 0x01000000, (2, 3000), dtype=np.uint32).view(np.float32)
    with library.using(unguarded):
        check_canaries()
        expected = elementwise.add(*operands).tobytes()
        for name, state in STATES.items():
            with hostile(state):
                assert elementwise.add(*operands).tobytes() != expected, name


def test_threads_of_the_pool_are_guarded_too(hostile: LeftIn, faulty: Callable[..., Library]) -> None:
    """Threads started while flushing was on inherit it: with the guard on the caller alone, their parts differ."""
    caller_only = faulty(
        ("pool.cpp", "  FloatState state;\n  part(job, i, n_parts);", "  part(job, i, n_parts);"),
        ("pool.cpp", "  pool_->part = part;", "  FloatState state;\n  pool_->part = part;"),
    )
    x = np.full((600, 64), 2.0**-73, dtype=np.float32)
    before = library.threads()
    try:
        results = {}
        for name, used in (("guarded", faulty()), ("caller only", caller_only)):
            with library.using(used), hostile(STATES["both"]):
                library.set_threads(8)
                # Often enough that a started thread takes a part.
                results[name] = {products.mm(x, x[:64].T).tobytes() for _ in range(200)}
        library.set_threads(1)
        assert results["guarded"] == {products.mm(x, x[:64].T).tobytes()}
        assert results["caller only"] != results["guarded"]
    finally:
        library.set_threads(before)
