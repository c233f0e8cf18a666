"""Two images are the same only where manifest, configuration and every layer are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.images.conftest import EPOCH, PLAIN, config_of, layer_of, write_docker_archive, write_layout

from samebits.images.archive import read_image
from samebits.images.check import Comparison, check


def found(*paths: Path) -> list[tuple[str, str, str]]:
    comparison: Comparison = check(*map(read_image, paths))
    return [(finding.cause, finding.where, finding.path) for finding in comparison.findings]


def test_the_same_twice_is_the_same(layout: Callable[..., Path]) -> None:
    comparison = check(read_image(layout()), read_image(layout()))
    assert comparison.is_same
    assert comparison.document()["verdict"] == "same"


def test_a_clock_of_a_file_is_named_and_nothing_else(layout: Callable[..., Path]) -> None:
    late = tuple(replace(file, mtime=EPOCH + 1) if file.name == "app/b.py" else file for file in PLAIN)
    assert found(layout(), layout(late)) == [("clock", "layer 1", "app/b.py")]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"created": "2026-01-01T00:00:01Z"}, ("clock", "configuration", "created")),
        (
            {"history": [{"created": "2026-01-02T00:00:00Z", "created_by": "COPY"}]},
            ("clock", "configuration", "history[0].created"),
        ),
        ({"architecture": "arm64"}, ("configuration", "configuration", "architecture")),
        (
            {"config": {**config_of([])["config"], "User": "0"}},
            ("configuration", "configuration", "config.User"),
        ),
        ({"annotations": {"a": "b"}}, ("manifest", "manifest", "annotations")),
    ],
)
def test_a_change_beside_the_layers_is_named(
    layout: Callable[..., Path], changes: dict[str, Any], finding: tuple[str, str, str]
) -> None:
    assert found(layout(), layout(**changes)) == [finding]


def test_another_compression_is_named_and_the_image_id_stays(layout: Callable[..., Path]) -> None:
    paths = layout(level=1), layout(level=9)
    assert {cause for cause, *_ in found(*paths)} == {"compression"}
    assert len({read_image(path).digest for path in paths}) == 1


def test_a_docker_archive_and_a_layout_are_compared_by_what_both_have(tmp_path: Path) -> None:
    layers = [layer_of(PLAIN)]
    archive = write_docker_archive(tmp_path / "a.tar", layers)
    assert found(archive, write_layout(tmp_path / "a", layers, level=6)) == []
    assert found(archive, write_layout(tmp_path / "b", layers, created="2030-01-01T00:00:00Z")) == [
        ("clock", "configuration", "created")
    ]


def test_one_layer_more_is_named(tmp_path: Path) -> None:
    one, two = ([layer_of(PLAIN)] * count for count in (1, 2))
    causes = found(write_layout(tmp_path / "a", one), write_layout(tmp_path / "b", two))
    assert ("layers", "image", "") in causes


def test_the_same_configuration_written_otherwise_is_named(tmp_path: Path) -> None:
    layers = [layer_of(PLAIN)]
    backwards = dict(reversed(config_of(layers).items()))
    paths = write_layout(tmp_path / "a", layers), write_layout(tmp_path / "b", layers, whole_config=backwards)
    assert ("configuration", "configuration", "") in found(*paths)
