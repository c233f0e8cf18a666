"""The operation trace of a portable step: the same however the work is cut up, and a planted fault in it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samebits.canonical.safetensors_file import tensor_sha256
from samebits.models.inputs import Inputs, find_inputs
from samebits.models.seeded import write_base
from samebits.models.shapes import tensors_of
from samebits.numerics import elementwise, functions, library, sample_tree
from samebits.recipe.settings import Settings
from samebits.record.operations import Level, OperationTrace, Output
from samebits.training.portable import Training

Portable = Callable[..., Settings]
CUTS: tuple[dict[str, Any], ...] = (
    {},
    {"threads": 3},
    {"threads": 2, "memory_budget_mib": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
)


@pytest.fixture(scope="module")
def inputs(portable: Portable) -> Inputs:
    return find_inputs(portable())


def _traced(settings: Settings, inputs: Inputs, level: Level = "op", **arguments: Any) -> OperationTrace:
    training = Training(settings, inputs)
    training.take_step()
    return training.trace_step(level, **arguments)


@pytest.fixture(scope="module")
def golden(portable: Portable, inputs: Inputs) -> OperationTrace:
    return _traced(portable(), inputs)


def test_the_trace_is_the_same_on_every_instruction_set_thread_count_and_memory_budget(
    portable: Portable, inputs: Inputs, golden: OperationTrace
) -> None:
    isas = library.runnable_isas()
    for isa in isas:
        with library.using(library.open_library(isa)):
            for cut in CUTS:
                trace = _traced(portable(**cut), inputs)
                assert trace.outputs == golden.outputs, (isa, cut)
                assert (trace.header.isa, trace.header.n_threads) == (isa, cut.get("threads", 1))
    assert len(isas) >= 1


@pytest.mark.parametrize("level", ["module", "op"])
def test_a_traced_step_is_the_step(portable: Portable, inputs: Inputs, level: Level) -> None:
    plain, traced = Training(portable(), inputs), Training(portable(), inputs)
    records = [plain.take_step() for _ in range(3)]
    traced.take_step()
    trace = traced.trace_step(level)
    traced.take_step()
    assert traced.records == records
    assert (trace.header.step, trace.header.trace_line_sha256) == (2, records[1]["sha256"])
    assert [output.n for output in trace.outputs] == list(range(1, len(trace.outputs) + 1))
    samples = [output.sample for output in trace.outputs if output.sample is not None]
    assert list(dict.fromkeys(samples)) == records[1]["sample_ids"]


def test_a_trace_ends_in_the_digests_of_the_step(portable: Portable, inputs: Inputs) -> None:
    training = Training(portable(), inputs)
    training.take_step()
    trace = training.trace_step("op")
    update = {(output.operation, output.output): output.sha256 for output in trace.outputs if output.phase == "update"}
    flat = {
        ("adamw", 0): training.state.adapted.flat,
        ("adamw", 1): training.state.exp_avg,
        ("adamw", 2): training.state.exp_avg_sq,
    }
    assert {key: update[key] for key in flat} == {key: tensor_sha256(array) for key, array in flat.items()}


def test_kept_tensors_are_those_of_the_lines(portable: Portable, inputs: Inputs, golden: OperationTrace) -> None:
    trace = _traced(portable(), inputs, keep={1, 9})
    assert trace.outputs == golden.outputs
    assert {n: tensor_sha256(array) for n, array in trace.tensors.items()} == {
        n: golden.outputs[n - 1].sha256 for n in (1, 9)
    }


def test_level_module_holds_what_modules_return(portable: Portable, inputs: Inputs, golden: OperationTrace) -> None:
    trace = _traced(portable(), inputs, "module")
    assert {output.operation for output in trace.outputs} == {"GPT2Block", "Head", "LayerNorm", "Linear"}
    assert all(output.module for output in trace.outputs)
    # What a module returns, one of its operations made.
    made = {(output.module, output.sha256) for output in golden.outputs}
    forward = [output for output in trace.outputs if output.phase == "forward"]
    assert {(output.module, output.sha256) for output in forward} <= made
    assert len(forward) > 20


def _traced_with(plant: Callable[[], None], settings: Settings, inputs: Inputs) -> OperationTrace:
    """Trace the second step with a fault that is planted after the first."""
    training = Training(settings, inputs)
    training.take_step()
    plant()
    return training.trace_step("op")


def _first_difference(golden: OperationTrace, trace: OperationTrace) -> Output:
    return next(here for there, here in zip(golden.outputs, trace.outputs, strict=False) if there != here)


def test_one_altered_element_of_one_kernel_shows_first_at_its_own_operation(
    portable: Portable, inputs: Inputs, golden: OperationTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = functions.call_of_two, list[int]()

    def altered(*arguments: Any) -> Any:
        made = real(*arguments)
        calls.append(1)
        # Of the first sample, the lower of two blocks.
        if len(calls) == 2:
            made.reshape(-1)[5] = np.nextafter(made.reshape(-1)[5], np.float32(9))
        return made

    trace = _traced_with(lambda: monkeypatch.setattr(functions, "call_of_two", altered), portable(), inputs)
    assert len(calls) == 8
    first = _first_difference(golden, trace)
    assert (first.phase, first.module, first.operation) == ("backward", "transformer.h.0", "gelu_backward")
    assert first.sample == golden.outputs[0].sample
    assert (first.n, first.shape) == (golden.outputs[first.n - 1].n, golden.outputs[first.n - 1].shape)


def test_an_altered_sum_over_samples_shows_in_the_update(
    portable: Portable, inputs: Inputs, golden: OperationTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swapped:
        @staticmethod
        def add(left: Any, right: Any, *, out: Any) -> Any:
            return elementwise.sub(left, right, out=out)

    trace = _traced_with(lambda: monkeypatch.setattr(sample_tree, "elementwise", Swapped), portable(), inputs)
    first = _first_difference(golden, trace)
    assert (first.phase, first.module, first.operation, first.sample) == ("update", "", "sub", None)


def test_llamas_modules_have_the_names_of_the_base(tmp_path: Path, portable: Portable) -> None:
    write_base("qwen3-tiny", 3, tmp_path / "base")
    settings = portable(model_name_or_path=str(tmp_path / "base"), lora_target_modules=["all-linear"])
    inputs = find_inputs(settings)
    trace = _traced(settings, inputs)
    names = {name.removesuffix(".weight") for name in tensors_of(inputs.base.config)}
    modules = {output.module for output in trace.outputs}
    # The head is the embedding; attention and the blocks hold no weight of their own.
    blocks = {f"model.layers.{layer}{part}" for layer in range(2) for part in ("", ".self_attn")}
    assert modules == names - {"model.embed_tokens"} | blocks | {"lm_head", ""}
    for part in ("q_proj", "q_norm"):
        assert {output.phase for output in trace.outputs if output.module == f"model.layers.1.self_attn.{part}"} == {
            "forward", "backward",
        }  # fmt: skip
