"""A recipe trained by the reference and on compiled kernels has one golden digest; on faulty kernels it has another.

The sound kernels pass the same comparison first, so that a comparison that always fails proves nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from samebits.models.seeded import write_base
from samebits.numerics import library
from samebits.numerics.library import Kernels, Library
from samebits.numerics.reference.library import reference_library
from samebits.recipe.reader import read_settings
from samebits.record.manifest import read_summary
from samebits.record.progress import Silence
from samebits.training.portable import train

RECIPE = Path(__file__).parents[2] / "examples" / "reference.yaml"
# Two steps: only the second updates moments that are not zero.
SMALLER = ("max_steps=2", "per_device_train_batch_size=2", "val_size=1", "generation_max_new_tokens=2")
SHAPES = ("gpt2-micro", "llama-micro")

Digest = Callable[[Kernels, str], str]


@pytest.fixture(scope="module")
def golden_digest(tmp_path_factory: pytest.TempPathFactory, native_libraries: Path) -> Digest:
    """`golden_digest(kernels, shape)`: of the example's recipe, made smaller, trained on these kernels."""
    folder = tmp_path_factory.mktemp("reference")
    for shape in SHAPES:
        write_base(shape, 1, folder / shape)

    @cache
    def digest(kernels: Kernels, shape: str) -> str:
        out = tmp_path_factory.mktemp(shape) / "run"
        settings = read_settings(RECIPE, [*SMALLER, f"model_name_or_path={folder / shape}"])
        with library.using(kernels):
            outcome = train(settings, out, resume=False, progress=Silence())
        assert outcome.golden_digest == read_summary(outcome.run).golden_digest
        return outcome.golden_digest

    return digest


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_has_the_digest_of_every_instruction_set(golden_digest: Digest, shape: str) -> None:
    digests = {isa: golden_digest(library.open_library(isa), shape) for isa in library.runnable_isas()}
    assert set(digests.values()) == {golden_digest(reference_library(), shape)}


FAULTS = {
    "a contracted product and sum in the update": (
        "optimizer.cpp",
        "x.mean = x.mean * splat(s.beta1) + g * splat(s.rest1);",
        "x.mean = fma(g, splat(s.rest1), x.mean * splat(s.beta1));",
    ),
    "the last bit of a constant of exp": ("functions.hpp", "0x1.fffffcp-2f", "0x1.fffffep-2f"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_kernels_have_another_digest(golden_digest: Digest, faulty: Callable[..., Library], name: str) -> None:
    kernels = faulty(FAULTS[name])
    for shape in SHAPES:
        assert golden_digest(kernels, shape) != golden_digest(reference_library(), shape)
