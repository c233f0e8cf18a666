from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from samebits.data.dataset import TokenSample
from samebits.models.families import AdaptedModel, adapt
from samebits.models.inputs import find_inputs
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings


@pytest.fixture(autouse=True, scope="session")
def _libraries_are_built(native_libraries: object) -> None:
    """Every test here calls kernels."""


@pytest.fixture(scope="session")
def portable() -> Callable[..., Settings]:
    """`portable(**settings)`: a small recipe on the embedded model."""

    def settings(**values: Any) -> Settings:
        stated = {"numerics": "portable-f32", "lora_r": 4, "threads": 1, "generation_max_new_tokens": 2, **values}
        return settings_from(stated, where="test")

    return settings


@pytest.fixture
def adapted(portable: Callable[..., Settings]) -> AdaptedModel:
    return adapt(find_inputs(portable()).base, portable())


@pytest.fixture(scope="session")
def samples(portable: Callable[..., Settings]) -> Sequence[TokenSample]:
    """The training samples of the embedded dataset."""
    return find_inputs(portable()).data.train.samples
