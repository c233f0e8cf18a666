"""`samebits vary` with real training: variations keep the bits, and a fault planted in some children is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import samebits

pytest.importorskip("matplotlib")
SOURCE = str(Path(samebits.__file__).parents[1])
# Stands between samebits and the interpreter of its children: trains as asked, then flips one bit of the adapter and
# signs the summary anew where the process has the umask 077, as arithmetic that a umask reaches would.
FLIPPING_PYTHON = """
import os, subprocess, sys
from pathlib import Path

done = subprocess.run([sys.executable, *sys.argv[1:]])
umask = os.umask(0)
os.umask(umask)
if umask == 0o077 and done.returncode == 0:
    from samebits.record.layout import RunFolder
    from samebits.record.manifest import write_summary

    out = Path(sys.argv[sys.argv.index("--out") + 1])
    adapter = out / "golden" / "adapter_model.safetensors"
    data = bytearray(adapter.read_bytes())
    data[-1] ^= 1
    adapter.write_bytes(data)
    write_summary(RunFolder(out))
sys.exit(done.returncode)
"""
FAULTY_VARY = """
import sys
from pathlib import Path
from samebits.recipe.reader import read_settings
from samebits.study.progress import PlainLines
from samebits.study.rows import EXIT_CODES
from samebits.study.runner import ChildRunner
from samebits.study.vary import Choice, run_vary

experiment = run_vary(
    Path(sys.argv[1]), read_settings(None, ("max_steps=2",)), runner=ChildRunner((sys.executable, sys.argv[2])),
    listener=PlainLines(), choice=Choice("pairwise", ("umask", "hash-seed", "folder", "packing"), stock=False),
)
print(*experiment.findings, sep="\\n")
sys.exit(EXIT_CODES[experiment.verdict])
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_two_variations_keep_the_bits_of_a_training_alone(tmp_path: Path) -> None:
    out, alone = tmp_path / "vary", tmp_path / "alone"
    done = python(
        "-m", "samebits", "vary", "--only", "file-order", "--only", "resume", "--no-stock", "--out", str(out)
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    trained = python("-m", "samebits", "train", "--out", str(alone), "--json")
    assert done.stdout.splitlines()[-1] == json.loads(trained.stdout)["golden_digest"]
    rows = {row["run"]: row["verdict"] for row in json.loads((out / "study.json").read_text())["rows"]}
    assert (rows["file-order"], rows["resume"]) == ("same", "same")
    assert rows["file-order-disorderfs"] in ("same", "not tested")
    page = (out / "report.html").read_bytes()
    assert b"Factors by values" in page
    assert python("-m", "samebits", "analyze", str(out)).returncode == 0
    assert (out / "report.html").read_bytes() == page


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_planted_factor_is_found_among_others(tmp_path: Path) -> None:
    (tmp_path / "flipping.py").write_text(FLIPPING_PYTHON)
    done = python("-c", FAULTY_VARY, str(tmp_path / "vary"), str(tmp_path / "flipping.py"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "umask-077 alone changes the bits" in done.stdout.splitlines()
    culprits = json.loads((tmp_path / "vary" / "study.json").read_text())["culprits"]
    assert [culprit["changes"] for culprit in culprits] == [["umask-077"]]


def test_torch_is_needed_for_the_runs_that_must_break_alone() -> None:
    code = "import sys; from samebits.cli.main import run; run(['vary', '--list']); print('torch' in sys.modules)"
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "False"
