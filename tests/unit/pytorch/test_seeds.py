from __future__ import annotations

import random

import numpy as np
import torch

from samebits.pytorch.seeds import seed_generators


def _draws(seed: int) -> tuple[float, float, float]:
    seed_generators(seed)
    return random.random(), np.random.random_sample(), torch.rand(()).item()


def test_a_seed_decides_the_draws_of_all_three() -> None:
    first, again, other = _draws(3), _draws(3), _draws(2**32 - 1)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_draws_are_those_of_lone_generators_with_that_seed() -> None:
    generator = torch.Generator().manual_seed(11)
    alone = random.Random(11).random(), np.random.RandomState(11).random_sample(), torch.rand((), generator=generator)
    assert _draws(11) == (alone[0], alone[1], alone[2].item())
