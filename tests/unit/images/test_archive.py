"""Images are read whole, in each form, and no digest is believed."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.images.conftest import PLAIN, layer_of, sha256, write_docker_archive, write_layout

from samebits.errors import ImageError
from samebits.images.archive import read_image


def _tar_of(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(folder, ".")
    return path


def test_every_form_has_the_same_image_id_and_layers(tmp_path: Path) -> None:
    layers = [layer_of(PLAIN), layer_of(PLAIN[:2])]
    folder = write_layout(tmp_path / "a", layers)
    images = [
        read_image(folder),
        read_image(_tar_of(folder, tmp_path / "a.tar")),
        read_image(write_layout(tmp_path / "b", layers, level=6)),
        read_image(write_docker_archive(tmp_path / "c.tar", layers)),
    ]
    assert len({image.digest for image in images}) == 1
    assert images[0].digest == f"sha256:{images[0].config_sha256}"
    assert {tuple(layer.diff_sha256 for layer in image.layers) for image in images} == {tuple(map(sha256, layers))}
    assert images[0].manifest_sha256 == images[1].manifest_sha256 != images[2].manifest_sha256
    assert images[3].manifest is None


def test_a_layer_that_is_a_link_is_followed(tmp_path: Path) -> None:
    layer = layer_of(PLAIN)
    path = write_docker_archive(tmp_path / "a.tar", [layer])
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("old/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, f"../{sha256(layer)}.tar"
        archive.addfile(link)
    with tarfile.open(path) as archive, archive.extractfile("manifest.json") as stream:  # type: ignore[union-attr]
        listing = json.load(stream)
    listing[0]["Layers"] = ["old/layer.tar"]
    (tmp_path / "manifest.json").write_text(json.dumps(listing), encoding="utf-8")
    with tarfile.open(path, "a") as archive:
        archive.add(tmp_path / "manifest.json", "manifest.json")
    assert read_image(path).layers[0].diff_sha256 == sha256(layer)


@pytest.mark.parametrize("part", ["layer", "config", "manifest"])
def test_a_flipped_byte_is_seen(layout: Callable[..., Path], part: str) -> None:
    folder = layout()
    image = read_image(folder)
    digest = {
        "layer": image.layers[0].blob_sha256,
        "config": image.config_sha256,
        "manifest": str(image.manifest_sha256),
    }[part]
    path = folder / "blobs" / "sha256" / digest
    data = path.read_bytes()
    path.write_bytes(data.replace(b"10001", b"10002") if part == "config" else data + b" ")
    with pytest.raises(ImageError, match="must have the digest that names it"):
        read_image(folder)


def test_a_layer_other_than_the_configuration_states_is_seen(layout: Callable[..., Path]) -> None:
    folder = layout(rootfs={"type": "layers", "diff_ids": ["sha256:" + "0" * 64]})
    with pytest.raises(ImageError, match="that the configuration states"):
        read_image(folder)


def test_a_layer_that_is_missing_is_named(layout: Callable[..., Path]) -> None:
    folder = layout()
    digest = read_image(folder).layers[0].blob_sha256
    (folder / "blobs" / "sha256" / digest).unlink()
    with pytest.raises(ImageError, match=f"every blob must be in the file.*{digest}"):
        read_image(folder)


@pytest.mark.parametrize("digest", ["sha512:" + "0" * 128, "sha256:../../../etc/passwd", None, 5])
def test_a_digest_leads_nowhere_else(layout: Callable[..., Path], digest: object) -> None:
    folder = layout()
    index = {"manifests": [{"digest": digest, "size": 1}]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ImageError, match="must be sha256"):
        read_image(folder)


def test_two_images_in_one_file_are_refused_and_an_attestation_is_no_image(layout: Callable[..., Path]) -> None:
    folder = layout()
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    (entry,) = index["manifests"]
    index["manifests"] = [entry, {**entry, "platform": {"os": "unknown", "architecture": "unknown"}}]
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    assert read_image(folder).layers
    index["manifests"] = [entry, entry]
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ImageError, match="one image, got 2"):
        read_image(folder)


def test_zstd_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "a", [b"\x28\xb5\x2f\xfd" + bytes(100)])
    with pytest.raises(ImageError, match="zstd"):
        read_image(folder)


@pytest.mark.parametrize("data", [b"", b"no image", b"\x1f\x8b" + bytes(20)])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ImageError, match="an image must be"):
        read_image(tmp_path / "a")


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = write_docker_archive(tmp_path / "a.tar", [layer_of(PLAIN)])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ImageError):
        read_image(path)
    with pytest.raises(ImageError, match="readable file"):
        read_image(tmp_path / "none")
