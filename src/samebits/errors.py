"""Every exception that samebits raises on purpose.

SamebitsError                   exit code 2: could not tell, nothing was lost
├── UsageError                  a command was called with arguments that do not fit together
├── RecipeError                 a recipe key or value
├── DataError                   a dataset file, a sample, a template
├── ModelError                  a base model folder, its weights, its tokenizer
├── RecordError                 a run folder, or a file in it, that cannot be read as what it claims to be
│   └── CheckpointError         a checkpoint that is incomplete or damaged
├── NumericsError               arrays that a clause does not cover, or kernels that cannot be trusted on this machine
├── ImageError                  a container image that cannot be read or built, or an engine that is not there
├── StorageError                the disk refused (full, read-only, no permission)
├── NonFiniteError              a loss, gradient or parameter stopped being finite
└── MissingExtraError           an optional part is not installed

A difference between two runs is a result, never an exception.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` on one line with control characters escaped: file names and keys may come from strangers."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class SamebitsError(Exception):
    """One sentence: what must hold, what was got, where, and what to do next.

    Args:
        must: what must hold, lower case, without a full stop.
        got: what was found instead.
        where: file, line, key, step or tensor.
        remedy: what to do next, imperative.
    """

    exit_code = 2

    def __init__(
        self, must: str, *, got: str | None = None, where: str | None = None, remedy: str | None = None
    ) -> None:
        self.must, self.got, self.where, self.remedy = must, got, where, remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        sentence = self.must
        if self.got is not None:
            sentence += f", got {self.got}"
        if self.where is not None:
            sentence += f" ({self.where})"
        if self.remedy is not None:
            sentence += f"; {self.remedy}"
        return printable(sentence)


class UsageError(SamebitsError):
    """The command's arguments do not fit together."""


class RecipeError(SamebitsError):
    """A recipe key or value is not one that can be trained."""


class DataError(SamebitsError):
    """A dataset file, sample or chat template breaks a written rule."""


class ModelError(SamebitsError):
    """A base model folder, its weights or its tokenizer cannot be used."""


class RecordError(SamebitsError):
    """A run folder, or a file in it, is not what it claims to be."""


class CheckpointError(RecordError):
    """A checkpoint is incomplete, damaged, or of another recipe."""


class NumericsError(SamebitsError):
    """Arrays that a clause does not cover, or kernels that cannot be trusted on this machine."""


class ImageError(SamebitsError):
    """A container image cannot be read or built, or no engine is there to do it."""


class StorageError(SamebitsError):
    """The disk refused a write: full, read-only or no permission."""


class NonFiniteError(SamebitsError):
    """A loss, gradient or parameter stopped being finite."""


class MissingExtraError(SamebitsError):
    """An optional part of samebits is not installed."""
