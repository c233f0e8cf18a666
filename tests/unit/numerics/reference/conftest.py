"""The reference beside the best compiled library: whatever is computed by both must have the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from samebits.numerics import library
from samebits.numerics.arrays import F32
from samebits.numerics.reference.library import reference_library

Same = Callable[[Callable[[], Any]], list[bytes]]


def _arrays(found: Any) -> list[bytes]:
    parts = found if isinstance(found, tuple | list) else [found]
    return [np.asarray(part).tobytes() for part in parts]


@pytest.fixture
def same_on_both() -> Same:
    """`same_on_both(compute)`: what `compute` returns on the reference, as bytes; the kernels must return the same."""

    def compared(compute: Callable[[], Any]) -> list[bytes]:
        with library.using(reference_library()):
            actual = _arrays(compute())
        with library.using(library.open_library(library.runnable_isas()[-1])):
            assert actual == _arrays(compute())
        return actual

    return compared


@pytest.fixture
def numbers() -> Callable[..., F32]:
    """`numbers(seed, *shape)`: float32 around 0, some of them subnormal, some large, none NaN."""

    def drawn(seed: int, *shape: int) -> F32:
        generator = np.random.default_rng([seed, *shape])
        scale = np.exp2(generator.choice([-140, -20, -1, 0, 0, 0, 1, 20], shape))
        return (generator.standard_normal(shape) * scale).astype(np.float32)

    return drawn
