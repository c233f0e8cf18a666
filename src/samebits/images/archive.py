"""Reading an image from a file: an OCI layout (folder or tar) or the archive that `docker save` writes.

Nothing is unpacked, and every digest that an image states of itself is computed again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from samebits.errors import ImageError

_CHUNK_BYTES = 1 << 20
_MAX_JSON_BYTES = 16 << 20
_MAX_NESTED = 4
_INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Layer:
    """One layer of an image.

    Args:
        blob_sha256: of the bytes as they lie there, compressed or not.
        diff_sha256: of the tar without compression, as measured.
        open: opens the bytes as they lie there.
    """

    blob_sha256: str
    diff_sha256: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Image:
    """An image as a file holds it.

    Args:
        path: of the file or folder.
        config: the configuration, parsed; `config_sha256` is the image ID.
        manifest: parsed; None in an archive of `docker save`, which has none.
    """

    path: Path
    config: dict[str, Any]
    config_sha256: str
    manifest: dict[str, Any] | None
    manifest_sha256: str | None
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """The image ID: it covers the configuration and every layer without its compression."""
        return f"sha256:{self.config_sha256}"


def read_image(path: Path) -> Image:
    """Read an image, measuring every digest.

    Raises:
        ImageError: no image, several, or one whose bytes are not what it says of them.
    """
    try:
        files = _Folder(path) if path.is_dir() else _Archive(path)
        if files.has("index.json"):
            return _read_layout(path, files)
        if files.has("manifest.json"):
            return _read_docker_archive(path, files)
    except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
        raise ImageError("an image must be a readable file", got=str(error) or "a cut one", where=str(path)) from error
    remedy = "save it with `podman save`, `docker save` or `skopeo copy ... oci:DIR`"
    raise ImageError(
        "an image must be an OCI layout or an archive of `docker save`", got="neither", where=str(path), remedy=remedy
    )


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, name: str) -> bool:
        return (self._path / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Archive:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, tuple[int, int]] = {}
        # Not compressed: a member is a stretch of the file, so that each can be opened by itself.
        with tarfile.open(path, "r:") as archive:
            links = {}
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isreg():
                    self._members[name] = (member.offset_data, member.size)
                elif member.issym() or member.islnk():
                    links[name] = member.linkname
        # docker save stores a layer that two images share once and links to it.
        for name, target in links.items():
            folder = name.rpartition("/")[0]
            for candidate in (target, str(Path(folder, target)), target.rpartition("../")[2]):
                if candidate in self._members:
                    self._members[name] = self._members[candidate]

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        start, size = self._members[name]
        stream = self._path.open("rb")
        stream.seek(start)
        return cast("IO[bytes]", io.BufferedReader(_Stretch(stream, size)))


class _Stretch(io.RawIOBase):
    """The next `size` bytes of a stream; closing it closes the stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


_Files = _Folder | _Archive


def _read_layout(path: Path, files: _Files) -> Image:
    index, _ = _json(path, files, "index.json")
    descriptor = _only(path, index)
    manifest, sha256 = _blob_json(path, files, descriptor)
    for _ in range(_MAX_NESTED):
        if manifest.get("mediaType", descriptor.get("mediaType")) not in _INDEX_TYPES:
            break
        descriptor = _only(path, manifest)
        manifest, sha256 = _blob_json(path, files, descriptor)
    if not isinstance(manifest.get("layers"), list):
        raise _damaged(path, "a manifest must list layers")
    config, config_sha256 = _blob_json(path, files, manifest.get("config"))
    blobs = [(_blob(path, files, layer), _digest(path, layer)) for layer in manifest["layers"]]
    return Image(path, config, config_sha256, manifest, sha256, _layers(path, files, config, blobs))


def _read_docker_archive(path: Path, files: _Files) -> Image:
    listing, _ = _json(path, files, "manifest.json", kind=list)
    if len(listing) != 1 or not isinstance(listing[0], dict):
        raise _damaged(path, "the file must hold one image", got=str(len(listing)))
    name = listing[0].get("Config")
    layers = listing[0].get("Layers")
    if not isinstance(name, str) or not isinstance(layers, list):
        raise _damaged(path, "manifest.json must name Config and Layers")
    config, sha256 = _json(path, files, name)
    # `<digest>.json`, or `blobs/sha256/<digest>`: the name is a promise too.
    stated = Path(name).name.removesuffix(".json")
    if stated != sha256:
        raise _damaged(path, "a configuration must have the digest that names it", got=sha256, where=name)
    return Image(path, config, sha256, None, None, _layers(path, files, config, [(layer, None) for layer in layers]))


