"""Checkpoints: a folder of tensors and JSON that appears whole, is verified whole, and is never quietly skipped.

Source: docs/spec/record.md, clauses R-40 to R-46.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rfc8785

from samebits.canonical.atomic import TEMPORARY_PREFIX, partial_folder, publish_folder, sync_folder, write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.errors import CheckpointError, RecordError, StorageError
from samebits.record.files import FileEntry, file_entry, list_files, parse_object, read_object, refuse_link
from samebits.record.layout import MAX_JSON_BYTES, RECORD_VERSION, RunFolder
from samebits.record.manifest import checked_entries, describe_changes, require_keys

TENSORS_FILE = "tensors.safetensors"
STATE_FILE = "state.json"
MANIFEST_FILE = "manifest.json"
MAX_STEP = 10**8 - 1

_UNREAD: FileEntry = {"sha256": "", "bytes": 0}
_NAME = re.compile(r"step-([0-9]{8})")


@dataclass(frozen=True)
class Checkpoint:
    """A verified state to resume from; the arrays are copies in memory, no file stays open."""

    step: int
    tensors: dict[str, np.ndarray[Any, Any]]
    state: dict[str, Any]


def write_checkpoint(
    run: RunFolder,
    step: int,
    tensors: Mapping[str, np.ndarray[Any, Any]],
    state: Mapping[str, Any],
    *,
    recipe_sha256: str,
) -> Path:
    """Write `checkpoints/step-<8 digits>/`, whole or not at all; what killed writes left there is removed first.

    Args:
        step: optimizer steps done.
        tensors: parameters, optimizer state, generator states; a long trace too, as uint8 over its bytes.
        state: JSON without floats: a float goes in as its hex text, or its bits are not promised back.
        recipe_sha256: digest of `golden/recipe.json`.
    Raises:
        CheckpointError: this step has a checkpoint already, or the state is not JSON without floats.
        StorageError: the disk refused; the earlier checkpoints are as they were.
    """
    path = run.checkpoints / f"step-{step:08d}"
    if not 0 <= step <= MAX_STEP:
        raise CheckpointError(f"a checkpoint's step must be from 0 to {MAX_STEP}", got=str(step))
    if os.path.lexists(path):
        raise CheckpointError("a step must have one checkpoint", got="a second", where=str(path), remedy=_remedy(path))
    state_bytes = _state_bytes(state, str(path / STATE_FILE))
    _remove_leftovers(run)
    temporary = partial_folder(path)
    try:
        write_safetensors(temporary / TENSORS_FILE, tensors)
        write_atomic(temporary / STATE_FILE, state_bytes)
        manifest = {
            "record_version": RECORD_VERSION,
            "step": step,
            "recipe_sha256": recipe_sha256,
            "files": {name: file_entry(temporary, name) for name in (STATE_FILE, TENSORS_FILE)},
        }
        write_atomic(temporary / MANIFEST_FILE, dump_json(manifest))
        _sync(run)
        publish_folder(temporary, path)
    except BaseException:
        # A full disk must get its room back; the folder's name says that nobody reads it.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return path


def checkpoints(run: RunFolder) -> list[tuple[int, Path]]:
    """Return step and folder of every checkpoint, the oldest first; nothing is read yet."""
    found = ((_NAME.fullmatch(path.name), path) for path in _entries(run))
    return sorted((int(match[1]), path) for match, path in found if match)


def latest_checkpoint(run: RunFolder) -> Path | None:
    """Return the newest checkpoint's folder, damaged or not; none where the run has no checkpoint."""
    found = checkpoints(run)
    return found[-1][1] if found else None


def read_checkpoint(path: Path, recipe_sha256: str) -> Checkpoint:
    """Read a checkpoint after verifying every byte of it.

    Args:
        path: the checkpoint's folder.
        recipe_sha256: of the recipe that is to be resumed.
    Raises:
        CheckpointError: incomplete, damaged, or of another recipe; it names the file and says what to do.
    """
    try:
        return _read_verified(path.parent, path.name, recipe_sha256)
    except CheckpointError:
        raise
    except RecordError as error:
        raise CheckpointError(error.must, got=error.got, where=error.where, remedy=_remedy(path)) from error


def keep_newest(run: RunFolder, limit: int | None) -> None:
    """Remove all checkpoints but the newest `limit`; none of them where `limit` is None.

    Raises:
        StorageError: a folder cannot be removed.
    """
    if limit is None:
        return
    _remove_leftovers(run)
    for _, path in checkpoints(run)[: -max(limit, 1)]:
        # Renamed first: a kill while its files go must not leave a checkpoint that looks damaged.
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
        try:
            os.rename(path, temporary)
            shutil.rmtree(temporary)
        except OSError as error:
            raise StorageError("an old checkpoint must be removable", got=str(error), where=str(path)) from error


