"""Two builds by an engine that a script plays: what it is told, and that a difference between the two is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.images.conftest import PLAIN, File, layer_of, write_docker_archive

from samebits.errors import ImageError
from samebits.images import build
from samebits.images.build import EPOCH, Plan, build_twice, build_words, load
from samebits.images.container import Engine

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an engine is played by a shell script")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine whose `save` copies what lies at `image.tar`, and that writes down what it was told."""
    program = tmp_path / "podman"
    program.write_text(
        f'#!/bin/sh\necho "$(umask) $(pwd -P) $*" >> {tmp_path}/said\n'
        f'case "$*" in *--fail*) echo "Error: planted" >&2; exit 1;; *" save "*)\n'
        f'while [ "$1" != --output ]; do shift; done; cp {tmp_path}/image.tar "$2"\n'
        f"[ ! -f {tmp_path}/next.tar ] || mv {tmp_path}/next.tar {tmp_path}/image.tar;; esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    write_docker_archive(tmp_path / "image.tar", [layer_of(PLAIN)])
    return Engine("podman", str(program), "4.3.1")


@pytest.fixture
def plan(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan that downloads and compiles nothing."""
    caches: list[Path | None] = []
    monkeypatch.setattr(build, "stage", lambda _, folder: folder.mkdir() or "5" * 64)
    monkeypatch.setattr(build, "version_of", lambda _: "0.1.0")
    monkeypatch.setattr(build, "fetch_wheels", lambda *_: None)
    monkeypatch.setattr(build, "add_wheels", lambda *_: None)
    monkeypatch.setattr(build, "build_wheel", lambda *_, compiler_cache, **__: caches.append(compiler_cache))
    return Plan(tmp_path, engine, base="localhost/base@sha256:" + "0" * 64)


def test_two_builds_of_the_same_are_the_same_and_had_nothing_in_common(plan: Plan, tmp_path: Path) -> None:
    built = build_twice(plan, tmp_path / "out")
    assert built.comparison.is_same
    assert built.source_sha256 == "5" * 64
    lines = [line for line in (tmp_path / "said").read_text(encoding="utf-8").splitlines() if " build " in line]
    stores = {line.partition("--root ")[2].partition("/images")[0] for line in lines}
    assert len(lines) == len(stores) == 2
    assert {line.split()[0] for line in lines} == {"0022", "0077"}
    assert all(f"--timestamp {EPOCH}" in line and "--no-cache" in line for line in lines)
    assert not [store for store in stores if Path(store).exists()]


def test_a_clock_in_the_second_build_is_named(plan: Plan, tmp_path: Path) -> None:
    late = [*PLAIN[:2], File("app/b.py", b"other\n", mtime=EPOCH + 9), *PLAIN[3:]]
    write_docker_archive(tmp_path / "next.tar", [layer_of(late)])
    built = build_twice(plan, tmp_path / "out")
    assert [(finding.cause, finding.path) for finding in built.comparison.findings] == [("clock", "app/b.py")]


def test_a_build_that_fails_is_an_error_and_the_umask_comes_back(plan: Plan, tmp_path: Path) -> None:
    before = os.umask(0o022)
    Path(plan.engine.program).write_text("#!/bin/sh\necho 'Error: planted' >&2\nexit 1\n", encoding="utf-8")
    with pytest.raises(ImageError, match="podman must succeed, got Error: planted"):
        build_twice(plan, tmp_path / "out")
    assert os.umask(before) == 0o022


@pytest.mark.parametrize(
    ("name", "first", "told"),
    [
        ("podman", "build", "--format docker --identity-label=false"),
        ("buildah", "bud", "--format docker --identity-label=false"),
        ("docker", "buildx", "--output type=docker,dest=a.tar,rewrite-timestamp=true"),
    ],
)
def test_each_engine_is_told_to_write_no_clock(name: str, first: str, told: str) -> None:
    words = build_words(
        Engine(name, name, "1"), Path("c"), Path("c/f"), "t", {"BASE": "b"}, epoch=7, archive=Path("a.tar")
    )
    text = " ".join(words)
    assert first in words
    assert told in text
    assert ("SOURCE_DATE_EPOCH=7" if name == "docker" else "--timestamp 7") in text
    assert "--no-cache" in words
    assert "BASE=b" in words


@pytest.mark.parametrize(("name", "verb"), [("podman", "load"), ("docker", "load"), ("buildah", "pull")])
def test_an_archive_is_loaded_by_each_engines_own_verb(tmp_path: Path, name: str, verb: str) -> None:
    program = tmp_path / "engine"
    program.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/said\n', encoding="utf-8")
    program.chmod(0o755)
    load(Engine(name, str(program), "1"), tmp_path / "a.tar")
    assert verb in (tmp_path / "said").read_text(encoding="utf-8").split()
