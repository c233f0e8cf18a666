"""From what kernels and modules tell of a traced step to the lines of its operation trace."""

from __future__ import annotations

from samebits.numerics.observation import Array, Place
from samebits.record.operations import Level, Recorder


class StepObserver:
    """Hands the outputs of one level to a recorder.

    Args:
        level: of `record.operations`.
    """

    def __init__(self, level: Level, recorder: Recorder) -> None:
        self._level, self._recorder = level, recorder

    def on_operation(self, place: Place, operation: str, arrays: list[Array]) -> None:
        """Record the results of a kernel, at level op."""
        if self._level == "op":
            self._record(place, operation, arrays)

    def on_module(self, place: Place, kind: str, arrays: list[Array]) -> None:
        """Record what a module returns, at level module."""
        if self._level == "module":
            self._record(place, kind, arrays)

    def _record(self, place: Place, name: str, arrays: list[Array]) -> None:
        for output, array in enumerate(arrays):
            self._recorder.add(array, **vars(place), operation=name, output=output)
