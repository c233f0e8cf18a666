"""The documents of a run (R-10 to R-17, R-52, R-53)."""

import enum
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.safetensors_file import TensorFile
from samebits.errors import NonFiniteError, RecordError
from samebits.record.documents import (
    canonical_adapter_config,
    recipe_digest,
    results_document,
    write_golden,
    write_observed,
)
from samebits.record.files import read_object
from samebits.record.layout import GOLDEN_FILES, OBSERVED_FILES, RunFolder
from samebits.record.manifest import check_summary, read_summary


def test_golden_holds_its_files_and_no_others(run: RunFolder) -> None:
    assert sorted(path.name for path in run.golden.iterdir()) == list(GOLDEN_FILES)
    assert sorted(path.name for path in run.path.iterdir()) == ["artifact_summary.json", "golden"]
    assert check_summary(run) == []


def test_the_digest_returned_is_the_one_recorded(tmp_path: Path, golden: dict[str, Any]) -> None:
    run = RunFolder(tmp_path / "run")
    assert write_golden(run, **golden) == read_summary(run).golden_digest


def test_order_of_keys_and_tensors_does_not_reach_the_digest(
    make_run: Callable[..., RunFolder], golden: dict[str, Any]
) -> None:
    turned = {
        "recipe": dict(reversed(golden["recipe"].items())),
        "adapter": dict(reversed(golden["adapter"].items())),
        "adapter_config": dict(reversed(golden["adapter_config"].items())),
    }
    assert read_summary(make_run("1")) == read_summary(make_run("2", **turned))


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"record_version": 1, "numerics": "stock", "settings": {"seed": 43}}},
        {"training_args": {"seed": 42, "more": 1}},
        {"generations": []},
        {"adapter": {"a": np.arange(6, dtype=np.float32), "b": np.ones((4,), np.float32)}},
    ],
)
def test_every_input_reaches_the_digest(make_run: Callable[..., RunFolder], change: dict[str, Any]) -> None:
    assert read_summary(make_run("1")).golden_digest != read_summary(make_run("2", **change)).golden_digest


def test_the_recipes_digest_is_that_of_its_file(run: RunFolder, golden: dict[str, Any]) -> None:
    assert recipe_digest(golden["recipe"]) == sha256_bytes((run.golden / "recipe.json").read_bytes())


def test_the_adapter_is_written_as_it_is(run: RunFolder, golden: dict[str, Any]) -> None:
    file = TensorFile(run.golden / "adapter_model.safetensors")
    assert {name: file.array(name).tobytes() for name in file.tensors} == {
        name: array.tobytes() for name, array in golden["adapter"].items()
    }


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"recipe": {"record_version": 2}}, RecordError, "record_version 1"),
        ({"recipe": {}}, RecordError, "record_version 1"),
        ({"recipe": {"record_version": 1, "x": math.nan}}, RecordError, "canonical form.*recipe.json"),
        ({"training_args": {"x": 2**53}}, RecordError, "canonical form.*training_args.json"),
        ({"generations": [{}, {"x": "\ud800"}]}, RecordError, "canonical form.*line 2"),
        ({"generations": [{"\ud800": 1}]}, RecordError, "canonical form.*line 1"),
        ({"trace": b"{}\n"}, RecordError, "trace.jsonl, line 1"),
        ({"trace": b""}, RecordError, "one step or more"),
        ({"adapter_config": {}}, RecordError, "no `bias`"),
        ({"adapter": {"a": np.array([1, math.nan], np.float32)}}, NonFiniteError, "tensor a"),
        ({"adapter": {"a": np.array([math.inf], np.float32)}}, NonFiniteError, "tensor a"),
        ({"adapter": {"a": np.array([1.0])}}, RecordError, "float32, got float64"),
        ({"adapter": {"a": np.array([1], np.int32)}}, RecordError, "float32, got int32"),
    ],
)
def test_what_breaks_a_clause_is_refused_before_anything_is_written(
    tmp_path: Path, golden: dict[str, Any], change: dict[str, Any], error: type[Exception], said: str
) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(error, match=said):
        write_golden(run, **{**golden, **change})
    assert not run.path.exists()


def test_a_finished_run_is_not_written_again(run: RunFolder, golden: dict[str, Any]) -> None:
    before = read_summary(run)
    with pytest.raises(RecordError, match="a finished run"):
        write_golden(run, **golden)
    assert read_summary(run) == before
    assert check_summary(run) == []


def test_an_unfinished_golden_is_rebuilt(run: RunFolder, golden: dict[str, Any]) -> None:
    digest = read_summary(run).golden_digest
    run.summary.unlink()
    (run.golden / "recipe.json").write_bytes(b"half")
    (run.path / ".partial-golden").mkdir()
    assert write_golden(run, **golden) == digest
    assert sorted(path.name for path in run.path.iterdir()) == ["artifact_summary.json", "golden"]


