"""What a layer holds, entry by entry, and by what two layers differ."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal

from samebits.errors import ImageError

Cause = Literal[
    "added", "missing", "type", "content", "pyc", "link", "mode", "owner", "clock", "attributes", "order", "padding",
    "compression", "layers", "configuration", "manifest",
]  # fmt: skip

_CHUNK_BYTES = 1 << 20
_PYC_HEADER_BYTES = 16
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symbolic link",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
}
# Told by the entry's own fields already.
_PAX_TOLD = ("path", "linkpath", "size", "uid", "gid", "uname", "gname", "mtime")
_PAX_CLOCKS = ("atime", "ctime", "LIBARCHIVE.creationtime")


@dataclass(frozen=True)
class Entry:
    """One entry of a layer.

    Args:
        name: its path, without a leading `./` or a trailing slash.
        owner: user and group, by number and by name.
        clocks: the entry's time, and others that it carries.
        body_sha256: of a .pyc after its header; else empty.
        attributes: other extended headers (ACLs, capabilities) and device numbers.
    """

    name: str
    kind: str
    mode: int
    owner: tuple[int, int, str, str]
    clocks: tuple[str, ...]
    size_bytes: int
    sha256: str
    body_sha256: str
    link: str
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Finding:
    """One difference.

    Args:
        where: `layer 2`, `configuration` or `manifest`.
        path: of the file, or the key; empty where the whole differs.
        cause: why, in one word.
        golden, candidate: what each has.
    """

    where: str
    path: str
    cause: Cause
    golden: str
    candidate: str


def read_entries(stream: IO[bytes]) -> list[Entry]:
    """Return the entries of a tar in its order.

    Raises:
        ImageError: not a tar.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            return [_entry(archive, member) for member in archive]
    except (tarfile.TarError, EOFError) as error:
        raise ImageError("a layer must be a tar", got=str(error)) from error


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    name = member.name.removeprefix("./").rstrip("/")
    sha256, body_sha256 = _content(archive, member) if member.isreg() else ("", "")
    pax = member.pax_headers
    told = {key: value for key, value in pax.items() if key not in (*_PAX_TOLD, *_PAX_CLOCKS)}
    if member.ischr() or member.isblk():
        told["device"] = f"{member.devmajor}:{member.devminor}"
    return Entry(
        name,
        _KINDS.get(member.type, f"type {member.type!r}"),
        member.mode,
        (member.uid, member.gid, member.uname, member.gname),
        (str(pax.get("mtime", member.mtime)), *(f"{key}={pax[key]}" for key in _PAX_CLOCKS if key in pax)),
        member.size if member.isreg() else 0,
        sha256,
        body_sha256,
        member.linkname if member.issym() or member.islnk() else "",
        tuple(sorted(told.items())),
    )


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[str, str]:
    """Return the SHA-256 of a file, and of its code without the header where it is a .pyc."""
    stream = archive.extractfile(member)
    if stream is None:
        return "", ""
    whole, body = hashlib.sha256(), hashlib.sha256()
    header = stream.read(_PYC_HEADER_BYTES)
    whole.update(header)
    while chunk := stream.read(_CHUNK_BYTES):
        whole.update(chunk)
        body.update(chunk)
    return whole.hexdigest(), body.hexdigest() if _is_pyc(member.name) else ""


def _is_pyc(name: str) -> bool:
    return name.endswith(".pyc")


def compare_entries(where: str, golden: list[Entry], candidate: list[Entry]) -> list[Finding]:
    """Return by what two layers differ: entries first, then their order, then what no entry tells."""
    ours, theirs = ({entry.name: entry for entry in entries} for entries in (golden, candidate))
    findings = [
        finding
        for name in sorted(ours.keys() | theirs.keys())
        for finding in _compare_named(where, name, ours.get(name), theirs.get(name))
    ]
    shared = [
        [entry.name for entry in side if entry.name in ours and entry.name in theirs] for side in (golden, candidate)
    ]
    if shared[0] != shared[1]:
        moved = next(((a, b) for a, b in zip(*shared, strict=False) if a != b), None)
        # Of unequal lengths with one beginning: a name stands there twice.
        first, instead = moved or (f"{len(shared[0])} entries", f"{len(shared[1])} entries")
        findings.append(Finding(where, first, "order", first, instead))
    if not findings:
        told = "the entries are the same: the tar was written in another form"
        findings.append(Finding(where, "", "padding", told, told))
    return findings


def _compare_named(where: str, name: str, golden: Entry | None, candidate: Entry | None) -> Iterator[Finding]:
    if golden is None or candidate is None:
        there = golden or candidate
        kind = there.kind if there else ""
        # A .pyc on one side only: Python wrote bytecode while that image was built.
        cause: Cause = "pyc" if _is_pyc(name) else "missing" if candidate is None else "added"
        yield Finding(where, name, cause, kind if golden else "none", kind if candidate else "none")
        return
    if golden.kind != candidate.kind:
        yield Finding(where, name, "type", golden.kind, candidate.kind)
    if golden.sha256 != candidate.sha256:
        yield _content_finding(where, golden, candidate)
    pairs: tuple[tuple[Cause, str, str], ...] = (
        ("link", golden.link, candidate.link),
        ("mode", f"{golden.mode:04o}", f"{candidate.mode:04o}"),
        ("owner", _owner(golden), _owner(candidate)),
        ("clock", " ".join(golden.clocks), " ".join(candidate.clocks)),
        ("attributes", repr(dict(golden.attributes)), repr(dict(candidate.attributes))),
    )
    for cause, ours, theirs in pairs:
        if ours != theirs:
            yield Finding(where, name, cause, ours, theirs)


def _content_finding(where: str, golden: Entry, candidate: Entry) -> Finding:
    if not _is_pyc(golden.name):
        ours, theirs = (f"{entry.sha256} ({entry.size_bytes} bytes)" for entry in (golden, candidate))
        return Finding(where, golden.name, "content", ours, theirs)
    what = "header with the source's clock" if golden.body_sha256 == candidate.body_sha256 else "code"
    return Finding(where, golden.name, "pyc", f"{what} {golden.sha256}", f"{what} {candidate.sha256}")


def _owner(entry: Entry) -> str:
    user, group, user_name, group_name = entry.owner
    names = f" ({user_name}:{group_name})" if user_name or group_name else ""
    return f"{user}:{group}{names}"