def _layers(
    path: Path, files: _Files, config: dict[str, Any], blobs: Sequence[tuple[str, str | None]]
) -> tuple[Layer, ...]:
    rootfs = config.get("rootfs")
    stated = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(stated, list) or len(stated) != len(blobs):
        raise _damaged(path, "the configuration must state a digest for each layer", got=f"{len(blobs)} layers")
    layers = []
    for (name, blob_sha256), diff_id in zip(blobs, stated, strict=True):
        if not files.has(name):
            raise _damaged(path, "every layer must be in the file", got="none", where=name)
        layer = _measure(lambda name=name: files.open(name))  # type: ignore[misc]
        if blob_sha256 not in (None, layer.blob_sha256):
            raise _damaged(path, "a layer must have the digest that names it", got=layer.blob_sha256, where=name)
        if diff_id != f"sha256:{layer.diff_sha256}":
            raise _damaged(
                path, "a layer must have the digest that the configuration states", got=layer.diff_sha256, where=name
            )
        layers.append(layer)
    return tuple(layers)


def _measure(opener: Callable[[], IO[bytes]]) -> Layer:
    with opener() as stream:
        blob_sha256 = _sha256(stream)
    unopened = Layer(blob_sha256, blob_sha256, opener)
    with open_tar(unopened) as stream:
        return Layer(blob_sha256, _sha256(stream), opener)


@contextmanager
def open_tar(layer: Layer) -> Iterator[IO[bytes]]:
    """Open a layer without its compression.

    Raises:
        ImageError: a compression that Python 3.11 cannot read.
    """
    with layer.open() as stream, io.BufferedReader(cast("io.RawIOBase", stream)) as buffered:
        magic = buffered.peek(4)[:4]
        if magic.startswith(_ZSTD_MAGIC):
            remedy = "save the image with gzip or without compression"
            raise ImageError("a layer must be plain or compressed by gzip", got="zstd", remedy=remedy)
        if magic.startswith(_GZIP_MAGIC):
            with gzip.GzipFile(fileobj=buffered) as plain:
                yield cast("IO[bytes]", plain)
        else:
            yield cast("IO[bytes]", buffered)


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _only(path: Path, index: dict[str, Any]) -> dict[str, Any]:
    """Return the one image of an index; attestations beside it are not images."""
    found = index.get("manifests")
    images = [
        entry
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict) and (entry.get("platform") or {}).get("os") != "unknown"
    ]
    if len(images) != 1:
        raise _damaged(path, "the file must hold one image", got=str(len(images)))
    return images[0]


def _blob(path: Path, files: _Files, descriptor: Any) -> str:
    name = f"blobs/sha256/{_digest(path, descriptor)}"
    if not files.has(name):
        raise _damaged(path, "every blob must be in the file", got="none", where=name)
    return name


def _digest(path: Path, descriptor: Any) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    algorithm, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if algorithm != "sha256" or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise _damaged(path, "a digest must be sha256:<64 hex digits>", got=str(digest)[:80])
    return value


def _blob_json(path: Path, files: _Files, descriptor: Any) -> tuple[dict[str, Any], str]:
    name = _blob(path, files, descriptor)
    document, sha256 = _json(path, files, name)
    if name != f"blobs/sha256/{sha256}":
        raise _damaged(path, "a blob must have the digest that names it", got=sha256, where=name)
    return document, sha256


def _json(path: Path, files: _Files, name: str, *, kind: type = dict) -> tuple[Any, str]:
    if not files.has(name):
        raise _damaged(path, "every named file must be there", got="none", where=name)
    with files.open(name) as stream:
        data = stream.read(_MAX_JSON_BYTES)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "a JSON document must be readable", got=str(error), where=name) from error
    if not isinstance(document, kind):
        raise _damaged(path, f"a JSON document must be a {kind.__name__}", got=type(document).__name__, where=name)
    return document, hashlib.sha256(data).hexdigest()


def _damaged(path: Path, must: str, *, got: str | None = None, where: str = "") -> ImageError:
    return ImageError(must, got=got, where=f"{path}, {where}" if where else str(path))
