"""An engine's archive without what only names its build: the container and the host that each step ran in.

Docker's format, which alone has a health check, keeps those in the configuration; nothing that runs the image reads it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any

from samebits.canonical.digests import sha256_bytes
from samebits.images.archive import Image, open_tar, read_image

_KEPT = ("architecture", "author", "config", "created", "history", "os", "rootfs", "variant")
_KEPT_CONFIG = (
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "Shell", "StopSignal", "User", "Volumes"),
    "WorkingDir",
)


def stable_config(config: dict[str, Any]) -> bytes:
    """Return a configuration with the keys that decide how the image runs, sorted, nothing else."""
    kept = {key: config[key] for key in _KEPT if key in config}
    own = config.get("config") or {}
    kept["config"] = {key: own[key] for key in _KEPT_CONFIG if own.get(key)}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def rewrite(archive: Path, tag: str) -> Image:
    """Write an archive anew with a stable configuration, in the form of `docker save`, and return its image.

    Args:
        archive: is replaced.
        tag: `name:tag` that loading it gives.
    Raises:
        ImageError: it cannot be read.
    """
    image = read_image(archive)
    config = stable_config(image.config)
    names = [f"{layer.diff_sha256}.tar" for layer in image.layers]
    listing = [{"Config": f"{sha256_bytes(config)}.json", "RepoTags": [tag], "Layers": names}]
    written = archive.with_name(f".partial-{archive.name}")
    with tarfile.open(written, "w", format=tarfile.USTAR_FORMAT) as target:
        # The same layer twice is one member.
        for name, layer in dict(zip(names, image.layers, strict=True)).items():
            with open_tar(layer) as stream, (archive.with_name(f".partial-{name}")).open("w+b") as plain:
                os.unlink(plain.name)  # noqa: PTH108 (a file without a name ends with its stream)
                shutil.copyfileobj(stream, plain)
                size_bytes = plain.tell()
                plain.seek(0)
                _add(target, name, plain, size_bytes)
        _add(target, f"{sha256_bytes(config)}.json", io.BytesIO(config), len(config))
        data = json.dumps(listing, separators=(",", ":")).encode()
        _add(target, "manifest.json", io.BytesIO(data), len(data))
    written.replace(archive)
    return read_image(archive)


def _add(target: tarfile.TarFile, name: str, stream: IO[bytes], size_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o444
    target.addfile(member, stream)
