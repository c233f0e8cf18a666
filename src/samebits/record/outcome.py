"""What every engine hands back when a run is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samebits.record.layout import RunFolder


@dataclass(frozen=True)
class TrainingOutcome:
    """A finished run: its golden digest, `results.json`, and its folder."""

    golden_digest: str
    results: dict[str, Any]
    run: RunFolder
