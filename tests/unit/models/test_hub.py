"""The hub's real client against a hub on 127.0.0.1, in children of their own."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from samebits.canonical.safetensors_file import TensorFile, write_safetensors
from samebits.models.hub import ALWAYS_READ, HUB_NAME
from samebits.models.inputs import find_inputs
from samebits.models.seeded import embedded_folder
from samebits.recipe.settings import Settings

LOOPBACK: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "loopback_hub.py"))
NAME, COMMIT, TOKEN = LOOPBACK["NAME"], LOOPBACK["COMMIT"], LOOPBACK["TOKEN"]
EMBEDDED_FILES = {path.name: path.read_bytes() for path in embedded_folder().iterdir()}


@pytest.fixture
def hub() -> Iterator[Any]:
    """The bundled model on a hub, among files that nobody needs."""
    unread = ("README.md", "modeling_x.py", "flax_model.msgpack", "onnx/model.safetensors", "model.fp16.safetensors")
    with LOOPBACK["serving"](EMBEDDED_FILES | dict.fromkeys(unread, b"x")) as serving:
        yield serving


@pytest.fixture
def client(hub: Any, tmp_path: Path) -> Any:
    return LOOPBACK["Client"](tmp_path, hub.endpoint)


def test_a_commit_is_downloaded_once_and_found_again_offline(hub: Any, client: Any) -> None:
    expected = find_inputs(Settings()).recipe
    first = client.find()
    assert first["recipe"] == expected
    assert first["origin"] == f"{NAME}@{COMMIT}"
    assert Path(first["folder"]).is_relative_to(client.home / "hf")
    n_asked = len(hub.log)
    offline = client.find(HF_HUB_OFFLINE="1")
    assert (offline, len(hub.log)) == (first, n_asked)
    # On line again, the hub is asked whether it has the commit, and for no file.
    assert client.find() == first
    assert hub.asked("GET", "/resolve/") == len(EMBEDDED_FILES)


def test_only_what_is_read_is_downloaded(hub: Any, client: Any) -> None:
    folder = Path(client.find()["folder"])
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(EMBEDDED_FILES)
    assert {path.rpartition("/")[2] for method, path, _ in hub.log if "/resolve/" in path} == set(EMBEDDED_FILES)
    assert set(EMBEDDED_FILES) - {"model.safetensors"} <= set(ALWAYS_READ)


def test_what_is_in_the_cache_does_while_the_hub_is_away(hub: Any, client: Any) -> None:
    first = client.find()
    hub.faults["info"] = lambda handler: handler.send(503)
    assert client.find() == first
    hub.shutdown()
    hub.server_close()
    assert client.find() == first
    assert client.elapsed_s < 15


def test_shards_are_downloaded(hub: Any, client: Any, tmp_path: Path) -> None:
    file = TensorFile(embedded_folder() / "model.safetensors")
    names, weight_map = sorted(file.tensors), {}
    for i in range(2):
        shard = f"model-0000{i + 1}-of-00002.safetensors"
        write_safetensors(tmp_path / shard, {name: file.array(name) for name in names[i::2]})
        hub.files[shard] = (tmp_path / shard).read_bytes()
        weight_map |= dict.fromkeys(names[i::2], shard)
    del hub.files["model.safetensors"]

    hub.files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    hub.siblings = hub.listed = list(hub.files)
    assert client.find()["recipe"] == find_inputs(Settings()).recipe


@pytest.mark.parametrize("revision", ["", "main", COMMIT[:12], COMMIT.upper()])
def test_what_is_no_commit_is_refused_with_the_commit_that_it_is(hub: Any, client: Any, revision: str) -> None:
    sentence = client.refused(revision=revision)
    assert "`model_revision` must be a commit (40 hex digits), for a branch moves" in sentence
    assert f"got {revision!r}" in sentence if revision else "got none" in sentence
    assert f"({NAME} of the hub, for no such folder is here)" in sentence
    if revision in ("", "main"):
        assert sentence.endswith(f"today it is: --set model_revision={COMMIT}")
    else:
        # This hub does not know these names.
        assert sentence.endswith(f"$(git ls-remote {hub.endpoint}/{NAME} {revision} | cut -f1)")
    assert hub.asked("GET", "/resolve/") == 0


@pytest.mark.slow
def test_a_branch_is_refused_by_the_train_command(client: Any) -> None:
    child = client.run(
        "-m", "samebits", "train", "--set", f"model_name_or_path={NAME}", "--out", str(client.home / "o")
    )
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr.splitlines()[-1].endswith(f"today it is: --set model_revision={COMMIT}")


def test_a_token_goes_to_the_hub_and_nowhere_else(hub: Any, client: Any) -> None:
    hub.token = TOKEN
    with LOOPBACK["serving"](hub.files) as cdn:
        # Another host name is another origin.
        hub.cdn = cdn.endpoint.replace("127.0.0.1", "localhost")
        assert client.find(HF_TOKEN=TOKEN)["recipe"] == find_inputs(Settings()).recipe
        assert [path for _, path, _ in cdn.log] == ["/cdn/model.safetensors"]
        assert not any("authorization" in map(str.lower, headers) for _, _, headers in cdn.log)
        assert TOKEN not in str(cdn.log)
    assert all(headers.get("authorization") == f"Bearer {TOKEN}" for _, _, headers in map(_lower, hub.log))
    for path in client.home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def _lower(request: tuple[str, str, dict[str, str]]) -> tuple[str, str, dict[str, str]]:
    method, path, headers = request
    return method, path, {name.lower(): value for name, value in headers.items()}


def test_a_wrong_token_is_refused_and_not_printed(hub: Any, client: Any) -> None:
    hub.token = "another"
    sentence = client.refused(HF_TOKEN=TOKEN)
    assert "no such model, or none that this token may see" in sentence
    assert TOKEN not in sentence


@pytest.mark.slow
def test_a_pickle_is_refused_before_it_is_downloaded_and_the_command_given_converts_it(hub: Any, client: Any) -> None:
    path = client.home / "pytorch_model.bin"
    torch.save(load_file(embedded_folder() / "model.safetensors"), path)
    hub.files["pytorch_model.bin"] = path.read_bytes()
    del hub.files["model.safetensors"]
    hub.siblings = hub.listed = list(hub.files)
    sentence = client.refused()
    assert hub.asked("GET", "/resolve/") == 0
    command = f"samebits make-base --from-bin {NAME} --revision {COMMIT} --out NEW_FOLDER"
    assert sentence.endswith(f"convert it once: {command}")
    arguments = command.replace("NEW_FOLDER", str(client.home / "converted")).split()[1:]
    child = client.run("-m", "samebits", *arguments)
    assert (child.returncode, child.stderr) == (0, "")
    assert client.run("-m", "samebits", *arguments[:-1], str(client.home / "x"), HF_HUB_OFFLINE="1").returncode == 0
    expected = find_inputs(Settings()).recipe
    assert find_inputs(Settings(model_name_or_path=str(client.home / "converted"))).recipe == expected
    # The pickle in the cache is no base, off line as on line.
    assert client.refused(HF_HUB_OFFLINE="1") == sentence


def test_from_bin_wants_a_commit_in_its_own_words(client: Any) -> None:
    child = client.run("-m", "samebits", "make-base", "--from-bin", NAME, "--out", str(client.home / "o"))
    assert child.returncode == 2
    assert "`--revision` must be a commit" in child.stderr
    assert child.stderr.endswith(f"today it is: --revision {COMMIT}\n")


@pytest.mark.parametrize(
    ("name", "known"),
    [("gpt2", True), ("ann/tiny-1.5_b", True), ("a/b/c", False), ("../x", False), ("a b", False), ("-a/b", False)],
)
def test_hub_names(name: str, known: bool) -> None:
    assert (HUB_NAME.fullmatch(name) is not None) is known
