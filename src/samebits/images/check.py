"""Holding two images against each other: manifests, configurations, layers; every difference with its cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from samebits.images.archive import Image, Layer, open_tar
from samebits.images.layers import Cause, Entry, Finding, compare_entries, read_entries

_CLOCK_KEYS = ("created",)
# Only a consequence of what the layers tell themselves.
_CONSEQUENCES = ("rootfs.diff_ids", "config.digest", "config.size")


@dataclass(frozen=True)
class Comparison:
    """Two images and by what they differ; no finding: the same."""

    golden: Image
    candidate: Image
    findings: tuple[Finding, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def causes(self) -> list[Cause]:
        """Return every cause once, in the order of the findings."""
        return list(dict.fromkeys(finding.cause for finding in self.findings))

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "verdict": "same" if self.is_same else "different",
            "golden": _told(self.golden),
            "candidate": _told(self.candidate),
            "findings": [finding.__dict__ for finding in self.findings],
        }


def check(golden: Image, candidate: Image) -> Comparison:
    """Compare two images; where a layer differs, entry by entry.

    Raises:
        ImageError: a layer that cannot be read.
    """
    findings = [
        *_compare_layers(golden, candidate),
        *_compare_json("configuration", golden.config, candidate.config),
    ]
    if golden.manifest is not None and candidate.manifest is not None:
        findings += _compare_manifests(golden, candidate)
    if not findings and golden.config_sha256 != candidate.config_sha256:
        # The same values, written with other spaces or another order of keys.
        findings.append(Finding("configuration", "", "configuration", golden.config_sha256, candidate.config_sha256))
    return Comparison(golden, candidate, tuple(findings))


def _compare_layers(golden: Image, candidate: Image) -> Iterator[Finding]:
    if len(golden.layers) != len(candidate.layers):
        yield Finding("image", "", "layers", f"{len(golden.layers)} layers", f"{len(candidate.layers)} layers")
    for number, (ours, theirs) in enumerate(zip(golden.layers, candidate.layers, strict=False), start=1):
        where = f"layer {number}"
        if ours.diff_sha256 != theirs.diff_sha256:
            yield from compare_entries(where, _entries(ours), _entries(theirs))
        elif golden.manifest is not None and candidate.manifest is not None and ours.blob_sha256 != theirs.blob_sha256:
            yield Finding(where, "", "compression", ours.blob_sha256, theirs.blob_sha256)


def _entries(layer: Layer) -> list[Entry]:
    with open_tar(layer) as stream:
        return read_entries(stream)


def _compare_manifests(golden: Image, candidate: Image) -> Iterator[Finding]:
    ours, theirs = ({**(image.manifest or {})} for image in (golden, candidate))
    for document in (ours, theirs):
        # Layers have been held against each other by their own bytes.
        document.pop("layers", None)
    yield from _compare_json("manifest", ours, theirs)
    if golden.config_sha256 == candidate.config_sha256 and ours == theirs:
        layers = [[layer.blob_sha256 for layer in image.layers] for image in (golden, candidate)]
        if layers[0] == layers[1] and golden.manifest_sha256 != candidate.manifest_sha256:
            yield Finding("manifest", "", "manifest", str(golden.manifest_sha256), str(candidate.manifest_sha256))


def _compare_json(where: str, golden: Any, candidate: Any, key: str = "") -> Iterator[Finding]:
    if key in _CONSEQUENCES or (type(golden) is type(candidate) and golden == candidate):
        return
    if isinstance(golden, dict) and isinstance(candidate, dict):
        for name in sorted(golden.keys() | candidate.keys()):
            below = f"{key}.{name}" if key else name
            yield from _compare_json(where, golden.get(name), candidate.get(name), below)
    elif isinstance(golden, list) and isinstance(candidate, list) and len(golden) == len(candidate):
        for number, (ours, theirs) in enumerate(zip(golden, candidate, strict=True)):
            yield from _compare_json(where, ours, theirs, f"{key}[{number}]")
    else:
        own: Cause = "manifest" if where == "manifest" else "configuration"
        cause: Cause = "clock" if key.rpartition(".")[2] in _CLOCK_KEYS else own
        yield Finding(where, key, cause, _short(golden), _short(candidate))


def _short(value: Any) -> str:
    return "none" if value is None else str(value)


def _told(image: Image) -> dict[str, Any]:
    return {
        "path": str(image.path),
        "image_id": image.digest,
        "manifest_sha256": image.manifest_sha256,
        "layers": [layer.diff_sha256 for layer in image.layers],
        "labels": (image.config.get("config") or {}).get("Labels") or {},
    }
