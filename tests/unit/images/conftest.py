"""Images made by hand, small enough to read: entries of one layer, an OCI layout around them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EPOCH = 1767225600


@dataclass(frozen=True)
class File:
    """A file of a layer."""

    name: str
    data: bytes = b"text\n"
    mtime: int = EPOCH
    mode: int = 0o644
    uid: int = 0
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    pax: dict[str, str] = field(default_factory=dict)


PLAIN = (
    File("app", b"", mode=0o755, kind=tarfile.DIRTYPE),
    File("app/a.py"),
    File("app/b.py", b"other\n"),
    File("app/link", b"", kind=tarfile.SYMTYPE, link="a.py"),
)


def layer_of(files: Sequence[File], *, padding: int = 0) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.name)
            member.type, member.linkname, member.size = file.kind, file.link, len(file.data)
            member.mtime, member.mode, member.uid, member.pax_headers = file.mtime, file.mode, file.uid, file.pax
            archive.addfile(member, io.BytesIO(file.data))
    return stream.getvalue() + bytes(padding)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob(folder: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = sha256(data)
    (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def config_of(layers: Sequence[bytes], **changes: Any) -> dict[str, Any]:
    return {
        "created": "2026-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "10001:10001", "Labels": {"samebits.lock": "image"}},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "COPY"}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer)}" for layer in layers]},
        **changes,
    }


def write_layout(
    folder: Path,
    layers: Sequence[bytes],
    *,
    level: int | None = None,
    annotations: Any = None,
    whole_config: Any = None,
    **changes: Any,
) -> Path:
    """Write an OCI layout; `level`: of gzip; `whole_config`: in place of the usual one."""
    packed = [layer if level is None else gzip.compress(layer, level, mtime=0) for layer in layers]
    kind = "application/vnd.oci.image.layer.v1.tar" + ("" if level is None else "+gzip")
    described = json.dumps(whole_config or config_of(layers, **changes)).encode()
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(folder, described, "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(folder, layer, kind) for layer in packed],
        **({"annotations": annotations} if annotations else {}),
    }
    index = {"schemaVersion": 2, "manifests": [_blob(folder, json.dumps(manifest).encode(), manifest["mediaType"])]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    return folder


def write_docker_archive(path: Path, layers: Sequence[bytes], **changes: Any) -> Path:
    """Write what `docker save` writes: a configuration, layers without compression, manifest.json."""
    config = json.dumps(config_of(layers, **changes)).encode()
    members = {f"{sha256(config)}.json": config, **{f"{sha256(layer)}.tar": layer for layer in layers}}
    listing = [{"Config": f"{sha256(config)}.json", "RepoTags": [], "Layers": [f"{sha256(x)}.tar" for x in layers]}]
    members["manifest.json"] = json.dumps(listing).encode()
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def layout(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes one more layout, of one layer with PLAIN's files where none are given."""
    count = iter(range(100))

    def write(files: Sequence[File] = PLAIN, *, padding: int = 0, **changes: Any) -> Path:
        return write_layout(tmp_path / f"layout-{next(count)}", [layer_of(files, padding=padding)], **changes)

    return write
