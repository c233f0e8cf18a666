"""Whether a run folder may be written to, and what is in it to go on from."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from samebits.canonical.atomic import TEMPORARY_PREFIX, write_atomic
from samebits.canonical.digests import sha256_bytes
from samebits.errors import CheckpointError, RecordError, StorageError, UsageError
from samebits.record.files import read_bytes, read_object
from samebits.record.layout import SUMMARY_FILE, RunFolder
from samebits.record.manifest import check_summary, read_summary

_OURS = {"golden", "observed", "checkpoints", SUMMARY_FILE}


def check_target(run: RunFolder, *, resume: bool) -> None:
    """Check that the folder is new or empty or, to resume, that nothing but a run lies in it, and that it is writable.

    Nothing is left behind: folders that were made for the check are removed.

    Raises:
        UsageError: the folder holds something and `resume` was not asked for, or is no folder.
        CheckpointError: there is something in it that no run writes.
        StorageError: the disk does not take a synced file there, or does not let the folder be read.
    """
    try:
        if run.path.exists():
            _check_contents(run, resume=resume)
        # Nothing is written to a finished run.
        if not run.is_complete():
            _prove_writable(run.path)
    # ValueError: a name with a null character.
    except (OSError, ValueError) as error:
        raise _unwritable(run.path, str(error)) from error


def _check_contents(run: RunFolder, *, resume: bool) -> None:
    path = run.path
    if not path.is_dir():
        raise UsageError("the run folder must be a folder", got="a file", where=str(path))
    names = sorted(entry.name for entry in path.iterdir())
    if names and not resume:
        state = "a finished run" if run.is_complete() else f"one with {names[0]} in it"
        raise UsageError(
            "the run folder must be new or empty",
            got=state,
            where=str(path),
            remedy="name another folder, or resume this run (--resume; resume=True from Python)",
        )
    strange = [name for name in names if name not in _OURS and not name.startswith(TEMPORARY_PREFIX)]
    if strange:
        raise CheckpointError(
            "a folder to resume must hold a run and nothing else",
            got=strange[0],
            where=str(path),
            remedy="name the run folder itself",
        )


def _prove_writable(path: Path) -> None:
    """Write one synced file into the folder and take it away again, with every folder made for it."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    # A killed process leaves this name at most, which a resumed run passes over.
    proof = path / f"{TEMPORARY_PREFIX}proof"
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_atomic(proof, b"samebits")
        proof.unlink()
    except StorageError as error:
        raise _unwritable(path, str(error.got)) from error
    finally:
        for folder in made:
            # Another run may have begun below a parent that was made here.
            with suppress(OSError, ValueError):
                folder.rmdir()


def _unwritable(path: Path, got: str) -> StorageError:
    return StorageError("the run folder must be writable", got=got, where=str(path), remedy="name another folder")


def finished_run(run: RunFolder, recipe_sha256: str) -> tuple[str, dict[str, Any]]:
    """Return golden digest and results of a finished run, after holding its files against its own summary.

    Raises:
        RecordError: a golden file is not what the summary says, or the run is of another recipe.
    """
    if changes := check_summary(run):
        raise RecordError(
            "a finished run must be as its summary says",
            got=changes[0],
            where=str(run.path),
            remedy="train again in another folder",
        )
    recorded_sha256 = sha256_bytes(read_bytes(run.path, "golden/recipe.json"))
    if recorded_sha256 != recipe_sha256:
        raise CheckpointError(
            f"the finished run must be of the recipe that was asked for, {recipe_sha256[:12]}",
            got=recorded_sha256[:12],
            where=str(run.path),
            remedy="name another folder for this recipe",
        )
    return read_summary(run).golden_digest, read_object(run.path, "golden/results.json")