def _read_verified(checkpoints_folder: Path, name: str, recipe_sha256: str) -> Checkpoint:
    path = checkpoints_folder / name
    match = _NAME.fullmatch(name)
    if match is None:
        raise CheckpointError("a checkpoint's folder must be named step-<8 digits>", got=repr(name), where=str(path))
    refuse_link(checkpoints_folder)
    names = {file.partition("/")[2] for file in list_files(checkpoints_folder, name)}
    manifest = _read_manifest(checkpoints_folder, name)
    where = str(path / MANIFEST_FILE)
    if type(manifest["step"]) is not int or manifest["step"] != int(match[1]):
        raise CheckpointError(
            f"the manifest must be that of step {int(match[1])}",
            got=repr(manifest["step"]),
            where=where,
            remedy=_remedy(path),
        )
    if manifest["recipe_sha256"] != recipe_sha256:
        raise CheckpointError(
            f"a checkpoint must be of the recipe that is resumed, {recipe_sha256[:12]}",
            got=f"{str(manifest['recipe_sha256'])[:12]}",
            where=where,
            remedy="resume with the recipe that began this run, or start a new run in another folder",
        )
    found = _entries_of(checkpoints_folder, name, names - {MANIFEST_FILE}, manifest["files"].keys())
    if changes := describe_changes(manifest["files"], found):
        raise CheckpointError(
            "a checkpoint must hold what its manifest says", got=changes[0], where=str(path), remedy=_remedy(path)
        )
    state = read_object(checkpoints_folder, f"{name}/{STATE_FILE}")
    return Checkpoint(int(match[1]), _copied_tensors(path / TENSORS_FILE), state)


def _entries_of(checkpoints_folder: Path, name: str, files: Set[str], listed: Set[str]) -> dict[str, FileEntry]:
    """Return what lies in a checkpoint; a strange file is read only where a listed one is gone, which it may be."""
    read = files if listed - files else files & listed
    return {file: file_entry(checkpoints_folder, f"{name}/{file}") if file in read else _UNREAD for file in files}


def _copied_tensors(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    file = TensorFile(path)
    try:
        return {name: np.array(file.array(name)) for name in file.tensors}
    except ValueError as error:
        # A stranger's shape may fit its bytes and still be none that NumPy has: 65 dimensions, or 0 by 2**70.
        raise RecordError("a tensor's shape must be one that NumPy has", got=str(error), where=str(path)) from error


def _read_manifest(checkpoints_folder: Path, name: str) -> dict[str, Any]:
    manifest = read_object(checkpoints_folder, f"{name}/{MANIFEST_FILE}")
    where = str(checkpoints_folder / name / MANIFEST_FILE)
    if manifest.get("record_version") != RECORD_VERSION:
        raise CheckpointError(
            f"a checkpoint must have record_version {RECORD_VERSION}",
            got=repr(manifest.get("record_version")),
            where=where,
            remedy="resume with the samebits that began this run",
        )
    require_keys(manifest, {"record_version", "step", "recipe_sha256", "files"}, where)
    files = checked_entries(manifest["files"], where)
    require_keys(files, {STATE_FILE, TENSORS_FILE}, f"files of {where}")
    return manifest


def _state_bytes(state: Mapping[str, Any], where: str) -> bytes:
    for place, value in _leaves(state, "state"):
        if isinstance(value, float):
            raise CheckpointError(
                "a checkpoint's state must hold no floats", got=f"{place} = {value}", remedy="write float.hex() of it"
            )
    try:
        data = dump_json(dict(state))
    except rfc8785.CanonicalizationError as error:
        raise CheckpointError("a checkpoint's state must be JSON", got=str(error), where=where) from error
    if len(data) > MAX_JSON_BYTES:
        raise CheckpointError(f"a state must have at most {MAX_JSON_BYTES} bytes", got=str(len(data)), where=where)
    try:
        # What cannot be read back (nested too deep) must not be found out by the run that needs it.
        parse_object(data, where=where)
    except RecordError as error:
        raise CheckpointError(error.must, got=error.got, where=where) from error
    return data


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _leaves(child, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _leaves(child, f"{place}[{index}]")
    else:
        yield place, value


def _remove_leftovers(run: RunFolder) -> None:
    for path in _entries(run):
        if path.name.startswith(TEMPORARY_PREFIX):
            try:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                raise StorageError("what a killed write left must be removable", got=str(error), where=str(path)) from (
                    error
                )


def _entries(run: RunFolder) -> list[Path]:
    folder = run.checkpoints
    if not os.path.lexists(folder):
        return []
    if folder.is_symlink() or not folder.is_dir():
        raise CheckpointError("checkpoints must lie in a folder, not a link or a file", where=str(folder))
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise StorageError("the folder of checkpoints must be readable", got=str(error), where=str(folder)) from error


def _sync(run: RunFolder) -> None:
    """Make the entry of `checkpoints/` itself durable, before anything in it is to be relied on."""
    try:
        sync_folder(run.path)
    except OSError as error:
        raise StorageError("the disk must take the folder", got=str(error), where=str(run.checkpoints)) from error


def _remedy(path: Path) -> str:
    return f"delete {path} to fall back to the checkpoint before it"
