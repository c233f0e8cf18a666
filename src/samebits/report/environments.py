"""Environments side by side: what their runs recorded of machine and software, and in which fields they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.report.runs import Run

MAX_VALUE_CHARACTERS = 72
# Always shown, also where all environments agree.
CORE_FIELDS = (
    "execution.isa",
    "execution.n_threads",
    "env.cpu.name",
    "env.cpu.n_cores_allowed",
    "env.container.detected",
    "env.system.kernel_release",
    "env.system.libc",
    "env.locale.categories.LC_CTYPE",
    "env.time_zone.zone",
    "env.python.version",
    "env.torch.version",
    "env.torch.mkl.instruction_set",
    "env.torch.mkl.reproducibility_branch",
)


def machine_facts(run: Run) -> dict[str, Any]:
    """Return what a run recorded of the arithmetic it really ran on; None where it did not.

    Returns:
        `isa` and `n_threads` as the execution had them; `probes_sha256`, one digest for the digests of the operations
        that the engine tried on fixed numbers.
    """
    probes = run.execution.get("probes")
    return {
        "isa": run.execution.get("isa"),
        "n_threads": run.execution.get("n_threads"),
        "probes_sha256": sha256_bytes(dump_json(probes)) if probes else None,
    }


def compare_environments(runs: Sequence[Run]) -> dict[str, Any]:
    """Return one row per recorded field that differs or is a core one, with each environment's distinct values.

    Returns:
        `columns`: environments, sorted; `rows`: `field`, `values` (a list of texts per column), `differs`.
    """
    flat = {run.name: _flatten({"execution": run.execution, "env": run.fingerprint}) for run in runs}
    columns = sorted({run.environment for run in runs})
    fields = sorted({field for values in flat.values() for field in values})
    rows = []
    for field in (*CORE_FIELDS, *(field for field in fields if field not in CORE_FIELDS)):
        values = [
            sorted({flat[run.name].get(field, "not recorded") for run in runs if run.environment == column})
            for column in columns
        ]
        differs = len({value for column in values for value in column}) > 1
        if differs or (field in CORE_FIELDS and field in fields):
            rows.append({"field": field, "values": values, "differs": differs})
    return {"columns": columns, "rows": rows}


def _flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{name}."))
        elif _is_named_list(value):
            flat.update(_flatten({str(entry["name"]): _without(entry, "name") for entry in value}, f"{name}."))
        else:
            flat[name] = _text(value)
    return flat


def _is_named_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, Mapping) and "name" in e for e in value)


def _without(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != key}


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        text = " ".join(_items(value))
    else:
        text = value if isinstance(value, str) else dump_json(value).decode().strip()
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    return f"{text[: MAX_VALUE_CHARACTERS - 20]}… sha256 {sha256_bytes(text.encode())[:12]}"


def _items(values: Iterable[Any]) -> list[str]:
    return [value if isinstance(value, str) else dump_json(value).decode().strip() for value in values]
