"""Spot checks: which parts of a run are executed again, and how likely a cheat is to go unseen."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

from samebits.canonical.safetensors_file import tensors_sha256
from samebits.errors import CheckpointError, UsageError
from samebits.record.checkpoint import TENSORS_FILE, Checkpoint, checkpoints, read_checkpoint
from samebits.verify.plain_files import entry_at
from samebits.verify.recorded import Recorded

# Names in a checkpoint.
_PARAMETER, _MOMENTS, _TRACE = "parameter.", ("exp_avg.", "exp_avg_sq.", "step."), "trace_bytes"
# Parameters and two moments, their longer names, and what a generator holds: no checkpoint of an adapter is larger.
_COPIES, _BESIDE_BYTES = 4, 1 << 20
MAX_SEED_CHARACTERS = 128


@dataclass(frozen=True)
class Segment:
    """The steps from `first` to `last`, counted from 1, and the checkpoint before them, None at the beginning."""

    first: int
    last: int
    start: Path | None

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Choice:
    """Segments that were drawn, in the order of the run.

    Args:
        segments: the chosen ones.
        n_segments: those of the whole run.
        seed: repeats the choice.
    """

    segments: tuple[Segment, ...]
    n_segments: int
    seed: str

    @property
    def unseen(self) -> Fraction:
        """Return the chance that a cheat in one step goes unseen."""
        return unseen_chance(self.n_segments, len(self.segments))

    def as_document(self) -> dict[str, Any]:
        """Return the choice as JSON values; the chance also as a fraction."""
        return {
            "n_segments": self.n_segments,
            "segments": [[segment.first, segment.last] for segment in self.segments],
            "seed": self.seed,
            "unseen_chance": float(self.unseen),
            "unseen_fraction": str(self.unseen),
        }


def segments_of(recorded: Recorded) -> list[Segment]:
    """Return the steps of a run cut at its stored checkpoints, of which nothing is read.

    Raises:
        RecordError: the folder of checkpoints is a link or cannot be listed.
    """
    n_steps = len(recorded.trace)
    starts = {step: path for step, path in checkpoints(recorded.run) if 0 < step < n_steps}
    cuts = [0, *sorted(starts), n_steps]
    return [Segment(cut + 1, end, starts.get(cut)) for cut, end in pairwise(cuts)]


def choose(segments: Sequence[Segment], n: int, seed: str | None = None) -> Choice:
    """Draw `n` segments, each set of them equally likely whatever their lengths; all where there are no more.

    Args:
        seed: repeats an earlier choice; None draws a new one from the system's randomness.
    Raises:
        UsageError: `n` is below 1, or the seed is empty or too long.
    """
    if n < 1:
        raise UsageError("the number of segments must be 1 or more", got=str(n), where="--spot")
    if seed is not None and not 0 < len(seed) <= MAX_SEED_CHARACTERS:
        got = f"{len(seed)} characters"
        raise UsageError(f"a seed must have from 1 to {MAX_SEED_CHARACTERS} characters", got=got, where="--spot-seed")
    drawn = secrets.token_hex(16) if seed is None else seed
    # The smallest digests of seed and number: a choice that any version and any language repeats.
    ranked = sorted(range(len(segments)), key=lambda number: _rank(drawn, number))
    chosen = sorted(ranked[:n])
    return Choice(tuple(segments[number] for number in chosen), len(segments), drawn)


def unseen_chance(n_segments: int, n_chosen: int, n_cheated: int = 1) -> Fraction:
    """Return the chance that none of the segments in which there is a cheat is drawn.

    A step lies in one segment, and each set of `n_chosen` is equally likely: the chance does not depend on which step
    was cheated in, nor on how long its segment is.

    Args:
        n_segments: of the run.
        n_chosen: those executed again.
        n_cheated: segments with a cheated step.
    """
    return Fraction(comb(n_segments - n_cheated, n_chosen), comb(n_segments, n_chosen))


def read_start(recorded: Recorded, segment: Segment) -> Checkpoint:
    """Read the checkpoint that a segment starts from, and hold it against the trace.

    Raises:
        RecordError: it is damaged, too large, of another recipe, or its state is not the one that the trace tells.
    """
    path = segment.start
    assert path is not None, "the first segment starts at the beginning"
    limit_bytes = _COPIES * recorded.adapter_bytes + sum(map(len, recorded.lines)) + _BESIDE_BYTES
    entry = entry_at(path / TENSORS_FILE)
    if entry is not None and entry.size_bytes > limit_bytes:
        must = f"a checkpoint of this adapter must have at most {limit_bytes} bytes"
        raise CheckpointError(must, got=str(entry.size_bytes), where=str(path / TENSORS_FILE))
    checkpoint = read_checkpoint(path, recorded.recipe_sha256)
    if fault := _fault(checkpoint, recorded):
        raise CheckpointError(
            f"a checkpoint's {fault} must be what the golden trace tells", got="another", where=str(path)
        )
    return checkpoint


def _fault(checkpoint: Checkpoint, recorded: Recorded) -> str | None:
    """Return what in a checkpoint is not what the trace tells."""
    tensors, line = checkpoint.tensors, recorded.trace[checkpoint.step - 1]
    if _TRACE not in tensors or tensors[_TRACE].tobytes() != b"".join(recorded.lines[: checkpoint.step]):
        return "trace"
    parameters = {name.removeprefix(_PARAMETER): t for name, t in tensors.items() if name.startswith(_PARAMETER)}
    if tensors_sha256(parameters) != line["parameters_sha256"]:
        return "parameters"
    optimizer = {name: tensor for name, tensor in tensors.items() if name.startswith(_MOMENTS)}
    return None if tensors_sha256(optimizer) == line["optimizer_sha256"] else "optimizer state"


def _rank(seed: str, number: int) -> bytes:
    return hashlib.sha256(f"{seed} {number}".encode("utf-8", "surrogateescape")).digest()
