from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils.deterministic

from samebits.models.seeded import embedded_folder, write_base
from samebits.pytorch.quiet import quiet_libraries
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings


@pytest.fixture(autouse=True)
def torch_left_as_found() -> Iterator[None]:
    """Put back every global switch that the tests of this folder turn."""
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    variables, n_threads = dict(os.environ), torch.get_num_threads()
    enabled, filled = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    # Threads that wait for each other on a busy machine take longer than one.
    torch.set_num_threads(1)
    yield
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    torch.set_rng_state(generators[2])
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(enabled)
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


@pytest.fixture(scope="session")
def gpt2() -> Path:
    return embedded_folder()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama") / "base"
    write_base("llama-tiny", 5, folder)
    return folder


@pytest.fixture
def settings() -> Settings:
    return settings_from({"numerics": "stock"}, where="test")


@pytest.fixture
def quiet() -> Iterator[None]:
    """Hold back what the trainer holds back: warnings are errors in tests."""
    with quiet_libraries():
        yield
