from __future__ import annotations

import json
import re

import pytest
import torch

from samebits.pytorch.facts import probes, torch_facts


def test_the_facts_are_what_torch_says() -> None:
    facts = torch_facts()
    json.dumps(facts, allow_nan=False)
    assert facts["version"] == torch.__version__
    assert facts["cpu_capability"] in torch.__config__.show()
    assert facts["build_settings"]["COMMIT_SHA"] == torch.version.git_version
    assert facts["n_threads"] == torch.get_num_threads()
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["onednn_version"])


def test_the_thread_counts_follow_torch() -> None:
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        facts = torch_facts()
        assert {facts["n_threads"], facts["n_openmp_threads"], facts["n_mkl_threads"]} <= {n_threads, None}


def test_probes_repeat() -> None:
    assert probes() == probes()


def test_a_probe_sees_another_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = probes()
    real = torch.Tensor.sqrt
    monkeypatch.setattr(torch.Tensor, "sqrt", lambda tensor: real(tensor.double()).float().nextafter(torch.ones(1)))
    actual = probes()
    assert [name for name in expected if actual[name] != expected[name]] == ["sqrt"]
