"""Stands in for the interpreter of a study's children: writes a run in a moment instead of training one.

Called as `python stand_in.py -m samebits train --out DIR --json [--resume] [--set key=value]...` or with `-c CODE` in
front. Under stock its "bits" follow thread count and ATEN_CPU_CAPABILITY, as stock kernels' do; portable ones follow
nothing. STAND_IN_FAULT=NAME:KIND plants a fault in the run NAME; STAND_IN_BLIND lets nothing reach the stock bits, and
STAND_IN_LEAK lets the thread count reach the portable ones. STAND_IN_TRIGGER=FACT=VALUE[,FACT=VALUE]... gives other
bits to every run of a process of which all that is true.
"""

from __future__ import annotations

import locale
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from samebits.record.documents import results_document, write_golden, write_observed
from samebits.record.layout import RunFolder
from samebits.record.process import process_facts
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

DIGEST = "1" * 64
N_STEPS = 6
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
    if "os._exit" in sys.argv[2] and fault != "deaf":
        (out / "checkpoints").mkdir(parents=True)
        os._exit(int(sys.argv[2].partition("os._exit(")[2].partition(")")[0]))
    write(out, settings, fault, is_resumed="--resume" in arguments)


def write(out: Path, settings: dict[str, str], fault: str, *, is_resumed: bool) -> None:
    """Write a run whose weights depend on the settings, the environment and the fault."""
    seed = 43 if fault == "seed" else 42
    numerics, n_threads = settings["numerics"], int(settings.get("threads", 2))
    variable = "ATEN_CPU_CAPABILITY" if numerics == "stock" else "SAMEBITS_ISA"
    isa = os.environ.get(variable, "avx2")
    weight = weight_of(numerics, n_threads, isa)
    run = RunFolder(out)
    run.path.mkdir(parents=True, exist_ok=is_resumed or fault == "deaf")
    execution: dict[str, Any] = {
        "environment": "native",
        "isa": isa.upper() if numerics == "stock" else isa,
        "n_threads": n_threads,
        "probes": {"sum": f"{weight}"} if numerics == "stock" else {},
        "per_device_train_batch_size": int(settings.get("per_device_train_batch_size", 4)),
        "n_passes": 3 if "memory_budget_mib" in settings and fault != "whole" else 1,
        "gradient_accumulation_steps": int(settings.get("gradient_accumulation_steps", 1)),
        "memory_budget_mib": int(settings.get("memory_budget_mib", 2048)),
    }
    env = {
        "variables": {"PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "unset")},
        "time_zone": {"utc_offset_s": time.localtime().tm_gmtoff},
        "locale": {"categories": {"LC_NUMERIC": locale.setlocale(locale.LC_NUMERIC), "LC_CTYPE": "C.UTF-8"}},
        "torch": {"mkl": {"instruction_set": None}},
        "numerics": {"runnable_isas": ["baseline", "avx2"]},
        "container": {"detected": "STAND_IN_CONTAINER" in os.environ},
    }
    if os.environ.get("STAND_IN_FACTS") == "none":
        execution, env = {"environment": "native"}, {}
    metadata: dict[str, Any] = {
        "resumed_from": [2] if is_resumed and fault != "anew" else [],
        "process": process_facts(),
        "host": platform.node(),
    }
    write_observed(run, env=env, execution=execution, training_metadata=metadata)
    records: list[dict[str, Any]] = []
    for step in range(1, N_STEPS + 1):
        previous = records[-1]["sha256"] if records else FIRST_PREVIOUS_SHA256
        records.append(step_record(
            step=step, sample_ids=[0], token_sha256=DIGEST, loss=1.0, grad_norm=1.0, learning_rate=1.0,
            gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST, n_target_tokens=1,
            previous_sha256=previous,
        ))  # fmt: skip
    adapter = np.full(4, weight, dtype=np.float32)
    if fault == "bit" or is_triggered(metadata["process"]):
        adapter.view(np.uint32)[0] ^= 1
    write_golden(
        run,
        recipe={"record_version": 1, "numerics": numerics, "settings": {"seed": seed}},
        training_args={"seed": seed},
        results=results_document(1.0, None, n_steps=N_STEPS, n_target_tokens=N_STEPS, trace_root_sha256="0" * 64),
        trace=trace_bytes(records),
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


def is_triggered(facts: dict[str, Any]) -> bool:
    """Whether everything is so that is to change the bits."""
    wanted = [pair.split("=") for pair in os.environ.get("STAND_IN_TRIGGER", "").split(",") if pair]
    return bool(wanted) and all(str(facts[name]) == value for name, value in wanted)


def weight_of(numerics: str, n_threads: int, isa: str) -> float:
    """Return what stands for the bits that the arithmetic gives."""
    if numerics == "stock":
        return 1.0 if os.environ.get("STAND_IN_BLIND") else 1.0 + n_threads / 64 + len(isa) / 1024
    return 2.0 + n_threads / 64 if os.environ.get("STAND_IN_LEAK") else 2.0


main()
