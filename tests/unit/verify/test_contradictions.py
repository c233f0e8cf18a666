"""Golden files that cannot be true beside each other are told, though their summary was made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.record.documents import results_document
from samebits.record.layout import RunFolder
from samebits.record.manifest import write_summary
from samebits.verify.difference import Difference
from samebits.verify.recorded import Recorded, read_recorded

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained_run, tmp_path / "run")


def told(run: Path) -> list[str]:
    """Return the files that are told of, after the summary was made anew."""
    (run / "artifact_summary.json").unlink()
    write_summary(RunFolder(run))
    found = read_recorded(run)
    if isinstance(found, Recorded):
        return []
    assert found.proves_different
    return [child.where for child in found.children]


def edit(run: Path, name: str, change: Change) -> None:
    path = run / "golden" / name
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(dump_json(document))


def test_a_run_as_it_was_written_has_none(run: Path) -> None:
    assert told(run) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("results.json", lambda d: d.update(n_steps=7)),
        ("results.json", lambda d: d.update(trace_root_sha256="0" * 64)),
        ("results.json", lambda d: d.update(train_loss_hex="0x1.0p+0")),
        ("results.json", lambda d: d.update(train_loss=d["train_loss"] + 1e-9)),
        ("results.json", lambda d: d.update(eval_perplexity=1)),
        ("results.json", lambda d: d.update(train_loss=True)),
        ("results.json", lambda d: d.update(train_loss=None)),
        ("results.json", lambda d: d.update(eval_loss="1")),
        ("results.json", lambda d: d.update(n_target_tokens=1)),
        ("results.json", lambda d: d.update(more=1)),
        ("results.json", lambda d: d.pop("n_eval_target_tokens")),
        ("training_args.json", lambda d: d.update(learning_rate=1)),
        ("training_args.json", lambda d: d.update(n_steps=60)),
        ("training_args.json", lambda d: d.pop("seed")),
        ("adapter_config.json", lambda d: d.update(r=4)),
        ("adapter_config.json", lambda d: d.update(lora_alpha=1)),
        ("adapter_config.json", lambda d: d.update(target_modules=["b", "a"])),
        ("adapter_config.json", lambda d: d.update(target_modules=["b", 1])),
        ("adapter_config.json", lambda d: d.update(base_model_name_or_path="/here")),
        ("adapter_config.json", lambda d: d.update(auto_mapping={})),
        ("adapter_config.json", lambda d: d.pop("r")),
    ],
)
def test_a_document_beside_the_others(run: Path, name: str, change: Change) -> None:
    edit(run, name, change)
    assert told(run) == [name]


@pytest.mark.parametrize("name", ["results.json", "training_args.json", "adapter_config.json", "recipe.json"])
@pytest.mark.parametrize("spell", [lambda data: b" " + data, lambda data: data[:-1], lambda data: data + b"\n"])
def test_another_spelling_is_no_runs(run: Path, name: str, spell: Callable[[bytes], bytes]) -> None:
    path = run / "golden" / name
    path.write_bytes(spell(path.read_bytes()))
    assert told(run) == [name]


def test_a_document_that_is_none(run: Path) -> None:
    (run / "golden" / "results.json").write_bytes(b"[1]\n")
    assert told(run) == ["results.json"]


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors[min(tensors)].__setitem__((0, 0), 2.5),
        lambda tensors: tensors.update(other=tensors.pop(min(tensors))),
        lambda tensors: tensors.update({min(tensors): tensors[min(tensors)].astype(np.float64)}),
        lambda tensors: tensors.pop(min(tensors)),
    ],
)
def test_an_adapter_that_is_not_the_last_steps(run: Path, change: Change) -> None:
    path = run / "golden" / "adapter_model.safetensors"
    file = TensorFile(path)
    tensors = {name: file.array(name).copy() for name in file.tensors}
    change(tensors)
    write_safetensors(path, tensors)
    assert told(run) == ["adapter_model.safetensors"]


def test_an_adapter_laid_out_otherwise(run: Path) -> None:
    path = run / "golden" / "adapter_model.safetensors"
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    path.write_bytes((size + 8).to_bytes(8, "little") + data[8 : 8 + size] + b" " * 8 + data[8 + size :])
    assert told(run) == ["adapter_model.safetensors"]
    path.write_bytes(b"")
    assert told(run) == ["adapter_model.safetensors"]


def test_an_adapter_of_another_rank(run: Path) -> None:
    # The configuration and the arguments must say so too, or they are what is told.
    for name in ("recipe.json", "training_args.json"):
        edit(run, name, lambda d: d.get("settings", d).update(lora_r=4))
    edit(run, "adapter_config.json", lambda d: d.update(r=4))
    assert told(run) == ["adapter_model.safetensors"]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: [*lines, lines[0]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [b" " + lines[0], *lines[1:]],
        lambda lines: [dump_json({**json.loads(lines[0]), "more": 1}), *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1][:-1]],
        lambda lines: [],
    ],
)
def test_generations_of_other_prompts(run: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = run / "golden" / "generations.jsonl"
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert [name.partition(",")[0] for name in told(run)] == ["generations.jsonl"]


def test_a_loss_beyond_binary64s_exponential_is_no_fault_by_itself(run: Path) -> None:
    results = json.loads((run / "golden" / "results.json").read_bytes())
    derived = results_document(
        800.0, None, n_steps=6, n_target_tokens=results["n_target_tokens"],
        trace_root_sha256=results["trace_root_sha256"],
    )  # fmt: skip
    (run / "golden" / "results.json").write_bytes(dump_json(derived))
    assert told(run) == []


def test_settings_of_a_recipe_that_are_none(run: Path) -> None:
    edit(run, "recipe.json", lambda d: d.update(settings=[]))
    assert "generations.jsonl" in told(run)
    edit(run, "recipe.json", lambda d: d.update(settings={"lora_r": [], "generation_prompts": [{}]}))
    assert "adapter_model.safetensors" in told(run)


def test_it_is_a_difference(run: Path) -> None:
    edit(run, "results.json", lambda d: d.update(n_steps=7))
    told(run)
    assert isinstance(read_recorded(run), Difference)
