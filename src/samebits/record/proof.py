"""Proofs that a sample's tokens and gradient took part in a step of a run, to be checked without the run.

A proof holds the step's line of the trace, its way to the Merkle root, results.json with that root, recipe.json with
the data's digest, and the list of golden files whose digest is the golden digest.

Source: docs/spec/record.md, clauses R-35 and R-70 to R-72.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from samebits.canonical.digests import sha256_bytes, sha256_listing
from samebits.canonical.json_bytes import dump_json
from samebits.errors import RecordError
from samebits.record.files import is_sha256, read_bytes, read_object
from samebits.record.layout import MAX_FILES, RECORD_VERSION, RunFolder, check_relative_path
from samebits.record.manifest import check_summary, read_summary, require_keys
from samebits.record.merkle import inclusion_proof, root_of_proof
from samebits.record.trace import check_record, read_trace

RESULTS, RECIPE, TRACE = "golden/results.json", "golden/recipe.json", "golden/trace.jsonl"
MAX_PATH_LENGTH = 64

_KEYS = {"record_version", "sample", "line", "audit_path", "results", "recipe", "files", "golden_digest"}


@dataclass(frozen=True)
class ProofCheck:
    """What a proof says, the golden digest that its files lead to, and what in it does not hold.

    `gradient_sha256` is None where the engine tells no sample's gradient alone.
    """

    golden_digest: str
    sample: int
    step: int
    tokens_sha256: str | None
    gradient_sha256: str | None
    faults: tuple[str, ...]


def make_proof(run: RunFolder, sample: int, step: int | None = None) -> dict[str, Any]:
    """Return the proof for a sample in a step, by default the first step that it took part in.

    Args:
        sample: place in the training split.
        step: counted from 1.
    Raises:
        RecordError: the run is unfinished or damaged, or the sample took no part.
    """
    summary = read_summary(run)
    if changes := check_summary(run):
        raise RecordError("the golden files must be those of the summary", got=changes[0], where=str(run.path))
    where = str(run.path / TRACE)
    records = read_trace(read_bytes(run.path, TRACE), where)
    chosen = [record for record in records if sample in record["sample_ids"] and step in (None, record["step"])]
    if not chosen:
        raise RecordError(f"sample {sample} must take part in {_named(step)}", got="none with it", where=where)
    entries = [bytes.fromhex(record["sha256"]) for record in records]
    return {
        "record_version": RECORD_VERSION,
        "sample": sample,
        "line": chosen[0],
        "audit_path": inclusion_proof(entries, chosen[0]["step"] - 1),
        "results": read_object(run.path, RESULTS),
        "recipe": read_object(run.path, RECIPE),
        "files": {path: entry["sha256"] for path, entry in summary.artifact_checksums.items()},
        "golden_digest": summary.golden_digest,
    }


def check_proof(proof: Mapping[str, Any], where: str, *, data_sha256: str | None = None) -> ProofCheck:
    """Recompute everything that a proof claims, from the proof alone.

    Args:
        proof: a stranger's document.
        data_sha256: of a file that is to be the training data.
    Raises:
        RecordError: it is no proof at all.
    """
    _check_form(proof, where)
    line, sample, digest = proof["line"], proof["sample"], sha256_listing(proof["files"])
    faults = tuple(_faults(proof, digest, where, data_sha256))
    place = line["sample_ids"].index(sample) if sample in line["sample_ids"] else None
    tokens, gradient = (
        None if place is None or line[key] is None else line[key][place]
        for key in ("sample_tokens_sha256", "sample_gradients_sha256")
    )
    return ProofCheck(digest, sample, line["step"], tokens, gradient, faults)


def _check_form(proof: Mapping[str, Any], where: str) -> None:
    require_keys(proof, _KEYS, where)
    version = proof["record_version"]
    if type(version) is not int or version != RECORD_VERSION:
        raise RecordError(f"a proof must have record_version {RECORD_VERSION}", got=repr(version)[:40], where=where)
    if type(proof["sample"]) is not int or proof["sample"] < 0:
        raise RecordError("sample must be a whole number from 0", got=repr(proof["sample"])[:40], where=where)
    for name in ("line", "results", "recipe", "files"):
        if not isinstance(proof[name], dict):
            raise RecordError(f"{name} must be an object", got=type(proof[name]).__name__, where=where)
    path, files = proof["audit_path"], proof["files"]
    if not isinstance(path, list) or len(path) > MAX_PATH_LENGTH or not all(map(is_sha256, path)):
        raise RecordError("audit_path must be a list of digests, 64 lower-case hex digits each", where=where)
    if len(files) > MAX_FILES or not all(map(is_sha256, files.values())) or not is_sha256(proof["golden_digest"]):
        raise RecordError("files and golden_digest must be 64 lower-case hex digits each", where=where)
    for name in files:
        check_relative_path(name, where=where)
    try:
        check_record(proof["line"], f"line of {where}")
    except RecordError as error:
        if "digest it states" not in error.must:
            raise


def _faults(proof: Mapping[str, Any], digest: str, where: str, data_sha256: str | None) -> Iterator[str]:
    line, results, files = proof["line"], proof["results"], proof["files"]
    try:
        check_record(line, where)
    except RecordError as error:
        yield error.must
    if proof["sample"] not in line["sample_ids"]:
        yield f"sample {proof['sample']} is not in the line of step {line['step']}"
    n_steps, root = results.get("n_steps"), results.get("trace_root_sha256")
    is_told = type(n_steps) is int and is_sha256(root)
    if (
        not is_told
        or root_of_proof(bytes.fromhex(line["sha256"]), line["step"] - 1, n_steps, proof["audit_path"]) != root
    ):
        yield "the audit path does not lead from the line to the root in results.json"
    for path, document in ((RESULTS, results), (RECIPE, proof["recipe"])):
        if files.get(path) != sha256_bytes(dump_json(document)):
            yield f"{path} is not the file whose digest is listed"
    if proof["golden_digest"] != digest:
        yield "the golden digest is not that of the listed files"
    if data_sha256 is not None and data_sha256 != _raw_sha256(proof["recipe"]):
        yield f"the data is not the file that the recipe names: sha256 {data_sha256[:12]}"


def _raw_sha256(recipe: Mapping[str, Any]) -> Any:
    data = recipe.get("data")
    train = data.get("train") if isinstance(data, dict) else None
    return train.get("raw_sha256") if isinstance(train, dict) else None


def _named(step: int | None) -> str:
    return "a step of the run" if step is None else f"step {step}"
