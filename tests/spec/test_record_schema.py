"""docs/spec/record.schema.json takes what the code writes, and nothing that breaks a clause."""

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.safetensors_file import NUMPY_DTYPES
from samebits.errors import RecordError
from samebits.recipe.settings import PORTABLE_F32, STOCK, Settings, names_with_role, values_with_role
from samebits.record.checkpoint import MAX_STEP, write_checkpoint
from samebits.record.documents import generation_record, recipe_digest, results_document, write_golden, write_observed
from samebits.record.fingerprint import fingerprint
from samebits.record.layout import GOLDEN_FILES, OBSERVED_FILES, RECORD_VERSION, RunFolder, check_relative_path
from samebits.record.operations import (
    LEVELS,
    MAX_OUTPUTS,
    PHASES,
    Header,
    OperationTrace,
    Output,
    operations_bytes,
)
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "spec" / "record.schema.json").read_text(encoding="utf-8"))
DEFINITION_OF = {
    "artifact_summary.json": "artifact_summary",
    "checkpoints/step-00000001/manifest.json": "checkpoint_manifest",
    "golden/adapter_config.json": "adapter_config",
    "golden/generations.jsonl": "generations_line",
    "golden/recipe.json": "recipe",
    "golden/results.json": "results",
    "golden/trace.jsonl": "trace_line",
    "golden/training_args.json": "training_args",
    "observed/env.json": "env",
    "observed/execution.json": "execution",
    "observed/training_metadata.json": "training_metadata",
}
OPEN = {"env", "execution", "training_metadata"}
DIGEST = sha256_bytes(b"x")

