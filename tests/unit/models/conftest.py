from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from samebits.data.dataset import TokenSample
from samebits.models.base import Base, find_base
from samebits.models.families import AdaptedModel, adapt
from samebits.models.seeded import write_base
from samebits.recipe.reader import settings_from

Adapted = Callable[..., AdaptedModel]


@pytest.fixture(scope="session")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    """`base_of("llama-tiny")`: a base of that shape with seeded weights, written once."""

    @cache
    def base(shape: str) -> Base:
        folder = tmp_path_factory.mktemp("base") / shape
        write_base(shape, 3, folder)
        return find_base(str(folder), None)

    return base


@pytest.fixture
def adapted(base_of: Callable[[str], Base]) -> Adapted:
    """`adapted("llama-tiny", **settings)`: the model, with B drawn too, for at zero A would have no gradient."""

    def make(shape: str, **values: Any) -> AdaptedModel:
        stated = {"numerics": "portable-f32", "lora_target_modules": ["all-linear"], "lora_r": 4, **values}
        made = adapt(base_of(shape), settings_from(stated, where="test"))
        for number, (name, tensor) in enumerate(sorted(made.parameters.items())):
            if name.endswith("lora_B.weight"):
                drawn = np.random.default_rng(number).standard_normal(tensor.shape, dtype=np.float32)
                tensor[...] = drawn * np.float32(0.05)
        return made

    return make


@pytest.fixture(scope="session")
def samples() -> list[TokenSample]:
    """Four samples of different lengths, the targets at the end, in the middle, scattered, and only one."""
    generator = np.random.default_rng(5)
    made = []
    for index, (length, targets) in enumerate(
        ((31, range(12, 31)), (17, range(3, 9)), (9, (1, 2, 5, 8)), (40, (20,))), start=7
    ):
        ids = tuple(generator.integers(1, 512, length).tolist())
        made.append(TokenSample(index, index + 1, "text", ids, tuple(place in targets for place in range(length))))
    return made
