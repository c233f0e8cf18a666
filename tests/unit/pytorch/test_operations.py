"""Stock steps traced operator by operator: the bits of a step that nobody traces, and every operator's module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from samebits.canonical.safetensors_file import tensor_sha256
from samebits.models.inputs import find_inputs
from samebits.pytorch.adapter import arrays
from samebits.pytorch.stock import StockTraining
from samebits.recipe.reader import settings_from
from samebits.record.operations import Level, OperationTrace, Output

VALUES: dict[str, Any] = {"numerics": "stock", "threads": 1, "lora_r": 4}


def _training(**values: Any) -> StockTraining:
    settings = settings_from({**VALUES, **values}, where="test")
    return StockTraining(settings, find_inputs(settings))


def _traced(level: Level, **values: Any) -> OperationTrace:
    training = _training(**values)
    training.take_step()
    return training.trace_step(level)


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    training = _training()
    return [training.take_step() for _ in range(3)]


@pytest.mark.parametrize("level", ["module", "op"])
def test_a_traced_step_is_the_step(level: Level, records: list[dict[str, Any]]) -> None:
    training = _training()
    training.take_step()
    trace = training.trace_step(level, keep={3})
    training.take_step()
    assert training.records == records
    assert (trace.header.step, trace.header.trace_line_sha256) == (2, records[1]["sha256"])
    assert tensor_sha256(trace.tensors[3]) == trace.outputs[2].sha256
    assert trace.outputs == _traced(level).outputs
    # Nothing of the tracing stays in the model.
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in training.state.model.modules())


def _of(trace: OperationTrace, phase: str) -> Iterator[Output]:
    return (output for output in trace.outputs if output.phase == phase)


def test_operators_bear_the_names_of_their_modules() -> None:
    trace = _traced("op")
    layer = "transformer.h.1.attn.c_attn"
    forward = {(output.module, output.operation) for output in _of(trace, "forward")}
    assert {(f"{layer}.base_layer", "aten::addmm"), (f"{layer}.lora_A.default", "aten::mm")} <= forward
    backward = {(output.module, output.operation) for output in _of(trace, "backward")}
    assert {
        ("lm_head", "aten::mm"),
        ("transformer.ln_f", "aten::native_layer_norm_backward"),
        ("transformer.h.1.attn", "aten::_softmax_backward_data"),
        (f"{layer}.lora_B.default", "aten::mm"),
        (f"{layer}.base_layer", "aten::mm"),
    } <= backward
    # Outside every module there is the loss's own way alone.
    assert {name for module, name in backward if not module} <= {
        "aten::div", "aten::nll_loss_backward", "aten::_log_softmax_backward_data", "aten::mul", "aten::sum",
    }  # fmt: skip


def test_an_update_ends_in_the_parameters() -> None:
    training = _training()
    trace = training.trace_step("op")
    update = [output for output in _of(trace, "update") if output.operation == "aten::_fused_adamw_"]
    found = {output.sha256 for output in update}
    assert {tensor_sha256(array) for array in arrays(training.state.parameters).values()} <= found
    assert {output.module for output in _of(trace, "update")} == {""}


def test_memory_that_nobody_wrote_and_views_are_left_out() -> None:
    names = {output.operation for output in _traced("op").outputs}
    assert "aten::addmm" in names
    assert not names & {"aten::empty", "aten::empty_like", "aten::view", "aten::t", "aten::transpose", "aten::detach"}


def test_a_sample_of_its_own_pass_is_named() -> None:
    alone = _traced("module", per_device_train_batch_size=1, gradient_accumulation_steps=2)
    together = _traced("module", per_device_train_batch_size=2)
    assert len({output.sample for output in alone.outputs}) == 2
    assert None not in {output.sample for output in alone.outputs}
    assert {output.sample for output in together.outputs} == {None}


def test_one_altered_operator_shows_first_at_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    golden, training = _traced("op"), _training()
    training.take_step()
    module = dict(training.state.model.named_modules())["base_model.model.transformer.h.1.mlp.act"]
    real = module.forward

    def altered(x: torch.Tensor) -> torch.Tensor:
        return real(x) + (torch.arange(x.numel()).reshape(x.shape) == 7) * 1e-3

    monkeypatch.setattr(module, "forward", altered)
    trace = training.trace_step("op")
    pairs = zip(golden.outputs, trace.outputs, strict=False)
    first = next(here for there, here in pairs if there != here)
    assert (first.phase, first.module) == ("forward", "transformer.h.1.mlp.act")
