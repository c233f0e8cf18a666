"""Operation traces of stock steps: every aten operator's outputs, or every module's, with the module's name.

A dispatch mode sees the operators below autograd, forward, backward and in the optimizer. Which module a backward
operator belongs to, autograd's node tells: a module's nodes are those between its outputs and its inputs that no inner
module has. No node and no hook that changes a tensor is added, so that the bits are those of a step that nobody traces.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from samebits.record.operations import Level, Phase, Recorder

# PEFT's wrappers around the base.
_PREFIX = "base_model.model."
# Memory that nobody has written yet.
_UNWRITTEN = ("aten::empty", "aten::new_empty")


class StepObserver:
    """Knows where a step is, and hands its outputs to a recorder.

    Args:
        level: of `record.operations`.
    """

    def __init__(self, level: Level, keep: Container[int] = ()) -> None:
        self.level, self.recorder = level, Recorder(keep)
        self.phase: Phase = "update"
        self.sample: int | None = None
        self._modules, self._module_of_node, self._inputs = [""], dict[Any, str](), list[set[Any]]()

    def begin_pass(self, micro_batch: Sequence[int]) -> None:
        """Note that a forward pass of these places of the training split begins."""
        self.phase, self.sample = "forward", micro_batch[0] if len(micro_batch) == 1 else None
        self._module_of_node.clear()

    def begin_update(self) -> None:
        """Note that all gradients are there."""
        self.phase, self.sample = "update", None
        self._module_of_node.clear()

    def on_operator(self, operator: torch._ops.OpOverload[..., Any], arguments: dict[str, Any], made: Any) -> None:
        """Record what an operator returns, and then what else it writes."""
        name = operator._schema.name
        if not name.startswith("aten::") or name.startswith(_UNWRITTEN) or operator.is_view:
            return
        tensors = _tensors(made)
        for argument in operator._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = _tensors(arguments.get(argument.name))
                tensors += [tensor for tensor in written if all(tensor is not other for other in tensors)]
        node = torch._C._current_autograd_node()
        if node is None:
            self._record(tensors, self.phase, self._modules[-1], name)
        else:
            self._record(tensors, "backward", self._module_of_node.get(node, ""), name)

    def enter(self, name: str, inputs: Any) -> None:
        """Note that a module begins; the way back from its outputs ends at the nodes of its inputs."""
        self._modules.append(name)
        self._inputs.append({tensor.grad_fn for tensor in _tensors(inputs)})

    def leave(self, module: torch.nn.Module, outputs: Any) -> None:
        """Note that a module returns; at level module, record its outputs and, when they come, their gradients."""
        name, found = self._modules.pop(), _tensors(outputs)
        self._claim_nodes(name, found, self._inputs.pop())
        if self.level != "module" or not name:
            return
        kind = type(module).__name__
        self._record(found, self.phase, name, kind)
        for number, tensor in enumerate(found):
            if tensor.requires_grad:
                tensor.register_hook(self._on_gradient(name, kind, number))

    def _on_gradient(self, name: str, kind: str, number: int) -> Callable[[torch.Tensor], None]:
        def record(gradient: torch.Tensor) -> None:
            self._record([gradient], "backward", name, kind, first=number)

        return record

    def _claim_nodes(self, name: str, outputs: list[torch.Tensor], ends: set[Any]) -> None:
        seen, pending = set(ends), [tensor.grad_fn for tensor in outputs]
        while pending:
            node = pending.pop()
            if node is not None and node not in seen:
                seen.add(node)
                self._module_of_node.setdefault(node, name)
                pending += [next_node for next_node, _ in node.next_functions]

    def _record(self, tensors: list[torch.Tensor], phase: Phase, module: str, name: str, first: int = 0) -> None:
        place = {"phase": phase, "module": module, "operation": name, "sample": self.sample}
        for output, tensor in enumerate(tensors, start=first):
            self.recorder.add(tensor.detach().numpy(), **place, output=output)


class _Operators(TorchDispatchMode):
    def __init__(self, observer: StepObserver) -> None:
        super().__init__()
        self._observer = observer

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        names = [argument.name for argument in func._schema.arguments]
        self._observer.on_operator(func, {**dict(zip(names, args, strict=False)), **(kwargs or {})}, made)
        return made


@contextmanager
def observing(model: PeftModel, observer: StepObserver) -> Iterator[None]:
    """Tell `observer` of the model's modules, and at level op of all operators, inside the block."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            for handle in _hooks(module, name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else "", observer):
                stack.callback(handle.remove)
        if observer.level == "op":
            stack.enter_context(_Operators(observer))
        yield


def _hooks(module: torch.nn.Module, name: str, observer: StepObserver) -> tuple[RemovableHandle, ...]:
    return (
        module.register_forward_pre_hook(
            lambda _, args, kwargs: observer.enter(name, (args, kwargs)), with_kwargs=True
        ),
        module.register_forward_hook(lambda owner, _, outputs: observer.leave(owner, outputs)),
    )


def _tensors(value: Any) -> list[torch.Tensor]:
    """Return the tensors of an operator's or a module's result, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
