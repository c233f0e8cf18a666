from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from samebits.errors import UsageError
from samebits.record.execution import Stopwatch, default_threads, peak_memory_bytes


def test_threads_are_the_allowed_cores_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if not hasattr(os, "sched_setaffinity"):
        assert default_threads() == os.cpu_count()
        return
    allowed = os.sched_getaffinity(0)
    assert default_threads() == len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("text", ["", "0", "two", "-1", "1025", "100000", "9" * 5000])
def test_a_thread_variable_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    with pytest.raises(UsageError, match="OMP_NUM_THREADS must be a number from 1 to 1024"):
        default_threads()


def test_the_stopwatch_tells_each_lap_and_the_whole() -> None:
    watch = Stopwatch()
    watch.lap("first_s")
    watch.lap("second_s")
    metadata = watch.metadata(resumed_from=[4])
    assert metadata["timings_s"].keys() == {"first_s", "second_s", "total_s"}
    assert metadata["started_at"] <= metadata["finished_at"]
    assert metadata["started_at"].endswith("+00:00")
    assert metadata["resumed_from"] == [4]


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory_bytes()
    if before is None:
        assert os.name == "nt"
        return
    held = np.ones(before // 4, dtype=np.float64)
    after = peak_memory_bytes()
    assert after is not None
    assert after >= before + held.nbytes // 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count from the start of the program by themselves")
def test_peak_memory_is_not_that_of_the_program_that_started_this_one() -> None:
    held = np.ones(64 << 20, dtype=np.float64)
    code = "from samebits.record.execution import peak_memory_bytes; print(peak_memory_bytes())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(child.stdout) < held.nbytes
