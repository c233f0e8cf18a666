"""Proofs that a sample took part: they hold for what was recorded, and every changed field is caught (R-70 to R-72)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.errors import RecordError
from samebits.record.documents import results_document, write_golden
from samebits.record.layout import RunFolder
from samebits.record.proof import check_proof, make_proof
from samebits.record.trace import FIRST_PREVIOUS_SHA256, step_record, trace_bytes, trace_root

STEPS, DATA = 5, sha256_bytes(b"data")
ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
    "fan_in_fan_out": False, "init_lora_weights": True, "modules_to_save": None, "target_modules": ["q"],
    "use_dora": False, "use_rslora": False,
}  # fmt: skip


def _digest(*parts: object) -> str:
    return sha256_bytes(repr(parts).encode())


def _write(run: RunFolder, *, tells_gradients: bool) -> RunFolder:
    records: list[dict[str, Any]] = []
    for step in range(1, STEPS + 1):
        # Two epochs and a half of four samples.
        ids = [(2 * step + place) % 4 for place in range(2)]
        records.append(
            step_record(
                step=step, sample_ids=ids, token_sha256=_digest(step), loss=1.5, grad_norm=0.5, learning_rate=0.1,
                gradients_sha256=_digest(step, 1), parameters_sha256=_digest(step, 2),
                optimizer_sha256=_digest(step, 3), n_target_tokens=4,
                previous_sha256=records[-1]["sha256"] if records else FIRST_PREVIOUS_SHA256,
                sample_tokens_sha256=[_digest("tokens", sample) for sample in ids],
                sample_gradients_sha256=[_digest(step, "g", sample) for sample in ids] if tells_gradients else None,
            )
        )  # fmt: skip
    write_golden(
        run,
        recipe={"record_version": 1, "data": {"train": {"raw_sha256": DATA}}, "settings": {"seed": 1}},
        training_args={},
        results=results_document(1.5, None, n_steps=STEPS, n_target_tokens=20, trace_root_sha256=trace_root(records)),
        trace=trace_bytes(records),
        generations=[],
        adapter_config=ADAPTER_CONFIG,
        adapter={"a": np.ones(2, np.float32)},
    )
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return _write(RunFolder(tmp_path / "run"), tells_gradients=True)


@pytest.mark.parametrize("sample", range(4))
@pytest.mark.parametrize("step", [None, *range(1, STEPS + 1)])
def test_a_proof_holds_for_every_sample_of_every_step(run: RunFolder, sample: int, step: int | None) -> None:
    if step is not None and sample // 2 != step % 2:
        with pytest.raises(RecordError, match=f"sample {sample} must take part in step {step}"):
            make_proof(run, sample, step)
        return
    found = check_proof(make_proof(run, sample, step), "here", data_sha256=DATA)
    assert found.faults == ()
    assert found.step == step if step is not None else found.step in (1, 2)
    assert found.tokens_sha256 == _digest("tokens", sample)
    assert found.gradient_sha256 == _digest(found.step, "g", sample)
    recorded = run.summary.read_text(encoding="utf-8")
    assert found.golden_digest in recorded


def test_without_gradients_of_samples_the_proof_is_of_tokens(tmp_path: Path) -> None:
    run = _write(RunFolder(tmp_path / "run"), tells_gradients=False)
    found = check_proof(make_proof(run, 1), "here")
    assert (found.faults, found.gradient_sha256) == ((), None)
    assert found.tokens_sha256 == _digest("tokens", 1)


def test_a_sample_that_took_no_part_has_no_proof(run: RunFolder) -> None:
    with pytest.raises(RecordError, match="sample 4 must take part in a step of the run"):
        make_proof(run, 4)


def test_of_a_damaged_run_nothing_is_proven(run: RunFolder) -> None:
    path = run.golden / "trace.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"step":5', b'"step":6'))
    with pytest.raises(RecordError, match="golden files must be those of the summary"):
        make_proof(run, 0)


def _leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, dict | list):
        yield place
    for key, child in parts:
        yield from _leaves(child, (*place, key))


def _another(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}"
    return 0 if value is None else not value if isinstance(value, bool) else value + 1


def _is_caught(proof: dict[str, Any], golden_digest: str) -> bool:
    try:
        found = check_proof(proof, "here")
    except RecordError:
        return True
    return bool(found.faults) or found.golden_digest != golden_digest


def test_every_changed_field_is_caught(run: RunFolder) -> None:
    proof = make_proof(run, 3, 3)
    places = list(_leaves(proof))
    assert len(places) > 40
    for place in places:
        changed = copy.deepcopy(proof)
        *outer, last = place
        node: Any = changed
        for key in outer:
            node = node[key]
        node[last] = _another(node[last])
        assert _is_caught(changed, proof["golden_digest"]), place


def test_every_missing_or_added_field_is_caught(run: RunFolder) -> None:
    proof = make_proof(run, 3, 3)
    for place in [("audit_path",), ("results",), *((key,) for key in proof), *_leaves(proof)]:
        changed = copy.deepcopy(proof)
        *outer, last = place
        node: Any = changed
        for key in outer:
            node = node[key]
        del node[last]
        assert _is_caught(changed, proof["golden_digest"]), place
    for name in (None, "line", "results", "recipe", "files"):
        changed = copy.deepcopy(proof)
        (changed if name is None else changed[name])["added"] = "0" * 64
        assert _is_caught(changed, proof["golden_digest"]), name


def test_a_line_of_another_step_or_run_does_not_lead_to_the_root(run: RunFolder) -> None:
    proof, other = make_proof(run, 3, 3), make_proof(run, 3, 5)
    faults = check_proof({**proof, "line": other["line"]}, "here").faults
    assert faults == ("the audit path does not lead from the line to the root in results.json",)


def test_the_other_sample_of_the_step_is_not_the_one_that_is_asked_for(run: RunFolder) -> None:
    faults = check_proof({**make_proof(run, 3, 3), "sample": 1}, "here").faults
    assert faults == ("sample 1 is not in the line of step 3",)


def test_a_forger_who_repairs_the_list_arrives_at_another_golden_digest(run: RunFolder) -> None:
    from samebits.canonical.digests import sha256_listing
    from samebits.canonical.json_bytes import dump_json

    proof = make_proof(run, 3, 3)
    forged = copy.deepcopy(proof)
    forged["recipe"]["data"]["train"]["raw_sha256"] = "0" * 64
    forged["files"]["golden/recipe.json"] = sha256_bytes(dump_json(forged["recipe"]))
    assert check_proof(forged, "here").faults == ("the golden digest is not that of the listed files",)
    forged["golden_digest"] = sha256_listing(forged["files"])
    found = check_proof(forged, "here")
    assert found.faults == ()
    assert found.golden_digest != proof["golden_digest"]


def test_other_data_is_told(run: RunFolder) -> None:
    (fault,) = check_proof(make_proof(run, 3), "here", data_sha256="0" * 64).faults
    assert fault.startswith("the data is not the file that the recipe names")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("record_version", 2, "record_version 1"),
        ("record_version", True, "record_version 1"),
        ("sample", -1, "sample must be"),
        ("sample", [], "sample must be"),
        ("line", [], "line must be an object"),
        ("line", {}, "the keys must be"),
        ("results", None, "results must be an object"),
        ("audit_path", {}, "audit_path must be"),
        ("audit_path", ["0"], "audit_path must be"),
        ("audit_path", ["0" * 64] * 65, "audit_path must be"),
        ("files", {"golden/../x": "0" * 64}, "a path must be relative"),
        ("files", {"golden/x": 1}, "files and golden_digest must be"),
        ("golden_digest", None, "files and golden_digest must be"),
    ],
)
def test_rubbish_is_refused_in_one_sentence(run: RunFolder, key: str, value: Any, told: str) -> None:
    with pytest.raises(RecordError) as caught:
        check_proof({**make_proof(run, 3), key: value}, "here")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
