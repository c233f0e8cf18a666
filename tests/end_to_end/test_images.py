"""The image built twice from nothing gives one digest, and trains to the digest that README promises."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from samebits.errors import ImageError
from samebits.images.archive import open_tar, read_image
from samebits.images.base import make_base
from samebits.images.build import EPOCH
from samebits.images.check import check
from samebits.images.container import BUILDERS, Container, Engine, find_engine
from samebits.images.layers import read_entries

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "samebits", "image"]
COMPILERS = {"cc", "gcc", "g++", "clang", "ld", "as", "zig"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def engine() -> Engine:
    if not os.environ.get("SAMEBITS_TEST_IMAGES"):
        pytest.skip("not tested: two images take several minutes; SAMEBITS_TEST_IMAGES=1 builds them")
    if os.name == "nt" or os.geteuid():
        pytest.skip("not tested: only root can make a base out of Debian packages")
    if importlib.util.find_spec("ziglang") is None or importlib.util.find_spec("hatchling") is None:
        pytest.skip("not tested: this Python cannot build samebits' wheel (samebits[dev])")
    try:
        return find_engine("podman", BUILDERS)
    except ImageError as error:
        pytest.skip(f"not tested: {error}")


@pytest.fixture(scope="module")
def built(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two builds on one base: the base by itself takes a minute, and tools build it twice where time is no matter."""
    folder = tmp_path_factory.mktemp("images")
    try:
        make_base(folder / "base.tar", epoch=EPOCH)
    except ImageError as error:
        pytest.skip(f"not tested: no base can be made here: {error}")
    words = [*COMMAND, "build", "--engine", engine.name, "--source", str(ROOT), "--no-load", "--out", str(folder)]
    done = subprocess.run([*words, "--base-archive", str(folder / "base.tar")], capture_output=True, text=True)
    return folder, done


def test_two_builds_have_one_digest(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = built
    assert done.returncode == 0, done.stdout + done.stderr
    images = [read_image(folder / f"{name}.tar") for name in ("first", "second")]
    assert check(*images).is_same
    assert done.stdout.splitlines()[-1] == images[0].digest == images[1].digest


def test_the_image_is_what_it_is_to_be(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    image = read_image(built[0] / "first.tar")
    config = image.config["config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][-2:] == ["samebits", "doctor"]
    assert re.fullmatch("[0-9a-f]{64}", config["Labels"]["samebits.source.sha256"])
    entries = []
    for layer in image.layers:
        with open_tar(layer) as stream:
            entries += read_entries(stream)
    names = {entry.name for entry in entries}
    assert not {name for name in names if name.endswith(".pyc") or name.rpartition("/")[2] in COMPILERS}
    assert not {name for name in names if "/torch/" in name or "ziglang" in name}
    assert {"opt/samebits/bin/samebits", "usr/share/doc/python3.11/copyright"} <= names
    assert [name for name in names if re.search(r"samebits-[^/]*\.dist-info/licenses/LICENSE$", name)]
    assert not {name for name in names if re.search(r"^etc/(hostname|resolv\.conf|apt/sources\.list.*/.+)$", name)}
    assert {entry.clocks for entry in entries} == {(str(EPOCH),)}


def test_a_planted_clock_is_named(built: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    golden = built[0] / "first.tar"
    _plant(golden, tmp_path / "planted.tar", "opt/samebits/bin/samebits")
    done = subprocess.run([*COMMAND, "check", golden, tmp_path / "planted.tar"], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^clock +layer 2 +opt/samebits/bin/samebits ", done.stdout, re.MULTILINE)


def _plant(source: Path, target: Path, name: str) -> None:
    """Copy a docker archive, one file of its last layer a second younger, its digests put right again."""
    import hashlib

    with tarfile.open(source) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive if member.isreg()}  # type: ignore[union-attr]
    listing = json.loads(members["manifest.json"])
    layer, moved = members.pop(listing[0]["Layers"][-1]), io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(layer)) as old, tarfile.open(fileobj=moved, mode="w") as new:
        for member in old:
            member.mtime += member.name.lstrip("./") == name
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    digest = hashlib.sha256(moved.getvalue()).hexdigest()
    config = json.loads(members.pop(listing[0]["Config"]))
    config["rootfs"]["diff_ids"][-1] = f"sha256:{digest}"
    written = json.dumps(config).encode()
    listing[0]["Layers"][-1] = f"{digest}.tar"
    listing[0]["Config"] = f"{hashlib.sha256(written).hexdigest()}.json"
    members |= {f"{digest}.tar": moved.getvalue(), listing[0]["Config"]: written}
    members["manifest.json"] = json.dumps(listing).encode()
    with tarfile.open(target, "w") as archive:
        for member_name, data in members.items():
            member = tarfile.TarInfo(member_name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def test_the_container_trains_to_the_golden_digest(
    engine: Engine, built: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    if engine.name == "buildah":
        pytest.skip("not tested: buildah alone runs no image")
    subprocess.run(engine.words("load", "--quiet", "--input", built[0] / "first.tar"), check=True, capture_output=True)
    image = read_image(built[0] / "first.tar")
    container = Container(engine, image.config_sha256, {})
    try:
        words = container.words(f"samebits-test-{os.getpid()}", tmp_path, ["train", "--out", "/app/artifacts/run"], {})
        done = subprocess.run(words, capture_output=True, text=True)
    finally:
        subprocess.run(engine.words("rmi", "--force", image.config_sha256), capture_output=True)
    assert done.returncode == 0, done.stderr
    (golden,) = re.findall(r"^ {4}([0-9a-f]{64})$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert done.stdout.splitlines()[-1] == golden
    assert (tmp_path / "run" / "golden" / "adapter_model.safetensors").exists()
