"""A small hub on 127.0.0.1 that speaks to the real client, and children that ask it. Tests load it by its path."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "ann/tiny"
COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_SecretTokenThatNobodyMaySee"
SOURCES = Path(__file__).parents[3] / "src"

FIND = """
import json, sys
from samebits.errors import SamebitsError
from samebits.models.inputs import find_inputs
from samebits.recipe.settings import Settings
try:
    inputs = find_inputs(Settings(model_name_or_path=sys.argv[1], model_revision=sys.argv[2] or None))
except SamebitsError as error:
    sys.exit(f"error: {error}")
print(json.dumps({"recipe": inputs.recipe, "folder": str(inputs.base.folder), "origin": inputs.base.origin}))
"""


class LoopbackHub(ThreadingHTTPServer):
    """One model at one commit, which is its branch `main`, and the log of what was asked.

    `siblings` are the names of the model's information, `listed` those of its file tree; both are all `files` at first.
    A function in `faults` under "info", "tree", "HEAD" or "GET" answers in place of the hub; it gets the handler, and
    returns True to let the hub answer after all.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.siblings, self.listed = list(files), list(files)
        self.sha = COMMIT
        self.token: str | None = None
        self.cdn: str | None = None
        self.faults: dict[str, Callable[[_Handler], bool | None]] = {}
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, method: str, part: str) -> int:
        """How often something was asked for."""
        return sum(method == logged and part in path for logged, path, _ in self.log)

    def hang(self, handler: _Handler) -> None:
        """Say nothing until the test is over."""
        self.released.wait(120)
        handler.close_connection = True


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the base class's)
        return

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def send_file(self, file: str, **changed: str) -> None:
        body = self.server.files[file]
        status, extra = 200, {}
        if (ranges := self.headers.get("Range")) is not None:
            start = int(ranges.removeprefix("bytes=").rstrip("-"))
            extra = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            status, body = 206, body[start:]
        etag = hashlib.sha1(self.server.files[file], usedforsecurity=False).hexdigest()
        self.send(status, body, **{"ETag": f'"{etag}"', "X-Repo-Commit": self.server.sha, **extra, **changed})

    def _answer(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.log.append((self.command, path, dict(self.headers.items())))
        if path.startswith("/cdn/"):
            self.send_file(path.removeprefix("/cdn/"))
            return
        kind = "info" if "/revision/" in path else "tree" if "/tree/" in path else self.command
        if (fault := hub.faults.get(kind)) is not None and not fault(self):
            return
        if not path.startswith((f"/api/models/{NAME}/", f"/{NAME}/resolve/")) or (
            hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}"
        ):
            self.send(401, b"{}", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            return
        rest = path.removeprefix(f"/api/models/{NAME}/").removeprefix(f"/{NAME}/").split("/", 2)
        if rest[1] not in (hub.sha, "main"):
            self.send(404, b"{}", X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
        elif kind == "info":
            self._json({"id": NAME, "sha": hub.sha, "siblings": [{"rfilename": name} for name in hub.siblings]})
        elif kind == "tree":
            self._json([self._entry(name) for name in hub.listed])
        elif rest[2] not in hub.files:
            self.send(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=hub.sha)
        elif hub.cdn is not None and rest[2].endswith((".safetensors", ".bin")):
            etag = hashlib.sha256(hub.files[rest[2]]).hexdigest()
            self.send(
                302, b"", Location=f"{hub.cdn}/cdn/{rest[2]}", X_Linked_Etag=f'"{etag}"', X_Repo_Commit=hub.sha,
                X_Linked_Size=str(len(hub.files[rest[2]])),
            )  # fmt: skip
        else:
            self.send_file(rest[2])

    def _json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _entry(self, name: str) -> dict[str, Any]:
        data = self.server.files.get(name, b"evil")
        return {
            "type": "file",
            "path": name,
            "size": len(data),
            "oid": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        }


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[LoopbackHub]:
    """Serve in a thread until the block is left."""
    with LoopbackHub(dict(files)) as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            hub.shutdown()
            thread.join()


class Client:
    """Children with a home of their own that know this hub and no other."""

    def __init__(self, home: Path, endpoint: str) -> None:
        self.home, self.endpoint = home, endpoint
        self.elapsed_s = 0.0

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one child, and keep how long it took."""
        started_s = time.monotonic()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING_FACE")) and not name.lower().endswith("_proxy")
        }
        own = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HOME": str(self.home),
            "PYTHONPATH": str(SOURCES),
        }
        child = subprocess.run(
            [sys.executable, *command], env={**kept, **own, **variables}, capture_output=True, text=True, timeout=200
        )
        self.elapsed_s = time.monotonic() - started_s
        assert "Traceback" not in child.stderr, child.stderr
        return child

    def find(self, name: str = NAME, revision: str = COMMIT, **variables: str) -> dict[str, Any]:
        """Find the inputs with this base; nothing but the answer may be printed."""
        child = self.run("-c", FIND, name, revision, **variables)
        assert (child.returncode, child.stderr) == (0, "")
        found: dict[str, Any] = json.loads(child.stdout)
        return found

    def refused(self, name: str = NAME, revision: str = COMMIT, **variables: str) -> str:
        """Return the one sentence that refuses this base."""
        child = self.run("-c", FIND, name, revision, **variables)
        assert (child.returncode, child.stdout, child.stderr.count("\n")) == (1, "", 1), child.stderr
        return child.stderr.strip()

    def files(self) -> set[str]:
        """Every file below the home, by path."""
        return {path.relative_to(self.home).as_posix() for path in self.home.rglob("*") if path.is_file()}
