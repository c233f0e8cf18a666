"""A base from a model hub, at a commit: the hub's own client, only the files that are read, never code."""

from __future__ import annotations

import logging
import queue
import re
import shlex
import sys
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from samebits.errors import ModelError

# 96 characters at most, as the client has it.
HUB_NAME = re.compile(r"(?=.{1,96}\Z)[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
ALWAYS_READ = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
Weights = Literal["safetensors", "bin"]
WEIGHTS = {
    "safetensors": re.compile(r"model\.safetensors(\.index\.json)?|model-[A-Za-z0-9_-]+\.safetensors"),
    "bin": re.compile(r"pytorch_model\.bin(\.index\.json)?|pytorch_model-[A-Za-z0-9_-]+\.bin"),
}
MAX_ASKS = 3
"""Times that one request is sent; a request for the rest of a file that did grow is another one."""
PIN_LIMIT_S = 5
"""Wait for the commit that a branch is today: it only helps to word a refusal."""


def download(name: str, revision: str | None, weights: Weights = "safetensors") -> Path:
    """Return the client's cache folder of one commit of a hub model, downloading what is not there yet.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean to every tool of that hub. Where the hub does
    not answer, a commit that is whole in the cache will do.

    Raises:
        ModelError: no commit was named, or neither the hub nor the cache can give it.
    """
    if revision is None or COMMIT.fullmatch(revision) is None:
        raise _floating(name, revision, weights)
    from huggingface_hub import snapshot_download

    with _guarded_client() as failures:
        try:
            listed = _list_files(name, revision)
        except failures as unanswered:
            folder = _cached(name, revision, weights, unanswered)
            _check_weights(name, revision, weights, [path.name for path in folder.iterdir()])
            return folder
        _check_weights(name, revision, weights, listed)
        wanted = sorted(file for file in listed if _is_read(file, weights))
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
        except failures as error:
            raise _refusal(name, revision, error) from error
    for file in wanted:
        if not (folder / file).is_file():
            raise ModelError("the hub must give the commit whole", got=f"no {file}", where=_where(name, revision))
    return folder


@contextmanager
def _guarded_client(limit_s: float | None = None, n_asks: int = MAX_ASKS) -> Iterator[tuple[type[Exception], ...]]:
    """Bound the client's waiting, hold back its log and its bars in a pipe; gives the exceptions that it fails by.

    By itself it lists files without a timeout, takes up a cut download for ever, sleeps for as long as a hub says, and
    names files by what a hub says.

    Args:
        limit_s: of one wait; the client's own limit where left out.
        n_asks: times that one request is sent.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the HTTP library that it is built on
    from huggingface_hub.utils import logging as client_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    limit_s = limit_s or max(constants.HF_HUB_ETAG_TIMEOUT, constants.HF_HUB_DOWNLOAD_TIMEOUT)
    asked: Counter[tuple[str, ...]] = Counter()

    def bound(request: Any) -> None:
        waits_s = request.extensions["timeout"]
        request.extensions["timeout"] = {
            kind: limit_s if wait_s is None else min(wait_s, limit_s) for kind, wait_s in waits_s.items()
        }
        key = (request.method, str(request.url), request.headers.get("Range", ""))
        asked[key] += 1
        if asked[key] > n_asks:
            raise OSError(f"no whole answer to {n_asks} requests for {request.url}")

    def refuse(response: Any) -> None:
        status = response.status_code
        if status == 429 or (status >= 400 and "Retry-After" in response.headers):
            # The client would sleep for as long as it is told.
            raise OSError(f"HTTP {status}, which asks to wait")
        # The client writes what it downloads under the name that the hub gives as its ETag.
        for header in ("ETag", "X-Linked-Etag", "X-Repo-Commit"):
            if re.search(r"[/\\]|\.\.", response.headers.get(header, "").removeprefix("W/")):
                raise OSError(f"the hub's {header} is a path")

    hooks, verbosity = get_session().event_hooks, client_logging.get_verbosity()
    hooks["request"].append(bound)
    hooks["response"].append(refuse)
    client_logging.set_verbosity(logging.ERROR)
    hides_bars = not (sys.stderr.isatty() or are_progress_bars_disabled())
    if hides_bars:
        disable_progress_bars()
    try:
        # The last three: an endpoint that answers in JSON, and is no hub.
        yield HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError
    finally:
        client_logging.set_verbosity(verbosity)
        if hides_bars:
            enable_progress_bars()
        hooks["request"].remove(bound)
        hooks["response"].remove(refuse)


def _list_files(name: str, revision: str) -> list[str]:
    """Ask for the files of a commit; asked once, so that a hub that is away is known at once."""
    from huggingface_hub import HfApi, constants

    info = HfApi().model_info(name, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if info.sha != revision:
        raise ValueError(f"the commit {info.sha} for the one that was asked for")
    return [sibling.rfilename for sibling in info.siblings or ()]


def _cached(name: str, revision: str, weights: Weights, unanswered: Exception) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    stem, end = {"safetensors": ("model", "safetensors"), "bin": ("pytorch_model", "bin")}[weights]
    patterns = [*ALWAYS_READ, f"{stem}.{end}", f"{stem}.{end}.index.json", f"{stem}-*.{end}"]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        raise _refusal(name, revision, unanswered) from unanswered


def _refusal(name: str, revision: str, error: Exception) -> ModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = _where(name, revision)
    if isinstance(error, GatedRepoError):
        return ModelError(
            "the hub must let this token have the model", got="a gated one", where=where,
            remedy="ask for access on its page and set HF_TOKEN, or name a local folder",
        )  # fmt: skip
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            "the hub must have the model", got="no such model, or none that this token may see", where=where
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError("the hub must have the commit", got="no such commit of that model", where=where)
    if isinstance(error, OfflineModeIsEnabled):
        return ModelError(
            "the commit must be whole in the cache where HF_HUB_OFFLINE is set", got="files missing", where=where,
            remedy="download it once without HF_HUB_OFFLINE, or name a local folder",
        )  # fmt: skip
    got = f"HTTP {error.response.status_code}" if isinstance(error, HfHubHTTPError) else _first_line(error)
    return ModelError(
        "the hub must answer and give the commit whole", got=got, where=where,
        remedy="try again, or name a local folder",
    )  # fmt: skip


def _is_read(file: str, weights: Weights) -> bool:
    return file in ALWAYS_READ or WEIGHTS[weights].fullmatch(file) is not None


def _check_weights(name: str, revision: str, weights: Weights, files: Collection[str]) -> None:
    if any(WEIGHTS[weights].fullmatch(file) for file in files):
        return
    has_bin = any(WEIGHTS["bin"].fullmatch(file) for file in files)
    convert = shlex.join(["samebits", "make-base", "--from-bin", name, "--revision", revision, "--out", "NEW_FOLDER"])
    raise ModelError(
        "weights must be safetensors" if weights == "safetensors" else "the commit must have a pytorch_model.bin",
        got="only pytorch_model.bin, a pickle" if has_bin else "none",
        where=_where(name, revision),
        remedy=f"convert it once: {convert}" if has_bin else None,
    )


def _floating(name: str, revision: str | None, weights: Weights) -> ModelError:
    """A branch moves: refuse it, with the command that pins what it is today."""
    # Pickles are asked for by `make-base` only, which has an option of its own.
    setting, pin = (
        ("`model_revision`", "--set model_revision=") if weights == "safetensors" else ("`--revision`", "--revision ")
    )
    branch = revision or "main"
    commit, unanswered = _commit_of(name, branch)
    if commit is not None:
        remedy = f"today it is: {pin}{commit}"
    else:
        from huggingface_hub import constants

        address = shlex.quote(f"{constants.ENDPOINT}/{PurePosixPath(name)}")
        remedy = f"{unanswered}: pin it with {pin}$(git ls-remote {address} {shlex.quote(branch)} | cut -f1)"
    return ModelError(
        f"{setting} must be a commit (40 hex digits), for a branch moves",
        got="none" if revision is None else repr(revision),
        where=f"{name} of the hub, for no such folder is here",
        remedy=remedy,
    )


def _commit_of(name: str, branch: str) -> tuple[str | None, str]:
    """Ask the hub once which commit a branch is; return it, or None and what the hub did instead of saying so."""
    # A thread, for the look-up of the hub's address has no timeout of its own.
    answers: queue.SimpleQueue[tuple[str | None, str]] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_ask_commit(name, branch)), daemon=True).start()
    try:
        return answers.get(timeout=PIN_LIMIT_S + 1)
    except queue.Empty:
        return None, f"the hub did not answer (nothing in {PIN_LIMIT_S} s)"


def _ask_commit(name: str, branch: str) -> tuple[str | None, str]:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    limit_s = min(PIN_LIMIT_S, constants.HF_HUB_ETAG_TIMEOUT)
    with _guarded_client(limit_s, n_asks=1) as failures:
        try:
            commit = HfApi().model_info(name, revision=branch, timeout=limit_s).sha
        except HfHubHTTPError as error:
            return None, f"the hub answered HTTP {error.response.status_code}"
        except OfflineModeIsEnabled:
            return None, "the hub was not asked (HF_HUB_OFFLINE is set)"
        except failures as error:
            return None, f"the hub did not answer ({_first_line(error)})"
    if commit is not None and COMMIT.fullmatch(commit):
        return commit, ""
    return None, "the hub answered without a commit"


def _where(name: str, revision: str) -> str:
    from huggingface_hub import constants

    return f"{name}@{revision} at {constants.ENDPOINT}"


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
