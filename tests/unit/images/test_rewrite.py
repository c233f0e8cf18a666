"""What only names a build goes; what decides how the image runs stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.images.conftest import PLAIN, config_of, layer_of, write_docker_archive, write_layout

from samebits.images.archive import read_image
from samebits.images.check import check
from samebits.images.rewrite import rewrite, stable_config

LAYERS = [layer_of(PLAIN), layer_of(PLAIN[:2]), layer_of(PLAIN)]


def of_build(name: str) -> dict[str, object]:
    own = config_of(LAYERS)["config"]
    health = {"Test": ["CMD", "samebits", "doctor"]}
    return {
        "container": name,
        "parent": name,
        "container_config": {"Hostname": name},
        "config": {**own, "Hostname": name, "Healthcheck": health},
    }


def test_two_builds_that_differ_by_their_names_become_one_image(tmp_path: Path) -> None:
    paths = [write_docker_archive(tmp_path / f"{name}.tar", LAYERS, **of_build(name)) for name in ("a", "b")]
    assert not check(*map(read_image, paths)).is_same
    images = [rewrite(path, "samebits-study:latest") for path in paths]
    assert check(*images).is_same
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]
    config = images[0].config["config"]
    assert (config["User"], config["Healthcheck"]["Test"][-1]) == ("10001:10001", "doctor")
    assert [layer.diff_sha256 for layer in images[0].layers] == [
        digest.removeprefix("sha256:") for digest in config_of(LAYERS)["rootfs"]["diff_ids"]
    ]


@pytest.mark.parametrize("change", [{"created": "2030-01-01T00:00:00Z"}, {"config": {"User": "0"}}, {"os": "other"}])
def test_a_difference_that_matters_stays_one(change: dict[str, object]) -> None:
    assert stable_config(config_of(LAYERS)) != stable_config(config_of(LAYERS, **change))


def test_rewriting_again_changes_nothing(tmp_path: Path) -> None:
    path = write_docker_archive(tmp_path / "a.tar", LAYERS, **of_build("a"))
    rewrite(path, "t:1")
    first = path.read_bytes()
    rewrite(path, "t:1")
    assert path.read_bytes() == first


def test_compressed_layers_come_out_plain(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "layout", LAYERS, level=6)
    archive = tmp_path / "a.tar"
    import tarfile

    with tarfile.open(archive, "w") as target:
        target.add(folder, ".")
    image = rewrite(archive, "t:1")
    assert image.layers[0].blob_sha256 == image.layers[0].diff_sha256
    assert json.loads(stable_config(image.config)) == image.config