def test_a_golden_with_strange_files_is_left_alone(run: RunFolder, golden: dict[str, Any]) -> None:
    run.summary.unlink()
    (run.golden / "thesis.tex").write_bytes(b"years of work")
    with pytest.raises(RecordError, match=r"golden files only, got golden/thesis\.tex"):
        write_golden(run, **golden)
    assert (run.golden / "thesis.tex").read_bytes() == b"years of work"


def test_losses_stand_plain_and_in_hex() -> None:
    document = results_document(
        1.5, 0.1, n_steps=3, n_target_tokens=300, trace_root_sha256="0" * 64, n_eval_target_tokens=20
    )
    assert (document["train_loss"], document["train_loss_hex"]) == (1.5, "0x1.8000000000000p+0")
    assert float.fromhex(document["eval_loss_hex"]) == document["eval_loss"] == 0.1
    for split in ("train", "eval"):
        assert float.fromhex(document[f"{split}_perplexity_hex"]) == document[f"{split}_perplexity"]
        assert f"{split}_note" not in document
    counts = (document["n_steps"], document["n_target_tokens"], document["n_eval_target_tokens"])
    assert counts == (3, 300, 20)


def test_what_there_is_no_number_for_is_null_with_a_note() -> None:
    document = results_document(710.0, None, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64)
    assert document["train_perplexity"] is document["train_perplexity_hex"] is document["eval_loss_hex"] is None
    assert "binary64" in document["train_note"]
    assert "held out" in document["eval_note"]
    # An integer loss of a caller is a float in the record.
    assert (
        results_document(2, None, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64)["train_loss_hex"]
        == "0x1.0000000000000p+1"
    )


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused(loss: float) -> None:
    with pytest.raises(NonFiniteError, match="train loss"):
        results_document(loss, None, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64)
    with pytest.raises(NonFiniteError, match="eval loss"):
        results_document(1.0, loss, n_steps=1, n_target_tokens=1, trace_root_sha256="0" * 64)


@pytest.mark.parametrize("loss", [36.7, 36.8, 40.0, 45.5, 48.3, 48.4, 700.0])
def test_results_of_a_training_gone_wrong_are_read_back(make_run: Callable[..., RunFolder], loss: float) -> None:
    """RFC 8785 writes the perplexity e**40 as a whole number beyond 2**53."""
    results = results_document(loss, None, n_steps=3, n_target_tokens=300, trace_root_sha256="0" * 64)
    assert read_object(make_run(results=results).path, "golden/results.json") == results


class _Kind(enum.StrEnum):
    LORA = "LORA"


def test_an_adapters_configuration_is_the_same_from_every_version_of_peft(golden: dict[str, Any]) -> None:
    config = golden["adapter_config"]
    peft = {
        **config, "peft_type": _Kind.LORA, "target_modules": {"v", "q", "k"}, "modules_to_save": ("z", "a"),
        "base_model_name_or_path": "somewhere", "revision": "main", "inference_mode": False, "peft_version": "9",
        "of_a_later_version": {},
    }  # fmt: skip
    document = canonical_adapter_config(peft)
    assert document == {
        **config, "target_modules": ["k", "q", "v"], "modules_to_save": ["a", "z"], "base_model_name_or_path": None,
        "revision": None, "inference_mode": True,
    }  # fmt: skip
    assert type(document["peft_type"]) is str
    assert canonical_adapter_config(document) == document


def test_observed_files_are_written_over_and_without_secrets(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for host in ("old", "new"):
        write_observed(
            run,
            env={"proxy": "ftp://ann:hunter2@proxy:3128"},
            execution={"n_threads": 2},
            training_metadata={"host": host, "command": ["train", "https://example.com/x?token=hunter2"]},
        )
    assert sorted(path.name for path in run.observed.iterdir()) == list(OBSERVED_FILES)
    assert json.loads((run.observed / "training_metadata.json").read_bytes())["host"] == "new"
    assert b"hunter2" not in b"".join(path.read_bytes() for path in run.observed.iterdir())
    assert not run.is_complete()


def test_observed_refuses_a_link_and_what_is_no_json(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    with pytest.raises(RecordError, match=r"canonical form.*observed/env\.json"):
        write_observed(run, env={"x": math.nan}, execution={}, training_metadata={})
    run.observed.rmdir()
    (tmp_path / "elsewhere").mkdir()
    run.observed.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="no links"):
        write_observed(run, env={}, execution={}, training_metadata={})
    assert list((tmp_path / "elsewhere").iterdir()) == []
