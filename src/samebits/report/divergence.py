"""Where a run first left the golden one: step and field of the trace, then tensor and element of the adapter."""

from __future__ import annotations

from typing import Any

from samebits.errors import RecordError, printable
from samebits.report.runs import WEIGHTS, Run
from samebits.verify.tensors import compare_tensors
from samebits.verify.trace import STAGES


def first_divergence(golden: Run, candidate: Run) -> dict[str, Any]:
    """Say where `candidate` first differs from `golden`, as far as their records tell.

    Returns:
        `step`, `field`, `what`, `golden` and `candidate` (values of that field) are None where the traces agree or
        cannot be read; `first_parameters_step` is the first step after which the trained parameters differ; `note`
        says what the records cannot. `tensor` is the first differing tensor of the adapter with its first differing
        element, None where the adapters agree or one is missing.
    """
    document: dict[str, Any] = {
        "reference": golden.name,
        "run": candidate.name,
        **dict.fromkeys(("step", "field", "what", "golden", "candidate", "first_parameters_step", "note")),
        "artifacts": _differing_artifacts(golden, candidate),
        "tensor": _first_tensor(golden, candidate),
        "n_steps": len(golden.trace),
    }
    if not golden.trace or not candidate.trace:
        return {**document, "note": "a trace is missing or unreadable, so the first step that differs is not known"}
    steps = list(zip(golden.trace, candidate.trace, strict=False))
    for ours, theirs in steps:
        for field, what, _ in STAGES:
            if ours[field] != theirs[field]:
                document |= {"step": ours["step"], "field": field, "what": what}
                document |= {"golden": ours[field], "candidate": theirs[field]}
                document["first_parameters_step"] = next(
                    (a["step"] for a, b in steps if a["parameters_sha256"] != b["parameters_sha256"]), None
                )
                return document
    if len(golden.trace) != len(candidate.trace):
        note = f"the traces agree as far as both go, but have {len(golden.trace)} and {len(candidate.trace)} steps"
        return {**document, "note": note}
    if WEIGHTS in document["artifacts"]:
        return {**document, "note": "the traces agree in every step: the adapter was changed after training"}
    return {**document, "note": "the traces and the weights agree: only the files named differ"}


def _first_tensor(golden: Run, candidate: Run) -> dict[str, Any] | None:
    digests = golden.artifacts.get(WEIGHTS), candidate.artifacts.get(WEIGHTS)
    if None in digests or digests[0] == digests[1]:
        return None
    document: dict[str, Any] = dict.fromkeys(("name", "golden", "candidate"))
    try:
        difference = compare_tensors(golden.path / WEIGHTS, candidate.path / WEIGHTS, WEIGHTS)
    except RecordError as error:
        return {**document, "note": error.must}
    if difference is None or not difference.children:
        return {**document, "note": difference.note if difference else "the files differ outside the tensors"}
    first = difference.children[0]
    # A damaged header may hold a name that is no text.
    return {"name": printable(first.where), "golden": first.golden, "candidate": first.candidate, "note": first.note}


def _differing_artifacts(golden: Run, candidate: Run) -> list[str]:
    names = sorted(golden.artifacts.keys() | candidate.artifacts.keys())
    return [name for name in names if golden.artifacts.get(name) != candidate.artifacts.get(name)]
