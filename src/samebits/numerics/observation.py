"""Who is told what the kernels make: nobody, at the cost of one check for each call, or the observer of a traced step.

Kernels tell their results; models tell in which module and direction they are, a training step in which sample.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast

import numpy as np

Array = np.ndarray[Any, Any]
Phase = Literal["forward", "backward", "update"]
P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Place:
    """Where a step is: outside every module, of no sample, it sums gradients and updates parameters."""

    phase: Phase = "update"
    module: str = ""
    sample: int | None = None


class Observer(Protocol):
    """What is told of a step; the arrays are those of the step itself, to be read at once and never changed."""

    def on_operation(self, place: Place, operation: str, arrays: list[Array]) -> None:
        """Take the results of a kernel, what it returns before what else it writes."""

    def on_module(self, place: Place, kind: str, arrays: list[Array]) -> None:
        """Take what a module returns, forward or backward; `kind` is its class."""


class Named(Protocol):
    """A module, or what stands for one."""

    @property
    def name(self) -> str:
        """As the base names it."""


class _Here(threading.local):
    observer: Observer | None = None
    place = Place()


_here = _Here()


@contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Tell `observer` of this thread's kernels and modules inside the block."""
    before, _here.observer = (_here.observer, _here.place), observer
    _here.place = Place()
    try:
        yield
    finally:
        _here.observer, _here.place = before


@contextmanager
def of_sample(sample: int) -> Iterator[None]:
    """Let what is told inside the block be of one sample, by its place in the training split."""
    before, _here.place = _here.place, replace(_here.place, sample=sample)
    try:
        yield
    finally:
        _here.place = before


def observed(*writes: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a kernel tell its results: the arrays that it returns, then those arguments that it only writes.

    Args:
        writes: names of such arguments.
    """

    def decorate(kernel: Callable[P, R]) -> Callable[P, R]:
        signature, name = inspect.signature(kernel), kernel.__name__

        @functools.wraps(kernel)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            made = kernel(*args, **kwargs)
            if (observer := _here.observer) is not None:
                given = signature.bind(*args, **kwargs).arguments if writes else {}
                observer.on_operation(_here.place, name, _arrays((made, *(given.get(key) for key in writes))))
            return made

        return run

    return decorate


def forward(function: F) -> F:
    """Let what a module, the first argument, makes be told as its forward pass."""
    return _of_module(function, "forward")


def backward(function: F) -> F:
    """Let what a module, the first argument, makes be told as its backward pass."""
    return _of_module(function, "backward")


def _of_module(function: F, phase: Phase) -> F:
    kind = function.__qualname__.partition(".")[0]

    @functools.wraps(function)
    def run(module: Named, *args: Any, **kwargs: Any) -> Any:
        if (observer := _here.observer) is None:
            return function(module, *args, **kwargs)
        before = _here.place
        _here.place = place = replace(before, phase=phase, module=module.name)
        try:
            made = function(module, *args, **kwargs)
        finally:
            _here.place = before
        if module.name:
            observer.on_module(place, kind, _arrays(made))
        return made

    # The wrapper takes what the function takes; saying so in types would lose the method's own self.
    return cast("F", run)


def _arrays(made: Any) -> list[Array]:
    """Return the arrays of a result; a scalar is a float32 value."""
    if isinstance(made, tuple):
        return [array for part in made for array in _arrays(part)]
    if isinstance(made, float):
        return [np.array(made, dtype=np.float32)]
    return [made] if isinstance(made, np.ndarray) else []