SETTINGS = {
    **values_with_role(Settings(), "recipe"), "data_seed": 42, "dataset_schema": "alpaca", "total_train_batch_size": 4,
}  # fmt: skip
SPLIT = {
    "schema": "alpaca", "raw_sha256": DIGEST, "chat_template_sha256": None, "rendered_sha256": DIGEST,
    "token_ids_sha256": DIGEST, "n_samples": 24, "n_tokens": 3312, "n_target_tokens": 1925,
    "origins": {"curated": 2, "synthetic": 22},
}  # fmt: skip
RECIPE = {
    "record_version": 1,
    "numerics": "portable-f32",
    "numerics_version": 1,
    "settings": SETTINGS,
    "base": {
        "architecture": "GPT2LMHeadModel", "config_sha256": DIGEST, "weights_sha256": DIGEST, "weight_dtypes": ["F32"],
        "n_parameters": 165632, "tokenizer_sha256": DIGEST, "chat_template_sha256": None,
    },
    "data": {"train": SPLIT, "evaluation": None},
}  # fmt: skip
ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 16, "lora_alpha": 32, "lora_dropout": 0.1, "bias": "none",
    "fan_in_fan_out": True, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["c_attn"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip
TRAINING_ARGS = {
    **SETTINGS, "lora_target_modules": ["c_attn"], "fan_in_fan_out": True, "n_steps": 1, "n_trained_parameters": 8192,
    "optimizer": "adamw_torch_fused", "dtype": "float32", "padding": "right", "loss_divisor": "target tokens",
}  # fmt: skip
EXECUTION = {
    "environment": "native", "isa": "AVX2", "n_threads": 2, "libraries": {"torch": "2.13.0"}, "probes": {"exp": DIGEST},
    "threads": None, "save_steps": 10, "n_passes": 6,
}  # fmt: skip
METADATA = {
    "started_at": "2026-01-02T03:04:05+00:00", "finished_at": "2026-01-02T03:04:06+00:00", "host": "a",
    "command": ["b"], "timings_s": {"total_s": 1.0}, "peak_memory_bytes": None, "resumed_from": [3], "base": "embedded",
}  # fmt: skip


def _write_run(run: RunFolder, eval_loss: float | None = 6.5) -> None:
    trace = trace_bytes([
        step_record(
            step=1, sample_ids=[0, 12], token_sha256=DIGEST, loss=6.5, grad_norm=0.0, learning_rate=2e-4,
            gradients_sha256=DIGEST, parameters_sha256=DIGEST, optimizer_sha256=DIGEST, n_target_tokens=726,
            previous_sha256=FIRST_PREVIOUS_SHA256,
        )
    ])  # fmt: skip
    write_checkpoint(run, 1, {"t": np.zeros(2, np.float32)}, {"epoch": 0}, recipe_sha256=recipe_digest(RECIPE))
    write_observed(run, env=fingerprint({"torch": {"version": "2"}}), execution=EXECUTION, training_metadata=METADATA)
    write_golden(
        run,
        recipe=RECIPE,
        training_args=TRAINING_ARGS,
        results=results_document(
            6.5, eval_loss, n_steps=1, n_target_tokens=726, trace_root_sha256="0" * 64, n_eval_target_tokens=605
        ),
        trace=trace,
        generations=[generation_record(prompt="a", token_ids=[1, 2], text="b", logits_sha256=DIGEST)],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": np.ones((2, 2), np.float32)},
    )


def _faults(definition: str, document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{definition}", **SCHEMA})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def _documents(run: RunFolder, files: Iterator[str] | dict[str, str]) -> Iterator[tuple[str, Any]]:
    for file in files:
        text = (run.path / file).read_text(encoding="utf-8")
        for line in text.splitlines() if file.endswith(".jsonl") else [text]:
            yield file, json.loads(line)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("schema") / "run")
    _write_run(run)
    return run


@pytest.fixture
def documents(run: RunFolder) -> dict[str, Any]:
    """One document of each definition."""
    return {DEFINITION_OF[file]: document for file, document in _documents(run, DEFINITION_OF)}


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_json_file_of_a_run_has_a_definition() -> None:
    golden = {f"golden/{name}" for name in GOLDEN_FILES if not name.endswith(".safetensors")}
    observed = {f"observed/{name}" for name in OBSERVED_FILES}
    assert golden | observed < DEFINITION_OF.keys()
    assert set(DEFINITION_OF.values()) < SCHEMA["$defs"].keys()


def test_what_the_code_writes_is_valid(run: RunFolder) -> None:
    faults = {
        file: found
        for file, document in _documents(run, DEFINITION_OF)
        if (found := _faults(DEFINITION_OF[file], document))
    }
    assert faults == {}


@pytest.mark.parametrize(("train_loss", "eval_loss"), [(6.5, None), (800.0, 6.5), (40.0, 800.0), (0.0, -0.0)])
def test_results_of_every_kind_are_valid(train_loss: float, eval_loss: float | None) -> None:
    assert not _faults(
        "results", results_document(train_loss, eval_loss, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64)
    )


def test_the_settings_are_those_of_the_table() -> None:
    """One home per fact: names, types, bounds and choices are those of samebits.recipe.settings."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(child) for key, child in value.items() if key not in ("title", "default", "description")}
        return [bare(child) for child in value] if isinstance(value, list) else value

    table = Settings.model_json_schema()["properties"]
    under_stock, portable = (sorted(names_with_role("recipe", numerics)) for numerics in (STOCK, PORTABLE_F32))
    stock_only = sorted(set(under_stock) - set(portable))
    told = SCHEMA["$defs"]["settings"]
    batch = {"total_train_batch_size": {"minimum": 1, "type": "integer"}}
    assert told["properties"] == {name: bare(table[name]) for name in under_stock} | batch
    assert told["required"] == portable
    assert told["then"] == {"required": stock_only, "properties": dict.fromkeys(batch, False)}
    assert told["else"] == {"required": list(batch), "properties": dict.fromkeys(stock_only, False)}


def test_the_numbers_are_those_of_the_code() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["recipe"]["properties"]["record_version"] == {"const": RECORD_VERSION}
    assert definitions["checkpoint_manifest"]["properties"]["step"]["maximum"] == MAX_STEP


PATHS = [
    "a", "golden/recipe.json", "a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h/i", "", "/a", "a/", "a//b", ".", "..", "a/../b",
    "a.", "a./b", ".partial-a", "a\\b", "C:a", "c:/a", "con", "CON.txt", "a/NuL", "com1.json", "com", "com10", "lpt0",
    "aux/b", "a b", "ü", "x" * 128, "x" * 129, "x" * 127 + ".", "console", "a/b.con",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_the_paths_are_those_of_the_code(path: str) -> None:
    try:
        check_relative_path(path, where="here")
        is_plain = True
    except RecordError:
        is_plain = False
    assert (not _faults("path", path)) == is_plain


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1.0, -1.5, 5e-324, 2.0**-1022, 1.7976931348623157e308, 1e-300, 0.1, 1024.0]
)
def test_the_hex_floats_are_those_of_python(number: float) -> None:
    assert not _faults("hex_float", number.hex())


@pytest.mark.parametrize(
    "text", ["0x1.8p+1", "0x1p0", "1.5", "inf", "nan", "0x1.0000000000000p+00", "0X1.0000000000000p+0", "-0x0p+0", ""]
)
def test_other_spellings_of_a_float_are_not_valid(text: str) -> None:
    assert _faults("hex_float", text)


@pytest.mark.parametrize("definition", sorted(DEFINITION_OF.values()))
def test_a_missing_key_is_not_valid(documents: dict[str, Any], definition: str) -> None:
    optional = {"train_note", "eval_note", "threads", "save_steps", "n_passes", "base"}
    for key in documents[definition].keys() - optional:
        broken = {name: value for name, value in documents[definition].items() if name != key}
        assert _faults(definition, broken), key


@pytest.mark.parametrize("definition", sorted(DEFINITION_OF.values()))
def test_an_unknown_key_is_valid_in_observed_files_only(documents: dict[str, Any], definition: str) -> None:
    faults = _faults(definition, {**documents[definition], "unknown": 1})
    assert bool(faults) == (definition not in OPEN)


@pytest.mark.parametrize(
    ("definition", "place", "value"),
    [
        ("recipe", "record_version", 2),
        ("recipe", "settings.unknown", 1),
        ("recipe", "settings.seed", -1),
        ("recipe", "settings.dataset_schema", "auto"),
        ("recipe", "settings.data_seed", None),
        ("recipe", "settings.output_dir", "somewhere"),
        ("recipe", "base.weights_sha256", DIGEST.upper()),
        ("recipe", "base.origin", "somewhere"),
        ("recipe", "data.train", None),
        ("recipe", "data.train.n_samples", 0),
        ("recipe", "data.train.path", "somewhere"),
        ("adapter_config", "base_model_name_or_path", "somewhere"),
        ("adapter_config", "inference_mode", False),
        ("training_args", "lora_target_modules", None),
        ("training_args", "dtype", "bfloat16"),
        ("results", "train_loss", None),
        ("results", "train_loss_hex", "0x1.8p+1"),
        ("results", "eval_loss_hex", None),
        ("results", "eval_perplexity", None),
        ("results", "eval_note", "why"),
        ("trace_line", "step", 0),
        ("trace_line", "loss", 1.5),
        ("trace_line", "loss", "nan"),
        ("trace_line", "sample_ids", [-1]),
        ("trace_line", "sha256", DIGEST[:-1]),
        ("generations_line", "token_ids", "1"),
        ("artifact_summary", "artifact_checksums", {}),
        ("artifact_summary", "artifact_checksums", {"golden/../x": {"sha256": DIGEST, "bytes": 1}}),
        ("artifact_summary", "artifact_checksums", {"observed/env.json": {"sha256": DIGEST, "bytes": 1}}),
        ("artifact_summary", "artifact_checksums", {"golden/x": {"sha256": DIGEST, "bytes": -1}}),
        ("checkpoint_manifest", "step", 10**8),
        ("checkpoint_manifest", "files", {}),
        ("env", "cpu", None),
        ("env", "cpu.flags", "avx2"),
        ("env", "variables", {"TZ": 1}),
        ("execution", "n_threads", 0),
        ("execution", "n_passes", -1),
        ("training_metadata", "started_at", "2026-01-02T03:04:05+02:00"),
        ("training_metadata", "resumed_from", None),
        ("training_metadata", "base", None),
    ],
)
def test_a_broken_document_is_not_valid(documents: dict[str, Any], definition: str, place: str, value: Any) -> None:
    document = copy.deepcopy(documents[definition])
    assert not _faults(definition, document)
    *outer, last = place.split(".")
    node = document
    for key in outer:
        node = node[key]
    node[last] = value
    assert _faults(definition, document)


OPERATIONS = OperationTrace(
    Header(
        level="op", step=7, numerics="stock", numerics_version=None, isa="AVX512", n_threads=2,
        libraries={"torch": "2.13.0"}, recipe_sha256=DIGEST, trace_line_sha256=DIGEST,
    ),
    (Output(1, "forward", "transformer.h.0", "aten::addmm", None, 0, "F32", (2, 3), DIGEST),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "line", "broken"),
    [
        ("operations_header", 0, {"level": "step", "step": 0, "n_outputs": -1, "isa": "", "n_threads": 0, "x": 1}),
        (
            "operations_line",
            1,
            {"n": 0, "phase": "sideways", "module": "a/b", "operation": "", "dtype": "float32", "shape": [-1], "x": 1},
        ),
    ],
)
def test_operation_traces(definition: str, line: int, broken: dict[str, Any]) -> None:
    document = json.loads(operations_bytes(OPERATIONS).splitlines()[line])
    assert not _faults(definition, document)
    for key, value in broken.items():
        assert _faults(definition, {**document, key: value}), key
    for key in document:
        assert _faults(definition, {name: value for name, value in document.items() if name != key}), key


def test_the_types_and_limits_of_operation_traces_are_those_of_the_code() -> None:
    header, line = (SCHEMA["$defs"][name]["properties"] for name in ("operations_header", "operations_line"))
    assert set(line["dtype"]["enum"]) == set(NUMPY_DTYPES)
    assert (header["level"]["enum"], line["phase"]["enum"]) == (list(LEVELS), list(PHASES))
    assert (header["step"]["maximum"], header["n_outputs"]["maximum"]) == (MAX_STEP, MAX_OUTPUTS)


def test_every_clause_that_code_cites_is_on_the_page() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "spec" / "record.md").read_text(encoding="utf-8")
    clauses = re.findall(r"^- \*\*(R-\d\d)\*\* ", page, flags=re.MULTILINE)
    assert len(clauses) == len(set(clauses)) > 30
    cited = {
        name for path in (root / "src").rglob("*.py") for name in re.findall(r"\bR-\d\d\b", path.read_text("utf-8"))
    }
    assert cited
    assert cited <= set(clauses)


@pytest.mark.slow
@pytest.mark.parametrize("profile", [PORTABLE_F32, STOCK])
def test_a_trained_run_is_valid(tmp_path: Path, program: list[str], profile: str) -> None:
    if profile == STOCK:
        pytest.importorskip("torch")
    out = tmp_path / "run"
    pairs = (f"numerics={profile}", "max_steps=2", "save_steps=1")
    command = [*program, "train", *(f"--set={pair}" for pair in pairs), "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    faults = {
        file: found
        for file, document in _documents(RunFolder(out), DEFINITION_OF)
        if (found := _faults(DEFINITION_OF[file], document))
    }
    assert faults == {}
