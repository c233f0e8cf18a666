"""Lines of torch, transformers and PEFT that a user can do nothing about, each held back by its own text."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import transformers.utils.logging as transformers_logging

_LOGGED = (
    # PEFT's wrapper hides the class that transformers looks for; the loss it then takes is the one wanted.
    "`loss_type=None` was set in the config but it is unrecognized",
    # A base's own configuration may name special tokens beyond a shortened vocabulary; samebits uses the tokenizer's.
    "Model config: bos_token_id must be",
    "Model config: eos_token_id must be",
    "Model config: pad_token_id must be",
)
_WARNED = (
    # PEFT calls transformers by its former name.
    "`is_gradient_checkpointing` is deprecated",
    # PEFT sets the flag for each layer as the layer needs it; the adapter's configuration records what it set.
    "fan_in_fan_out is set to",
    # The weights-only loader says so, and then reads the file or refuses it.
    "Detected pickle protocol",
)


class _HeldBack(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_LOGGED)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hold back the listed lines and the loading bars; everything else is shown as ever."""
    held_back, handlers = _HeldBack(), list(transformers_logging.get_logger().handlers)
    had_bars = transformers_logging.is_progress_bar_enabled()
    for handler in handlers:
        handler.addFilter(held_back)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for text in _WARNED:
                warnings.filterwarnings("ignore", message=text)
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(held_back)
        if had_bars:
            transformers_logging.enable_progress_bar()
