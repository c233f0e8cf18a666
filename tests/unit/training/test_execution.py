from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import pytest

from samebits.numerics import library
from samebits.recipe.settings import Settings
from samebits.training.execution import execution_document


@pytest.mark.parametrize("n_threads", [1, 3])
def test_it_tells_what_the_kernels_really_used(portable: Callable[..., Settings], n_threads: int) -> None:
    before = library.threads()
    try:
        library.set_threads(n_threads)
        with library.using(library.open_library("baseline")):
            document = execution_document(portable(threads=7, memory_budget_mib=5), "my-machine", n_passes=9)
    finally:
        library.set_threads(before)
    assert (document["isa"], document["n_threads"], document["threads"]) == ("baseline", n_threads, 7)
    assert (document["environment"], document["memory_budget_mib"]) == ("my-machine", 5)
    assert document["n_passes"] == 9
    assert document["per_device_train_batch_size"] == 4
    assert document["libraries"]["numpy"] == importlib.metadata.version("numpy")
    assert "torch" not in document["libraries"]


def test_nothing_of_the_recipe_is_in_it(portable: Callable[..., Settings]) -> None:
    assert not {"seed", "lora_r", "learning_rate"} & execution_document(portable(), "x", n_passes=1).keys()


def test_a_library_without_metadata_ends_no_training(
    portable: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    document = execution_document(portable(), "x", n_passes=1)
    assert document["libraries"] == {"numpy": None, "tokenizers": None, "jinja2": None}
