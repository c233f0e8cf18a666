"""Each point of the doctor is seen to fail, alone, under a fault of its own kind.

A child process with its hash seed set is examined whole, then once under each fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.deterministic
import transformers

from samebits.pytorch import seeds
from samebits.pytorch.determinism import DeterministicConfig
from samebits.pytorch.doctor import examine
from samebits.pytorch.seeds import seed_generators

POINTS = (
    "hash seed", "deterministic algorithms", "OpenMP threads", "PyTorch deterministic mode", "CUDA isolation",
    "seeds in step", "transformers' seed",
)  # fmt: skip


def _no_fault() -> None:
    """Leave everything as the setup makes it."""


def _forget_numpy(seed: int) -> None:
    seed_generators(seed)
    np.random.seed()


def _forget_torch(seed: int) -> None:
    seed_generators(seed)
    torch.seed()


def _ignore_the_seed(seed: int) -> None:
    seed_generators(0)


def _set(owner: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


REAL_SET_SEED = transformers.set_seed
FAULTS: dict[str, tuple[str | None, Callable[[], Any]]] = {
    "none": (None, _no_fault),
    "the variable set after Python started": ("hash seed", lambda: os.environ.update(PYTHONHASHSEED="7")),
    "the variable set to random": ("hash seed", lambda: os.environ.update(PYTHONHASHSEED="random")),
    "algorithms switched off": ("deterministic algorithms", lambda: torch.use_deterministic_algorithms(False)),
    "algorithms only warned about": (
        "deterministic algorithms",
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    ),
    "another thread count": ("OpenMP threads", lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
    "cuDNN free to choose": ("PyTorch deterministic mode", _set(torch.backends.cudnn, "deterministic", False)),
    "cuDNN trying out": ("PyTorch deterministic mode", _set(torch.backends.cudnn, "benchmark", True)),
    "memory left as found": (
        "PyTorch deterministic mode",
        _set(torch.utils.deterministic, "fill_uninitialized_memory", False),
    ),
    "a free cuBLAS workspace": (
        "PyTorch deterministic mode",
        lambda: os.environ.update(CUBLAS_WORKSPACE_CONFIG=":0:0"),
    ),
    "a GPU let in": ("CUDA isolation", lambda: os.environ.update(CUDA_VISIBLE_DEVICES="0")),
    "a device seen": ("CUDA isolation", _set(torch.cuda, "device_count", lambda: 1)),
    "tensors made elsewhere": ("CUDA isolation", lambda: torch.set_default_device("meta")),
    "NumPy forgotten": ("seeds in step", _set(seeds, "seed_generators", _forget_numpy)),
    "torch forgotten": ("seeds in step", _set(seeds, "seed_generators", _forget_torch)),
    "a seed that is ignored": ("seeds in step", _set(seeds, "seed_generators", _ignore_the_seed)),
    "transformers off by one": (
        "transformers' seed",
        _set(transformers, "set_seed", lambda seed: REAL_SET_SEED(seed + 1)),
    ),
    "transformers seeding nothing": ("transformers' seed", _set(transformers, "set_seed", lambda seed: None)),
}


def _examine_under(fault: str) -> list[str]:
    """Set up, plant the fault, examine, undo; return the points that did not hold."""
    DeterministicConfig.setup_deterministic_environment(42)
    os.environ["PYTHONHASHSEED"] = "42"
    kept = torch.cuda.device_count, seeds.seed_generators, transformers.set_seed
    try:
        FAULTS[fault][1]()
        return [check.name for check in examine(42) if not check.ok]
    finally:
        torch.set_default_device(None)
        torch.cuda.device_count, seeds.seed_generators, transformers.set_seed = kept


@pytest.fixture(scope="module")
def failed() -> dict[str, list[str]]:
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    child = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    answer: dict[str, list[str]] = json.loads(child.stdout)
    return answer


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_its_own_point_and_no_other(failed: dict[str, list[str]], fault: str) -> None:
    point = FAULTS[fault][0]
    assert failed[fault] == ([] if point is None else [point])


def test_every_point_has_a_fault() -> None:
    assert {point for point, _ in FAULTS.values() if point} == set(POINTS)


def test_examining_moves_no_generator_and_tells_all_points() -> None:
    DeterministicConfig.setup_deterministic_environment(5)
    before, state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    checks = examine()
    assert tuple(check.name for check in checks) == POINTS
    assert torch.equal(before, torch.get_rng_state())
    assert state == np.random.get_state()[1].tolist()


def test_a_thread_count_that_openmp_does_not_tell_is_not_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    DeterministicConfig.setup_deterministic_environment(5)
    monkeypatch.setattr(torch.__config__, "parallel_info", lambda: "at::get_num_threads() : 2")
    checks = {check.name: check.ok for check in examine()}
    assert checks["OpenMP threads"] is None


if __name__ == "__main__":
    print(json.dumps({fault: _examine_under(fault) for fault in FAULTS}))
