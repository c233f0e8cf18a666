from __future__ import annotations

import pytest
import torch

from samebits.pytorch.execution import deciding_facts, execution_document, set_threads
from samebits.pytorch.facts import torch_facts
from samebits.recipe.reader import settings_from
from samebits.recipe.settings import Settings, names_with_role


def test_threads_come_from_the_setting_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    set_threads(settings_from({"numerics": "stock", "threads": 3}, where="test"))
    assert torch.get_num_threads() == 3


def test_threads_come_from_the_variable_next(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    set_threads(settings)
    assert torch.get_num_threads() == 5


def test_the_document_tells_the_threads_that_torch_has(settings: Settings) -> None:
    torch.set_num_threads(3)
    document = execution_document(settings, torch_facts(), "ci")
    assert document["n_threads"] == 3
    assert document["environment"] == "ci"
    assert document["isa"] == torch.backends.cpu.get_cpu_capability()
    assert document["libraries"]["torch"] == torch.__version__
    assert set(names_with_role("execution")) <= document.keys()


def test_what_decides_the_bits_holds_no_float() -> None:
    facts = deciding_facts(torch_facts())
    assert set(facts) == {"isa", "n_threads", "libraries", "probes"}
    assert all(isinstance(value, str) for part in ("libraries", "probes") for value in facts[part].values())
