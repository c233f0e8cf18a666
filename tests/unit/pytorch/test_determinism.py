from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.deterministic

from samebits.errors import RecipeError
from samebits.pytorch.determinism import ENVIRONMENT, DeterministicConfig
from samebits.recipe.reader import settings_from

VALIDATE = """
from samebits.errors import RecipeError
from samebits.pytorch.determinism import DeterministicConfig
{setup}
valid, messages = DeterministicConfig.validate_deterministic_setup()
print(valid, *messages, sep="\\n")
"""


def _validated(setup: str, hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    program = [sys.executable, "-c", VALIDATE.format(setup=setup)]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_setup_turns_every_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    DeterministicConfig.setup_deterministic_environment(seed=9)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert torch.get_num_threads() == 3
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT
    assert random.random() == random.Random(9).random()
    assert np.random.random_sample() == np.random.RandomState(9).random_sample()
    assert torch.initial_seed() == 9


def test_a_process_that_is_set_up_is_valid() -> None:
    valid, *messages = _validated("DeterministicConfig.setup_deterministic_environment(seed=42)", "42")
    assert valid == "True"
    assert len(messages) == 7
    assert all(message.startswith("ok: ") for message in messages)


def test_a_process_that_is_not_set_up_is_told_what_is_missing() -> None:
    valid, *messages = _validated("", "random")
    assert valid == "False"
    wrong = [message.split(": ")[1] for message in messages if message.startswith("not ok: ")]
    assert {"hash seed", "deterministic algorithms", "PyTorch deterministic mode"} <= set(wrong)


def test_the_training_configuration_is_the_defaults() -> None:
    configuration = DeterministicConfig.get_training_config()
    assert settings_from(configuration, where="test") == settings_from({}, where="test")
    assert (configuration["lora_r"], configuration["lora_alpha"], configuration["seed"]) == (16, 32, 42)


@pytest.mark.parametrize("seed", [-1, 2**32, "a", 1.0, True, None])
def test_a_seed_that_is_none_is_refused_before_anything_is_set(seed: Any) -> None:
    before = torch.initial_seed()
    with pytest.raises(RecipeError, match="`seed` must be a whole number from 0, below"):
        DeterministicConfig.setup_deterministic_environment(seed)
    assert torch.initial_seed() == before
