"""The study's `from src.utils.deterministic_config import DeterministicConfig`."""

from samebits import DeterministicConfig

__all__ = ["DeterministicConfig"]
