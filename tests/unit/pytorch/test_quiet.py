from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest
import transformers.utils.logging as transformers_logging

from samebits.pytorch.quiet import quiet_libraries

LOGGER = transformers_logging.get_logger("transformers.modeling_utils")
LISTED = "`loss_type=None` was set in the config but it is unrecognized. And so on."


class _Shown(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def shown() -> Iterator[list[str]]:
    handler = _Shown()
    transformers_logging.add_handler(handler)
    yield handler.lines
    transformers_logging.remove_handler(handler)


def test_the_listed_lines_are_held_back_and_no_others(shown: list[str]) -> None:
    with quiet_libraries():
        LOGGER.warning(LISTED)
        LOGGER.warning("another line")
    assert shown == ["another line"]


def test_the_listed_warnings_are_held_back_and_no_others() -> None:
    with pytest.warns(UserWarning, match="another warning") as seen:
        _warn_quietly("fan_in_fan_out is set to False but", "another warning")
    assert len(seen) == 1


def _warn_quietly(*texts: str) -> None:
    with quiet_libraries():
        for text in texts:
            warnings.warn(text, UserWarning, stacklevel=1)


def test_everything_is_as_before_afterwards(shown: list[str]) -> None:
    bars = transformers_logging.is_progress_bar_enabled()
    with quiet_libraries():
        assert not transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.is_progress_bar_enabled() == bars
    LOGGER.warning(LISTED)
    assert shown == [LISTED]
    with pytest.warns(UserWarning, match="fan_in_fan_out"):
        warnings.warn("fan_in_fan_out is set to False but", UserWarning, stacklevel=1)
