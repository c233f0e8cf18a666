"""The documents of a run folder, written the same way by every engine.

Source: docs/spec/record.md, clauses R-10 to R-17 and R-50 to R-53.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785

from samebits.canonical.atomic import TEMPORARY_PREFIX, partial_folder, publish_folder, sync_folder, write_atomic
from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import write_safetensors
from samebits.errors import NonFiniteError, RecordError, StorageError
from samebits.record.files import list_files, refuse_link
from samebits.record.layout import GOLDEN_FILES, RECORD_VERSION, RunFolder
from samebits.record.manifest import write_summary
from samebits.record.perplexity import perplexity_of
from samebits.record.trace import read_trace
from samebits.record.variables import without_secrets

# What decides an adapter of plain LoRA. PEFT writes a list of keys that grows with its version, and fills in what is
# left out when it loads: these are written whatever the version, and no others.
_RECORDED = (
    "bias",
    "fan_in_fan_out",
    "init_lora_weights",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
)
# Places of one machine.
_NULLED = ("base_model_name_or_path", "revision")
# PEFT keeps these in sets or accepts them in any order; the order carries no meaning.
_UNORDERED = ("target_modules", "modules_to_save")


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Return the digest of `golden/recipe.json`, before or after it is written."""
    return sha256_bytes(dump_json(dict(recipe)))


def results_document(
    train_loss: float,
    eval_loss: float | None,
    *,
    n_steps: int,
    n_target_tokens: int,
    trace_root_sha256: str,
    n_eval_target_tokens: int = 0,
) -> dict[str, Any]:
    """Return `results.json`: losses and perplexities as plain numbers, and as hex floats beside them.

    Args:
        train_loss: mean over all target tokens of the training steps.
        eval_loss: mean over the target tokens held out; None where nothing was held out.
        n_steps: optimizer steps.
        n_target_tokens: target tokens of all steps.
        trace_root_sha256: of `trace.trace_root`.
        n_eval_target_tokens: target tokens held out.
    Raises:
        NonFiniteError: a loss is NaN or infinite.
    """
    document: dict[str, Any] = {
        "n_steps": n_steps,
        "n_target_tokens": n_target_tokens,
        "n_eval_target_tokens": n_eval_target_tokens,
        "trace_root_sha256": trace_root_sha256,
    }
    for split, loss in (("train", train_loss), ("eval", eval_loss)):
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteError(f"the {split} loss must be finite", got=str(loss))
        perplexity = None if loss is None else perplexity_of(loss)
        for name, value in ((f"{split}_loss", loss), (f"{split}_perplexity", perplexity)):
            document[name] = value
            document[f"{name}_hex"] = None if value is None else float(value).hex()
        if loss is None:
            document[f"{split}_note"] = "no samples were held out"
        elif perplexity is None:
            document[f"{split}_note"] = "the perplexity is beyond binary64's range"
    return document


def generation_record(*, prompt: str, token_ids: Sequence[int], text: str, logits_sha256: str) -> dict[str, Any]:
    """Return one line of `generations.jsonl`.

    Args:
        prompt: as the recipe has it.
        token_ids: of the continuation, without the prompt's.
        text: the continuation, decoded.
        logits_sha256: digest of the named tensors `{"logits": [n, V] float32}`, a row for each new token.
    """
    return {"prompt": prompt, "token_ids": list(token_ids), "text": text, "logits_sha256": logits_sha256}


