from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from samebits.pytorch.mkl import BRANCHES, mkl_facts

if not torch.backends.mkl.is_available():
    pytest.skip("torch was built without MKL", allow_module_level=True)


def test_mkl_tells_its_version_and_its_threads(capfd: pytest.CaptureFixture[str]) -> None:
    facts = mkl_facts()
    assert facts is not None
    assert "oneMKL" in facts["version"]
    assert facts["n_threads_of_a_product"] <= torch.get_num_threads()
    assert facts["instruction_set"] in {None, "avx512", "avx2", "avx", "sse4_2", "sse4_1", "ssse3"}
    assert facts["reproducibility_branch"] in {None, *BRANCHES.values()}
    assert capfd.readouterr() == ("", "")


def test_what_was_printed_before_and_after_stays_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    mkl_facts()
    print("after")
    assert capfd.readouterr().out == "before\nafter\n"


def test_one_thread_is_told_as_one() -> None:
    torch.set_num_threads(1)
    facts = mkl_facts()
    assert facts is not None
    assert facts["n_threads_of_a_product"] == 1


def test_the_compatible_branch_is_seen() -> None:
    """MKL_CBWR=COMPATIBLE is the one branch that MKL takes on every maker's processors."""
    asked = "from samebits.pytorch.mkl import mkl_facts; print(mkl_facts()['reproducibility_branch'])"
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    child = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=environment, check=True)
    assert child.stdout.strip() in ("compatible", "None")
    without = mkl_facts()
    assert without is not None
    assert child.stdout.strip() == "None" or without["reproducibility_branch"] != "compatible"
