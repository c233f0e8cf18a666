"""Where things lie in a run folder, which names are allowed there, and how large each may be.

Source: docs/spec/record.md, clauses R-01 to R-07.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from samebits.errors import RecordError

RECORD_VERSION = 1

SUMMARY_FILE = "artifact_summary.json"
GOLDEN_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "generations.jsonl",
    "recipe.json",
    "results.json",
    "trace.jsonl",
    "training_args.json",
)
OBSERVED_FILES = ("env.json", "execution.json", "training_metadata.json")

MAX_JSON_BYTES = 16 << 20
MAX_JSON_LINES_BYTES = 256 << 20
MAX_OTHER_BYTES = 64 << 30
MAX_FILES = 1024
MAX_PATH_SEGMENTS = 8
MAX_SEGMENT_CHARACTERS = 128

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
# Windows opens these as devices in every folder, whatever their ending.
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True)
class RunFolder:
    """One run on disk; no property touches the disk."""

    path: Path

    @property
    def golden(self) -> Path:
        """Folder of the files that must be the same everywhere."""
        return self.path / "golden"

    @property
    def observed(self) -> Path:
        """Folder of the files that describe this machine and this moment; never compared."""
        return self.path / "observed"

    @property
    def checkpoints(self) -> Path:
        """Folder of the states that a run resumes from."""
        return self.path / "checkpoints"

    @property
    def summary(self) -> Path:
        """The file that is written last; a run without it is incomplete."""
        return self.path / SUMMARY_FILE

    def is_complete(self) -> bool:
        """Say whether the run was finished: its summary is there."""
        return self.summary.is_file()


def size_limit_bytes(name: str) -> int:
    """Return how large a file of a run folder may be, by the ending of its name."""
    if name.endswith(".jsonl"):
        return MAX_JSON_LINES_BYTES
    return MAX_JSON_BYTES if name.endswith(".json") else MAX_OTHER_BYTES


def check_relative_path(path: str, *, where: str) -> str:
    """Return `path` if it is a plain relative path that means the same file on every system.

    Raises:
        RecordError: empty, absolute, `.` or `..`, a backslash, a drive letter, a device, or a character outside
            A-Z a-z 0-9 . _ -
    """
    segments = path.split("/")
    if len(segments) > MAX_PATH_SEGMENTS:
        raise RecordError(f"a path must have at most {MAX_PATH_SEGMENTS} segments", got=repr(path), where=where)
    for segment in segments:
        if fault := _segment_fault(segment):
            raise RecordError(
                f"a path must be relative, of A-Z a-z 0-9 . _ - and single slashes, without {fault}",
                got=repr(path),
                where=where,
            )
    return path


def _segment_fault(segment: str) -> str | None:
    if not segment:
        return "an empty segment or a slash at an end"
    if segment in (".", ".."):
        return "`.` or `..`"
    if len(segment) > MAX_SEGMENT_CHARACTERS:
        return f"a segment of more than {MAX_SEGMENT_CHARACTERS} characters"
    if not _SEGMENT.fullmatch(segment):
        return "any other character"
    if segment.endswith("."):
        return "a dot at the end of a segment"
    if segment.partition(".")[0].lower() in _WINDOWS_DEVICES:
        return "the name of a device"
    return None
