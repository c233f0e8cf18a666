"""What golden files tell of each other: where two of them cannot both be true, no rebuild gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samebits.canonical.digests import sha256_bytes
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import TensorFile
from samebits.errors import RecordError
from samebits.record.documents import canonical_adapter_config, results_document
from samebits.record.files import parse_object, read_bytes
from samebits.record.layout import RunFolder
from samebits.record.trace import trace_root
from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json

_ADAPTER, _CONFIG, _RESULTS = "adapter_model.safetensors", "adapter_config.json", "results.json"
_ARGUMENTS, _GENERATIONS, _RECIPE = "training_args.json", "generations.jsonl", "recipe.json"
_MAX_GENERATIONS = 100_000
# Settings that training_args.json has as the engine resolved them.
_RESOLVED = ("data_seed", "lora_target_modules")


def contradictions(run: RunFolder, trace: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Yield a difference for each golden file that cannot be true beside the trace, the recipe and the format.

    Raises:
        RecordError: a file can no longer be read.
    """
    documents: dict[str, dict[str, Any]] = {}
    for name in (_RECIPE, _ARGUMENTS, _CONFIG, _RESULTS):
        document = _canonical(read_bytes(run.path, f"golden/{name}"), name)
        if isinstance(document, Difference):
            yield document
        else:
            documents[name] = document
    if _RECIPE not in documents:
        return
    settings = documents[_RECIPE].get("settings")
    settings = settings if isinstance(settings, dict) else {}
    found = [_adapter_fault(run, trace, settings), _generations_fault(run, settings)]
    if _ARGUMENTS in documents:
        found.append(_arguments_fault(documents[_ARGUMENTS], len(trace), settings))
    if _CONFIG in documents:
        found.append(_config_fault(documents[_CONFIG], settings))
    if _RESULTS in documents:
        found.append(_results_fault(documents[_RESULTS], trace))
    yield from (difference for difference in found if difference is not None)


def _canonical(data: bytes, name: str) -> dict[str, Any] | Difference:
    try:
        document = parse_object(data, where=f"golden/{name}")
    except RecordError as error:
        return Difference("value", name, note=f"no run wrote this: {error}")
    if dump_json(document) != data:
        return Difference("layout", name, note="a run writes canonical JSON (RFC 8785), and this is spelled otherwise")
    return document


def _adapter_fault(
    run: RunFolder, trace: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> Difference | None:
    try:
        file = TensorFile(run.golden / _ADAPTER)
    except RecordError as error:
        return Difference("value", _ADAPTER, note=f"no run wrote this: {error}")
    if not file.is_canonical or any(info.dtype != "F32" for info in file.tensors.values()):
        note = "a run writes float32 tensors in one layout (R-09), and this is another"
        return Difference("layout", _ADAPTER, note=note)
    listing = "".join(f"{file.sha256_of(name)}  {name}\n" for name in sorted(file.tensors))
    told, last = sha256_bytes(listing.encode(errors="surrogatepass")), trace[-1]["parameters_sha256"]
    if told != last:
        return Difference("value", _ADAPTER, told, last, "its tensors are not the parameters after the last step")
    rank = settings.get("lora_r")
    if any(info.shape[:1] != (rank,) for name, info in file.tensors.items() if name.endswith("lora_A.weight")):
        return Difference("value", _ADAPTER, note="its tensors are not of the recipe's lora_r")
    return None


def _generations_fault(run: RunFolder, settings: Mapping[str, Any]) -> Difference | None:
    data = read_bytes(run.path, f"golden/{_GENERATIONS}")
    prompts, lines = settings.get("generation_prompts"), data.split(b"\n")
    if lines.pop() or not isinstance(prompts, list) or len(lines) != len(prompts) or len(lines) > _MAX_GENERATIONS:
        return Difference("value", _GENERATIONS, note="a run writes one line for each of the recipe's prompts")
    for number, (line, prompt) in enumerate(zip(lines, prompts, strict=True), start=1):
        document = _canonical(line + b"\n", f"{_GENERATIONS}, line {number}")
        if isinstance(document, Difference):
            return document
        if document.keys() != {"prompt", "token_ids", "text", "logits_sha256"} or document["prompt"] != prompt:
            return Difference("value", f"{_GENERATIONS}, line {number}", note="not the record of the recipe's prompt")
    return None


def _arguments_fault(found: dict[str, Any], n_steps: int, settings: Mapping[str, Any]) -> Difference | None:
    derived = {name: value for name, value in settings.items() if name not in _RESOLVED}
    derived["n_steps"] = n_steps
    told = {name: found.get(name) for name in derived}
    return compare_json(derived, told, _ARGUMENTS)


def _config_fault(found: dict[str, Any], settings: Mapping[str, Any]) -> Difference | None:
    try:
        derived = canonical_adapter_config(found)
    except (RecordError, TypeError) as error:
        return Difference("value", _CONFIG, note=f"no run wrote this: {error}")
    derived |= {"r": settings.get("lora_r"), "lora_alpha": settings.get("lora_alpha")}
    return compare_json(derived, found, _CONFIG)


def _results_fault(found: dict[str, Any], trace: Sequence[Mapping[str, Any]]) -> Difference | None:
    n_held_out = found.get("n_eval_target_tokens")
    try:
        train_loss, eval_loss = _loss(found.get("train_loss")), _loss(found.get("eval_loss"))
    except TypeError:
        return Difference("value", _RESULTS, note="its losses are no numbers")
    if train_loss is None or type(n_held_out) is not int:
        return Difference("value", _RESULTS, note="its training loss or its number of tokens is missing")
    derived = results_document(
        train_loss,
        eval_loss,
        n_steps=len(trace),
        n_target_tokens=sum(record["n_target_tokens"] for record in trace),
        trace_root_sha256=trace_root(trace),
        n_eval_target_tokens=n_held_out,
    )
    return compare_json(derived, found, _RESULTS)


def _loss(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)
