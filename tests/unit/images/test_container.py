"""Which engine is found, and with what it is called: engines are played by small scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from samebits.errors import ImageError
from samebits.images.container import Container, Engine, engine_output, find_container, find_engine, run_words

pytestmark = pytest.mark.skipif(os.name == "nt", reason="engines are played by shell scripts")

ID = "ab" * 32


def play(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it but what a test puts there."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_the_first_engine_that_answers_is_taken(path: Path) -> None:
    play(path, "podman", "echo no storage >&2; exit 125")
    play(path, "docker", "echo 27.1.0")
    engine = find_engine("auto")
    assert (engine.name, engine.version) == ("docker", "27.1.0")


def test_without_an_engine_the_error_says_what_was_tried_and_what_to_do(path: Path) -> None:
    play(path, "docker", 'echo "Cannot connect to the daemon" >&2; exit 1')
    with pytest.raises(ImageError, match=r"no podman; docker does not answer: Cannot.*make container-tools"):
        find_engine("auto")
    with pytest.raises(ImageError, match="no podman"):
        find_engine("podman")


def test_buildah_tells_its_version_in_a_sentence(path: Path) -> None:
    play(path, "buildah", 'echo "buildah version 1.28.2 (image-spec 1.1.0)"')
    assert find_engine("buildah").version == "1.28.2"


def test_a_store_of_its_own_is_named_to_podman_and_not_to_docker(path: Path, tmp_path: Path) -> None:
    engine = Engine("podman", "podman", "4", tmp_path)
    assert f"--root {tmp_path / 'images'} --runroot {tmp_path / 'state'}" in " ".join(engine.words("images"))
    assert replace(engine, name="docker").words("images") == ["podman", "images"]


def test_runc_is_taken_where_it_is(path: Path) -> None:
    engine = Engine("podman", "podman", "4")
    assert "--runtime" not in engine.words()
    play(path, "runc", "")
    assert " --runtime runc" in " ".join(engine.words())


def test_a_run_has_no_network_our_user_and_what_was_mounted(path: Path, tmp_path: Path) -> None:
    words = run_words(
        Engine("podman", "podman", "4"), mounts={tmp_path: "/app/artifacts"}, environment={"A": "b c"}, name="n"
    )
    told = " ".join(words)
    assert "run --rm --network=none --name n" in told
    assert f"--user {os.getuid()}:{os.getgid()}" in told
    assert f"--volume {tmp_path}:/app/artifacts" in told
    assert words[words.index("--env") + 1] == "A=b c"
    assert "--ulimit nofile=" in told
    assert "--ulimit" not in run_words(Engine("docker", "docker", "27"))


def test_limits_are_those_of_this_process(path: Path) -> None:
    program = "from samebits.images.container import Engine, run_words; print(run_words(Engine('podman', 'p', '4')))"
    limited = f"import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (100, 200)); {program}"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    assert "nofile=200:200" in done.stdout


def image_script(labels: dict[str, str], *, image_id: str = ID) -> str:
    told = json.dumps([{"Id": image_id, "Config": {"Labels": labels}}])
    return f"case \"$*\" in *inspect*) echo '{told}';; *) echo 4.3.1;; esac"


def test_the_image_is_found_by_its_id_with_its_labels(path: Path) -> None:
    play(path, "podman", image_script({"samebits.lock": "image-torch"}))
    container = find_container("auto")
    assert container.image_id == ID
    assert container.has_torch
    words = container.words("n", Path("out"), ["train"], {})
    assert words[-2:] == [ID, "train"]


def test_docker_is_asked_where_podman_has_no_image(path: Path) -> None:
    play(path, "podman", 'case "$*" in *inspect*) exit 1;; *) echo 4.3.1;; esac')
    play(path, "docker", image_script({}, image_id=f"sha256:{ID}"))
    container = find_container("auto")
    assert (container.engine.name, container.has_torch) == ("docker", False)
    assert container.words("n", Path("out"), [], {})[-1] == f"sha256:{ID}"


@pytest.mark.parametrize("answer", ["exit 1", "echo '[]'", "echo broken", "echo '[{}]'"])
def test_without_an_image_the_error_says_how_to_make_it(path: Path, answer: str) -> None:
    play(path, "podman", f'case "$*" in *inspect*) {answer};; *) echo 4.3.1;; esac')
    with pytest.raises(ImageError, match=r"podman has no image samebits-study; no docker.*samebits image build"):
        find_container("auto")


def test_a_failure_is_told_with_what_went_wrong_first(path: Path) -> None:
    play(path, "podman", 'echo "Error: no space left" >&2; echo "exiting" >&2; exit 125')
    with pytest.raises(ImageError, match=r"podman must succeed, got Error: no space left \(exit code 125\)"):
        engine_output([path / "podman"])


def test_a_container_is_removed_by_its_name(path: Path, tmp_path: Path) -> None:
    play(path, "podman", f'echo "$@" >> {tmp_path / "said"}')
    Container(Engine("podman", str(path / "podman"), "4"), ID, {}).remove("samebits-1-container")
    assert "rm --force samebits-1-container" in (tmp_path / "said").read_text(encoding="utf-8")
