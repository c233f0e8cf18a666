"""The study with real training: it holds on this machine, and a fault planted in one child breaks it by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import samebits

pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.slow

SOURCE = str(Path(samebits.__file__).parents[1])
# Stands between the study and the interpreter of its children: trains as asked, then flips one bit of one adapter and
# signs the summary anew, as a machine with a fault in its arithmetic would.
FLIPPING_PYTHON = """
import subprocess, sys
from pathlib import Path

done = subprocess.run([sys.executable, *sys.argv[1:]])
out = Path(sys.argv[sys.argv.index("--out") + 1])
if out.name == "repeat-1" and done.returncode == 0:
    from samebits.record.layout import RunFolder
    from samebits.record.manifest import write_summary

    adapter = out / "golden" / "adapter_model.safetensors"
    data = bytearray(adapter.read_bytes())
    data[-1] ^= 1
    adapter.write_bytes(data)
    write_summary(RunFolder(out))
sys.exit(done.returncode)
"""
FAULTY_STUDY = """
import sys
from pathlib import Path
from samebits.study.experiment import run_study
from samebits.study.progress import PlainLines
from samebits.study.rows import EXIT_CODES
from samebits.study.runner import ChildRunner

runner = ChildRunner((sys.executable, sys.argv[2]))
experiment = run_study(Path(sys.argv[1]), runner=runner, listener=PlainLines(), n_runs=2, only=("folder",))
print(*experiment.findings, sep="\\n")
sys.exit(EXIT_CODES[experiment.verdict])
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def samebits_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "samebits", *arguments],
        env=environment(), capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip


def test_a_real_study_holds_and_its_report_can_be_made_again(tmp_path: Path) -> None:
    out = tmp_path / "study"
    done = samebits_command("study", "--runs", "2", "--only", "threads", "--only", "resume", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    study = json.loads((out / "study.json").read_text())
    portable = {row["run"]: row["verdict"] for row in study["rows"] if row["profile"] == "portable-f32"}
    assert portable.pop("golden") == "golden"
    assert {"repeat-1", "resume"} < set(portable)
    assert set(portable.values()) == {"same"}
    stock = {row["run"]: row["verdict"] for row in study["rows"] if row["profile"] == "stock"}
    assert (stock.pop("stock"), stock.pop("stock-repeat-1")) == ("golden", "same")
    assert "different" in stock.values()
    golden = study["rows"][0]["golden_digest"]
    assert done.stdout.splitlines()[-1] == golden
    assert f"portable-f32: 1 golden digest in {len(portable) + 1} runs; stock: " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == len(study["rows"])
    page = (out / "report.html").read_bytes()
    assert golden.encode() in page
    assert b"Losses of both profiles" in page
    assert samebits_command("analyze", str(out), "--out", str(tmp_path / "again")).returncode == 1
    assert (tmp_path / "again" / "report.html").read_bytes() == page


def test_a_bit_flipped_in_one_child_breaks_the_study_and_names_the_run(tmp_path: Path) -> None:
    wrapper = tmp_path / "flipping_python.py"
    wrapper.write_text(FLIPPING_PYTHON)
    done = subprocess.run(
        [sys.executable, "-c", FAULTY_STUDY, str(tmp_path / "study"), str(wrapper)],
        env=environment(), capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith(
        "repeat-1: the expectation `same` did not hold: other bits in adapter_model.safetensors"
    )
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX's")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_study_ends_its_child_and_can_be_read(tmp_path: Path, name: str) -> None:
    out = tmp_path / "study"
    process = subprocess.Popen(
        [sys.executable, "-m", "samebits", "study", "--runs", "2", "--only", "folder", "--out", str(out)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out / "logs" / "golden.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "samebits analyze" in errors
    assert "Traceback" not in errors
    study = json.loads((out / "study.json").read_text())
    assert [row["verdict"] for row in study["rows"]] == ["undecided"]
    assert study["verdict"] == "undecided"
    assert not any(str(out).encode() in command for command in running_commands())


def running_commands() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return found