def canonical_adapter_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return PEFT's adapter configuration without what differs between machines and library versions.

    Args:
        config: `LoraConfig.to_dict()` or its like; sets and enumerations are allowed.

    Raises:
        RecordError: a key that decides the adapter is missing.
    """
    if missing := [key for key in _RECORDED if key not in config]:
        raise RecordError("an adapter's configuration must say what it is", got=f"no `{missing[0]}`")
    document = {key: _as_json(config[key]) for key in _RECORDED}
    document.update(dict.fromkeys(_NULLED))
    for key in _UNORDERED:
        if isinstance(document.get(key), list):
            document[key] = sorted(document[key])
    # PEFT's own writer says so of every saved adapter.
    document["inference_mode"] = True
    return document


def write_golden(
    run: RunFolder,
    *,
    recipe: Mapping[str, Any],
    training_args: Mapping[str, Any],
    results: Mapping[str, Any],
    trace: bytes,
    generations: Sequence[Mapping[str, Any]],
    adapter_config: Mapping[str, Any],
    adapter: Mapping[str, np.ndarray[Any, Any]],
) -> str:
    """Write `golden/` whole or not at all, then `artifact_summary.json`; return the golden digest.

    Killed anywhere, it can be called again: a `golden/` without its summary is removed and rebuilt, provided that it
    holds nothing but golden files. The observed files are to be written before: the summary says that a run is done.

    Raises:
        RecordError: the run is finished already, its golden folder holds strange files, a document has no
            canonical form, or the adapter is not float32.
        NonFiniteError: the adapter holds a NaN or an infinity.
        StorageError: the disk refused.
    """
    if os.path.lexists(run.summary):
        raise RecordError(
            "a run must be written once", got="a finished run", where=str(run.path), remedy="name another run folder"
        )
    if recipe.get("record_version") != RECORD_VERSION:
        raise RecordError(f"a recipe must have record_version {RECORD_VERSION}", got=repr(recipe.get("record_version")))
    for name, array in adapter.items():
        if array.dtype.kind != "f" or array.dtype.itemsize != 4:
            raise RecordError("an adapter's tensors must be float32", got=str(array.dtype), where=f"tensor {name}")
        if not np.isfinite(array).all():
            raise NonFiniteError("an adapter must be finite", got="a NaN or an infinity", where=f"tensor {name}")
    read_trace(trace, "golden/trace.jsonl")
    documents = {
        "recipe.json": dict(recipe),
        "adapter_config.json": canonical_adapter_config(adapter_config),
        "training_args.json": dict(training_args),
        "results.json": dict(results),
    }
    data = {name: _canonical_bytes(value, f"golden/{name}") for name, value in documents.items()}
    data["generations.jsonl"] = b"".join(
        _canonical_bytes(dict(record), f"golden/generations.jsonl, line {number}")
        for number, record in enumerate(generations, start=1)
    )
    _remove_unfinished(run)
    temporary = partial_folder(run.golden)
    try:
        for name, content in (*data.items(), ("trace.jsonl", trace)):
            write_atomic(temporary / name, content)
        write_safetensors(temporary / "adapter_model.safetensors", adapter)
        publish_folder(temporary, run.golden)
    except BaseException:
        # A full disk must get its room back.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return write_summary(run)


def write_observed(
    run: RunFolder,
    *,
    env: Mapping[str, Any],
    execution: Mapping[str, Any],
    training_metadata: Mapping[str, Any],
) -> None:
    """Write the files that describe this machine and this moment, over those of an earlier try of the same run.

    Credentials inside URLs are left out of every text.

    Raises:
        RecordError: a document has no canonical form, or the folder is a link.
        StorageError: the disk refused.
    """
    documents = {"env.json": env, "execution.json": execution, "training_metadata.json": training_metadata}
    refuse_link(run.observed)
    try:
        run.observed.mkdir(parents=True, exist_ok=True)
        sync_folder(run.path)
    except OSError as error:
        raise StorageError("the disk must take the folder", got=str(error), where=str(run.observed)) from error
    for name, document in documents.items():
        write_atomic(run.observed / name, _canonical_bytes(without_secrets(dict(document)), f"observed/{name}"))


def _canonical_bytes(value: Any, where: str) -> bytes:
    try:
        return dump_json(value)
    except rfc8785.CanonicalizationError as error:
        raise RecordError("a document must have a canonical form (RFC 8785)", got=str(error), where=where) from error


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(child) for key, child in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_as_json(child) for child in value)
    if isinstance(value, list | tuple):
        return [_as_json(child) for child in value]
    # An enumeration of texts is a text to JSON; its plain value says so to every writer.
    return str(value.value) if hasattr(value, "value") else value


def _remove_unfinished(run: RunFolder) -> None:
    """Remove the `golden/` of a run killed before its summary, unless it holds what no run writes there."""
    known = {f"golden/{name}" for name in GOLDEN_FILES}
    strange = [path for path in list_files(run.path, "golden") if path not in known]
    if strange:
        raise RecordError(
            "an unfinished golden folder must hold golden files only",
            got=strange[0],
            where=str(run.golden),
            remedy="move it away, or name another run folder",
        )
    if not run.golden.exists():
        return
    # Renamed first: a kill while its files go leaves a name that nobody reads.
    temporary = run.golden.with_name(f"{TEMPORARY_PREFIX}{run.golden.name}")
    try:
        _remove_folder(temporary)
        os.rename(run.golden, temporary)
        shutil.rmtree(temporary)
    except OSError as error:
        raise StorageError("the unfinished folder must be removable", got=str(error), where=str(run.golden)) from error


def _remove_folder(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
