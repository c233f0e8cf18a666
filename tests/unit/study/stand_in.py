"""Stands in for the interpreter of a study's children: writes a run in a moment instead of training one.

Called as `python stand_in.py -m samebits train --out DIR --json [--set key=value]...` or with `-c CODE` in front. Its
"bits" follow thread count and ATEN_CPU_CAPABILITY, as stock kernels' do. STAND_IN_FAULT=NAME:KIND plants a fault in the
run NAME.
"""

from __future__ import annotations

import locale
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = "1" * 64
ADAPTER_CONFIG: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": True, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip


def main() -> None:
    """Write the run that the arguments ask for."""
    arguments = sys.argv[sys.argv.index("train") + 1 :]
    out = Path(arguments[arguments.index("--out") + 1])
    pairs = [arguments[index + 1] for index, word in enumerate(arguments) if word == "--set"]
    settings = dict(pair.split("=") for pair in pairs)
    name, _, kind = os.environ.get("STAND_IN_FAULT", "").partition(":")
    fault = kind if name == out.name else ""
    if "setlocale" in sys.argv[2]:
        locale.setlocale(locale.LC_ALL, "")
    print(f"training {out.name}", flush=True)
    if fault == "sleep":
        time.sleep(600)
    if fault == "exit":
        raise SystemExit("no room for this run")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    n_threads = int(settings.get("threads", 2))
    capability = os.environ.get("ATEN_CPU_CAPABILITY", "avx2")
    write(out, n_threads, capability, fault)


def write(out: Path, n_threads: int, capability: str, fault: str) -> None:
    """Write a run whose weights depend on threads and capability, and on the fault."""
    seed = 43 if fault == "seed" else 42
    factor = "blind" if os.environ.get("STAND_IN_BLIND") else (n_threads, capability)
    weight = {"blind": 1.0, (2, "avx2"): 1.0}.get(factor, 1.0 + n_threads / 64 + len(capability) / 1024)  # type: ignore[call-overload]
    run = RunFolder(out)
    run.path.mkdir(parents=True)
    probes = {"sum": f"{weight}"}
    execution: dict[str, Any] = {
        "environment": "native",
        "isa": capability.upper(),
        "n_threads": n_threads,
        "probes": probes,
    }
    env = {
        "variables": {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "unset")},
        "time_zone": {"utc_offset_s": time.localtime().tm_gmtoff},
        "locale": {"categories": {"LC_NUMERIC": locale.setlocale(locale.LC_NUMERIC), "LC_CTYPE": "C.UTF-8"}},
        "torch": {"mkl": {"instruction_set": None}},
    }
    if os.environ.get("STAND_IN_FACTS") == "none":
        execution, env = {"environment": "native"}, {}
    write_observed(run, env=env, execution=execution, training_metadata={})
    record = step_record(
        step=1, sample_ids=[0], token_sha256=DIGEST, loss=1.0, grad_norm=1.0, learning_rate=1.0,
        gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST, n_target_tokens=1,
        previous_sha256=FIRST_PREVIOUS_SHA256,
    )  # fmt: skip
    adapter = np.full(4, weight, dtype=np.float32)
    if fault == "bit":
        adapter.view(np.uint32)[0] ^= 1
    write_golden(
        run,
        recipe={"record_version": 1, "settings": {"seed": seed}},
        training_args={"seed": seed},
        results=results_document(1.0, None, n_steps=1, n_target_tokens=1),
        trace=trace_bytes([record]),
        generations=[],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": adapter},
    )
    if fault == "late-bit":
        path = out / "golden" / "adapter_model.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    if fault == "unfinished":
        (out / "artifact_summary.json").unlink()


main()
