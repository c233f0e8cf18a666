"""Two traces: the first step that differs, which of its fields do, and where in the step that says it began."""

from __future__ import annotations

from typing import Any

from samebits.errors import RecordError
from samebits.record.trace import read_trace
from samebits.verify.difference import Difference
from samebits.verify.json_values import compare_json
from samebits.verify.lines import compare_lines

# One step, in the order in which it is computed: the first of these that differs is where the step began to differ.
STAGES = (
    ("sample_ids", "the samples or their order", "the step was fed other samples: look at the data and its order"),
    ("token_sha256", "the token ids", "the same samples became other tokens: look at the data, template and tokenizer"),
    ("sample_tokens_sha256", "single samples' token ids", "only the samples' own digests differ: look at the writer"),
    ("n_target_tokens", "the number of target tokens", "the loss covers other tokens: look at the data settings"),
    ("learning_rate", "the learning rate", "the schedule gave another learning rate: look at the training settings"),
    ("loss", "the loss", "the forward pass moved first"),
    ("sample_gradients_sha256", "samples' own gradients", "the backward pass moved first: the loss is still the same"),
    ("gradients_sha256", "the gradients", "the backward pass moved first: the loss is still the same"),
    ("grad_norm", "the gradient norm", "only the norm moved first: the gradients are still the same"),
    ("parameters_sha256", "the parameters", "the optimizer's update moved first: the gradients are still the same"),
    ("optimizer_sha256", "the optimizer state", "the optimizer's state moved first: the parameters are still the same"),
)  # fmt: skip


def is_trace(name: str, first_line: bytes) -> bool:
    """Say whether a file is a trace, by its name or by what its first line holds."""
    return name.rsplit("/", 1)[-1] == "trace.jsonl" or b'"gradients_sha256"' in first_line


def compare_traces(golden: bytes, candidate: bytes, where: str) -> Difference | None:
    """Compare two traces; None where they are equal.

    Raises:
        RecordError: the golden is not a trace whose chain holds.
    """
    ours = read_trace(golden, where)
    if golden == candidate:
        return None
    try:
        theirs = read_trace(candidate, where)
    except RecordError as error:
        lines = compare_lines(golden, candidate, where, is_json=True)
        note = f"the candidate's chain is broken, so it was changed after the run: {error}"
        return Difference("chain", where, note=note, children=(lines,) if lines else ())
    changed = [index for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    facts = {"n_golden_steps": len(ours), "n_candidate_steps": len(theirs)}
    if not changed:
        return Difference("file", where, note=_length_note(ours, theirs), facts=facts)
    step, why = compare_step(ours[changed[0]], theirs[changed[0]])
    facts |= {"first_step": changed[0] + 1, "n_different_steps": len(changed)}
    note = f"step {changed[0] + 1} of {len(ours)} is the first that differs; {why}"
    if len(ours) != len(theirs):
        note += f"; the candidate has {len(theirs)} steps"
    return Difference("file", where, note=note, facts=facts, children=(step,))


def compare_step(golden: dict[str, Any], candidate: dict[str, Any]) -> tuple[Difference, str]:
    """Compare two records of one step; return what differs, in the order of the step, and where it says it began."""
    differences = {field: compare_json(golden[field], candidate[field], field) for field, _, _ in STAGES}
    fields = [difference for difference in differences.values() if difference is not None]
    why = next((meaning for field, _, meaning in STAGES if differences[field] is not None), "only its digests differ")
    step = golden["step"]
    if why.startswith("the forward pass"):
        why += (
            ": the adapter's first values (seed, LoRA settings), the base model, or its arithmetic"
            if step == 1
            else ": up to there the parameters were the same, so it is the arithmetic, or dropout's masks"
        )
    differing = ", ".join(name for field, name, _ in STAGES if differences[field] is not None)
    note = f"{differing} differ, in the order of the step"
    return Difference("step", f"step {step}", note=note, children=tuple(fields)), why


def _length_note(ours: list[Any], theirs: list[Any]) -> str:
    what = "ends early" if len(theirs) < len(ours) else "goes on"
    n_same = min(len(ours), len(theirs))
    return f"the candidate {what}: {len(theirs)} steps for {len(ours)}, the first {n_same} are the same"
